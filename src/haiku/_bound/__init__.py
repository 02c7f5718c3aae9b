"""Models outside of transformed functions: pytrees that call like their modules.

`bind` says which model, `init` and `to` which parameters. Everything here is
`transform` and its pair of pure functions behind an object; nothing is stored that
`params`, `state` and `hooks` do not show, and no change of state is lost in silence.
"""

from haiku._bound.bind import bind as bind
from haiku._bound.bound_model import Bound as Bound
from haiku._bound.bound_model import StateChangedError as StateChangedError
