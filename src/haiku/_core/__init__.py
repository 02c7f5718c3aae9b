"""The core: everything that a transformed function reads and writes.

`transform` runs a function in a `Frame`; modules keep the path in it, `get_parameter`
and its kin read and write it, hooks stand between. No layer, no network, no JAX
transformation belongs here.
"""

from haiku._core.blueprints.blueprint import Blueprint as Blueprint
from haiku._core.keys.key_sequence import PRNGSequence as PRNGSequence
from haiku._core.modules.module import Module as Module
from haiku._core.modules.module import name_like as name_like
from haiku._core.modules.module import to_module as to_module
from haiku._core.modules.module import transparent as transparent
from haiku._core.modules.name_scope import current_name as current_name
from haiku._core.modules.name_scope import name_scope as name_scope
from haiku._core.runs.frame import part_of_init as part_of_init
from haiku._core.runs.random_keys import draw as draw
from haiku._core.runs.random_keys import (
    maybe_get_rng_sequence_state as maybe_get_rng_sequence_state,
)
from haiku._core.runs.random_keys import maybe_next_rng_key as maybe_next_rng_key
from haiku._core.runs.random_keys import next_rng_key as next_rng_key
from haiku._core.runs.random_keys import next_rng_keys as next_rng_keys
from haiku._core.runs.random_keys import (
    replace_rng_sequence_state as replace_rng_sequence_state,
)
from haiku._core.runs.random_keys import reserve_rng_keys as reserve_rng_keys
from haiku._core.runs.random_keys import with_rng as with_rng
from haiku._core.runs.scope import force_name as force_name
from haiku._core.transforms.multi_transform import MultiTransformed as MultiTransformed
from haiku._core.transforms.multi_transform import (
    MultiTransformedWithState as MultiTransformedWithState,
)
from haiku._core.transforms.multi_transform import multi_transform as multi_transform
from haiku._core.transforms.multi_transform import (
    multi_transform_with_state as multi_transform_with_state,
)
from haiku._core.transforms.multi_transform import (
    without_apply_rng as without_apply_rng,
)
from haiku._core.transforms.pure_functions import Transformed as Transformed
from haiku._core.transforms.pure_functions import (
    TransformedWithState as TransformedWithState,
)
from haiku._core.transforms.signatures import original_function as original_function
from haiku._core.transforms.transform import transform as transform
from haiku._core.transforms.transform import (
    transform_with_state as transform_with_state,
)
from haiku._core.transforms.transform import with_empty_state as with_empty_state
from haiku._core.transforms.transform import without_state as without_state
from haiku._core.variables.hooks import GetterContext as GetterContext
from haiku._core.variables.hooks import Hooks as Hooks
from haiku._core.variables.hooks import MethodContext as MethodContext
from haiku._core.variables.hooks import SetterContext as SetterContext
from haiku._core.variables.hooks import custom_creator as custom_creator
from haiku._core.variables.hooks import custom_getter as custom_getter
from haiku._core.variables.hooks import custom_setter as custom_setter
from haiku._core.variables.hooks import intercept_methods as intercept_methods
from haiku._core.variables.parameters import DO_NOT_STORE as DO_NOT_STORE
from haiku._core.variables.parameters import get_current_state as get_current_state
from haiku._core.variables.parameters import get_initial_state as get_initial_state
from haiku._core.variables.parameters import get_parameter as get_parameter
from haiku._core.variables.parameters import get_params as get_params
from haiku._core.variables.parameters import get_state as get_state
from haiku._core.variables.parameters import running_init as running_init
from haiku._core.variables.parameters import set_state as set_state
