"""One library's figures of one net, in a process of its own: `worker.py JOB`.

JOB is a JSON object: `models` (the model file), `package` and `source` (what must be
imported, and from where; null: an installed one), `net`, `measures`, `samples`. Prints
a JSON object: `figures`, measure -> [CPU, wall] seconds or [bytes]; `sizes` of the
parameters; `numbers`, which depend on what is computed alone; `drawn`, a digest of
each parameter that init draws, where asked for.
"""

import gc
import hashlib
import importlib
import json
import pathlib
import sys
import time

import rows

HERE = pathlib.Path(__file__).resolve().parent


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self):
        self.start = time.process_time(), time.perf_counter()

    def read(self):
        now = time.process_time(), time.perf_counter()
        return [b - a for a, b in zip(self.start, now)]


def timed(f, samples, warm=2):
    """The medians of CPU and wall seconds."""
    for _ in range(warm):
        f()
    gc.collect()
    gc.freeze()  # what lives by now is not looked through again at every sample
    times = []
    for _ in range(samples):
        gc.collect()
        gc.disable()
        clock = Clock()
        f()
        times.append(clock.read())
        gc.enable()
    return [sorted(x)[samples // 2] for x in zip(*times)]


def imported(job):
    """Times the import of the package beyond jax's, and sees that it is the right."""
    import jax
    import jax.numpy  # noqa: F401

    clock = Clock()
    package = importlib.import_module(job["package"])
    taken = clock.read()
    places = pathlib.Path(package.__file__).resolve().parents
    source = job["source"]
    right = pathlib.Path(source or HERE.parent / "src").resolve() in places
    if right != bool(source):
        raise SystemExit(f"{job['models']}: import found {package.__file__}")
    return taken


def traced(f, *arguments):
    import jax

    # A new function each time: JAX remembers the traces of old ones.
    return lambda: jax.make_jaxpr(lambda *x: f(*x))(*arguments)


def digests(params):
    """Path -> shape and a digest of the bits of each array."""
    import jax
    import numpy as np

    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(np.asarray, params))
    return {
        jax.tree_util.keystr(path): [*x.shape, hashlib.md5(x.tobytes()).hexdigest()]
        for path, x in leaves
    }


def measured(subject, measures, samples):
    """Figures, and what they were measured on."""
    import jax
    from subject import loss_of, norms

    result = {"figures": {}, "sizes": subject.sizes()}
    figures = result["figures"]
    key = jax.random.PRNGKey(0)

    if {"compile", "step", "memory"} & set(measures):
        lowered = jax.jit(subject.value_and_grad).lower(*subject.variables)
        clock = Clock()
        compiled = lowered.compile()
        figures["compile"] = clock.read()
        sizes = compiled.memory_analysis()
        figures["memory"] = [
            sizes.temp_size_in_bytes
            + sizes.argument_size_in_bytes
            + sizes.output_size_in_bytes
        ]
        if "step" in measures:
            step = lambda: jax.block_until_ready(compiled(*subject.variables))  # noqa: E731
            figures["step"] = timed(step, samples)
        result["numbers"] = subject.numbers(compiled)

    cases = {
        "init traced": lambda: traced(subject.init, key),
        "apply traced": lambda: traced(subject.apply, *subject.variables),
        "value-and-grad traced": lambda: traced(
            subject.value_and_grad, *subject.variables
        ),
        "eager init": lambda: lambda: jax.block_until_ready(subject.init(key)),
    }
    for what, case in cases.items():
        if what in measures:
            figures[what] = timed(case(), samples)
    if "drawn" in measures:
        result["drawn"] = digests(subject.init(key)[0])
        out, _ = jax.jit(subject.apply)(*subject.variables)
        result["numbers"] = [float(loss_of(out)), *norms(out)]
    return result


def main():
    job = json.loads(sys.argv[1])
    figures = {"import": imported(job)}
    if job["net"]:
        models = importlib.import_module(f"{job['models']}_models")
        net = rows.NETS[job["net"]]
        if not hasattr(models, net.make):
            return {"figures": {}}
        from subject import Subject

        return measured(Subject(models, net), job["measures"], job["samples"])
    return {"figures": figures}


if __name__ == "__main__":
    print(json.dumps(main()))
