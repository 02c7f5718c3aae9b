"""One library's figures, in a process of its own: `worker.py LIBRARY SAMPLES ROW...`.

Prints a JSON object: `rows`, row -> median of CPU milliseconds (microseconds for
dispatch), and `parameters`, net -> the sizes of its parameters in ascending order.
"""

import gc
import importlib
import json
import pathlib
import sys
import time

PACKAGES = {
    "ours": "haiku",
    "dm-haiku": "haiku",
    "linen": "flax.linen",
    "nnx": "flax.nnx",
    "equinox": "equinox",
}
NETS = ("mlp", "resnet50", "transformer")
DISPATCH = "dispatch, 200 parameters"
DISPATCH_LIST = "dispatch, the same in a list"


def import_milliseconds(library):
    """CPU milliseconds that the import costs beyond jax's."""
    import jax
    import jax.numpy  # noqa: F401

    start = time.process_time()
    package = importlib.import_module(PACKAGES[library])
    taken = time.process_time() - start
    source = pathlib.Path(__file__).resolve().parents[1] / "src"
    found = source in pathlib.Path(package.__file__).resolve().parents
    if found != (library == "ours"):
        raise SystemExit(f"{library}: import found {package.__file__}")
    return taken * 1e3


def median(f, samples, warm=2):
    """The median of CPU milliseconds."""
    for _ in range(warm):
        f()
    gc.collect()
    gc.freeze()  # what lives by now is not looked through again at every sample
    times = []
    for _ in range(samples):
        gc.collect()
        gc.disable()
        start = time.process_time()
        f()
        times.append(time.process_time() - start)
        gc.enable()
    return sorted(times)[samples // 2] * 1e3


def zeros(shapes):
    """Arrays of these shapes, without running an initialiser."""
    import jax
    import numpy as np

    return jax.tree.map(lambda s: jax.device_put(np.zeros(s.shape, s.dtype)), shapes)


def traced(f, x):
    import jax

    # A new function each time: JAX remembers the traces of old ones.
    return lambda: jax.make_jaxpr(lambda x: f(x))(x)


def measure(library, samples, wanted):
    figures = {"import": import_milliseconds(library)}

    import jax
    import jax.numpy as jnp

    name = "haiku" if PACKAGES[library] == "haiku" else library
    models = importlib.import_module(f"{name}_models")
    key = jax.random.PRNGKey(0)
    inputs = {
        "mlp": jnp.ones((8, 100)),
        "resnet50": jnp.ones((2, 64, 64, 3)),
        "transformer": jnp.ones((2, 16), jnp.int32),
    }
    sizes = {}
    for net in NETS:
        if not any(row.startswith(net) for row in wanted):
            continue
        f = models.functions(getattr(models, net)(), inputs[net])
        init, apply, value_and_grad = f
        variables = zeros(jax.eval_shape(init, key))
        sizes[net] = sorted(x.size for x in models.parameters(variables))
        cases = {
            "init traced": traced(init, key),
            "apply traced": traced(apply, variables),
            "value-and-grad traced": traced(value_and_grad, variables),
            "eager init": lambda init=init: jax.block_until_ready(init(key)),
        }
        for what, case in cases.items():
            if f"{net} {what}" in wanted:
                figures[f"{net} {what}"] = median(case, samples)

    if DISPATCH in wanted or DISPATCH_LIST in wanted:
        init, apply, _ = models.functions(models.wide(), jnp.ones(()))
        variables = init(key)
        sizes["wide"] = sorted(x.size for x in models.parameters(variables))
        leaves, tree = jax.tree.flatten(variables)
        calls = {
            DISPATCH: (jax.jit(apply), variables),
            DISPATCH_LIST: (jax.jit(lambda x: apply(tree.unflatten(x))), leaves),
        }
        for row, (jitted, argument) in calls.items():
            if row in wanted:

                def thousand(jitted=jitted, argument=argument):
                    for _ in range(1000):
                        jitted(argument)

                figures[row] = median(thousand, samples)
    return {
        "rows": {row: figures[row] for row in wanted},
        "parameters": sizes,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
