"""A training that can be killed: checkpoints, SIGTERM, and processes that hang.

    with hk.checkpoint.Checkpoints(folder, every=100, keep=3) as checkpoints:
        state, at = checkpoints.restore(state, loader)
        for i in range(0 if at is None else at + 1, steps):
            state, loss = step(state, next(loader))
            checkpoints.save(i, state, loader)
            if checkpoints.stopping: break

Orbax writes and reads the arrays, and opens the folder without Haiku. Here is what a
training needs around it: fingerprints, so that damage is an error and never a wrong
number; one step that all processes agree on when they have to stop; the loader's
position; errors that name the way out. Nothing here knows modules, meshes or rules.
"""

from haiku.checkpoint.checkpoint_error import CheckpointError
from haiku.checkpoint.checkpoints import Checkpoints
from haiku.checkpoint.same_program import assert_same_program

__all__ = ["CheckpointError", "Checkpoints", "assert_same_program"]


def __dir__() -> list[str]:
    return __all__
