"""One library's figures, in a process of its own: `python worker.py LIBRARY`.

Prints a JSON object: row -> median of CPU milliseconds (microseconds for dispatch).
"""

import gc
import importlib
import json
import sys
import time

ROWS = ("mlp", "resnet50", "transformer")


def cpu_import(library):
    """CPU milliseconds that the import costs beyond jax's."""
    import jax  # noqa: F401
    import jax.numpy  # noqa: F401

    start = time.process_time()
    importlib.import_module(library)
    return (time.process_time() - start) * 1e3


def median(f, samples=15, warm=2):
    """The median of CPU milliseconds."""
    for _ in range(warm):
        f()
    times = []
    for _ in range(samples):
        gc.collect()
        gc.disable()
        start = time.process_time()
        f()
        times.append(time.process_time() - start)
        gc.enable()
    return sorted(times)[samples // 2] * 1e3


def main(library, samples=15):
    package = {"ours": "haiku", "dm-haiku": "haiku", "linen": "flax.linen"}
    package |= {"nnx": "flax.nnx", "equinox": "equinox"}
    figures = {"import": cpu_import(package[library])}

    import jax
    import jax.numpy as jnp

    models = importlib.import_module(
        {"ours": "haiku", "dm-haiku": "haiku"}.get(library, library) + "_models"
    )
    key = jax.random.PRNGKey(0)
    inputs = {
        "mlp": jnp.ones((8, 100)),
        "resnet50": jnp.ones((2, 64, 64, 3)),
        "transformer": jnp.ones((2, 16), jnp.int32),
    }
    for row in ROWS:
        init, apply, value_and_grad = models.functions(
            getattr(models, row)(), inputs[row]
        )
        variables = init(key)

        def traced(f, x):
            # A new function each time: JAX remembers the traces of old ones.
            return lambda: jax.make_jaxpr(lambda x: f(x))(x)

        figures[f"{row} init traced"] = median(traced(init, key), samples)
        figures[f"{row} apply traced"] = median(traced(apply, variables), samples)
        figures[f"{row} value-and-grad traced"] = median(
            traced(value_and_grad, variables), samples
        )
        if row == "mlp":
            figures["mlp eager init"] = median(
                lambda init=init: jax.block_until_ready(init(key)), samples
            )

    init, apply, _ = models.functions(models.wide(), jnp.ones(()))
    variables, jitted = init(key), jax.jit(apply)

    def dispatch():
        for _ in range(1000):
            jitted(variables)

    figures["dispatch, 200 parameters"] = median(dispatch, samples)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
