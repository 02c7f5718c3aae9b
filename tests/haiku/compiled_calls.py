"""Calls of bound models as one compiled program each, not one for each operation."""

import jax

run = jax.jit(lambda model, *args, **options: model(*args, **options))
update = jax.jit(
    lambda model, *args, **options: model.updating(*args, **options),
    static_argnames="cache_size",
)
