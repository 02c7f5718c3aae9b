"""Models bound to their parameters: pytrees that call like modules.

`bind` says what is bound, its `init` and `to` say to which parameters. Everything here
is `transform` and its pair of pure functions behind an object; nothing is stored that
`params` and `state` do not show, and no change of state is lost without an error.
"""

from haiku._bound.binding import Binding as Binding
from haiku._bound.binding import bind as bind
from haiku._bound.bound_model import Bound as Bound
from haiku._bound.bound_model import StateChangedError as StateChangedError
