"""Measures one net of one library in a new process: `worker.py JOB`.

JOB is a JSON object: `models` (the model file), `package` and `source` (what must be
imported, and from where; null: an installed one), `net`, `measures`, `samples`,
`seconds` (once they are spent, no more samples). Prints
a JSON object: `figures`, measure -> [CPU, wall] seconds or [bytes]; `sizes` of the
parameters; `numbers`, which depend on what is computed alone; `drawn`, a digest of
each parameter that init draws, if requested.
"""

import dataclasses
import gc
import hashlib
import importlib
import json
import os
import pathlib
import resource
import sys
import time

import rows

HERE = pathlib.Path(__file__).resolve().parent
CALLS = 300  # a sample of dispatch


class Clock:
    """CPU and wall seconds since it was made."""

    def __init__(self):
        self.start = time.process_time(), time.perf_counter()

    def read(self):
        now = time.process_time(), time.perf_counter()
        return [b - a for a, b in zip(self.start, now)]


def median(times):
    return [sorted(x)[len(x) // 2] for x in zip(*times)]


@dataclasses.dataclass(frozen=True)
class Effort:
    """How many samples, and after how many seconds of them no more."""

    samples: int
    seconds: float

    def enough(self, times):
        taken = sum(wall for _, wall in times)
        return len(times) >= self.samples or (times and taken >= self.seconds)


def timed(f, effort):
    """The medians of CPU and wall seconds."""
    for _ in range(2):  # to warm up
        f()
    gc.collect()
    gc.freeze()  # what lives by now is not looked through again at every sample
    times = []
    while not effort.enough(times):
        gc.collect()
        gc.disable()
        clock = Clock()
        f()
        times.append(clock.read())
        gc.enable()
    return median(times)


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


def traced(f, arguments, effort):
    import jax

    # A new function each time: JAX remembers the traces of old ones.
    return timed(lambda: jax.make_jaxpr(lambda *x: f(*x))(*arguments), effort)


def eager_init(subject, effort):
    import jax

    return timed(lambda: jax.block_until_ready(subject.init(subject.key)), effort)


def jitted_init(subject, _):
    """Trace, compile and run, once."""
    import jax

    clock = Clock()
    jax.block_until_ready(jax.jit(subject.init)(subject.key))
    return clock.read()


def first_step(subject, _):
    """From the start of the process to the first updated parameters."""
    import jax

    @jax.jit
    def update(params, rest):
        (loss, rest), gradient = subject.value_and_grad(params, rest)
        return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient), rest, loss

    jax.block_until_ready(update(*subject.init(subject.key)))
    return [time.process_time(), time.time() - float(os.environ["BENCHMARK_START"])]


def compiling(subject, effort):
    """Compiles value and gradient; what is traced and lowered before is not timed."""
    import jax

    times = []
    while not effort.enough(times):
        lowered = jax.jit(lambda *x: subject.value_and_grad(*x)).lower(
            *subject.variables
        )
        clock = Clock()
        subject.compiled = lowered.compile()
        times.append(clock.read())
    return median(times)


def step(subject, effort):
    import jax

    return timed(
        lambda: jax.block_until_ready(subject.compiled(*subject.variables)), effort
    )


def memory(subject, _):
    """What the compiled step takes by XLA's account."""
    sizes = subject.compiled.memory_analysis()
    arguments, outputs = sizes.argument_size_in_bytes, sizes.output_size_in_bytes
    return [sizes.temp_size_in_bytes + arguments + outputs]


def resident(_, __):
    """The largest that the process has been."""
    unit = 1 if sys.platform == "darwin" else 1024
    return [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit]


def dispatch(kind, returned):
    """Calls of a jitted function of parameters that computes next to nothing."""

    def measure(subject, effort):
        import jax

        params, rest = subject.variables
        argument, unpack = subject.packed(params, kind)

        def f(argument):
            out, _ = subject.apply(unpack(argument), rest)
            if returned:  # as an update returns them
                return out, jax.tree.map(lambda x: 0.5 * x, argument)
            return out

        jitted = jax.jit(f)

        def calls():
            for _ in range(CALLS):
                jitted(argument)

        return [x / CALLS for x in timed(calls, effort)]

    return measure


# In the order in which they are taken: RSS before anything but steps has run.
MEASURES = {
    "jitted init": jitted_init,
    "first step": first_step,
    "compile": compiling,
    "step": step,
    "memory": memory,
    "RSS": resident,
    "init traced": lambda s, n: traced(s.init, (s.key,), n),
    "apply traced": lambda s, n: traced(s.apply, s.variables, n),
    "value-and-grad traced": lambda s, n: traced(s.value_and_grad, s.variables, n),
    "eager init": eager_init,
    **{
        f"{form}{returned}": dispatch(form, bool(returned))
        for form in ("dicts", "list", "packed")
        for returned in ("", " and out")
    },
}


def digests(params):
    """Path -> shape and a digest of the bits of each array."""
    import jax
    import numpy as np

    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(np.asarray, params))
    return {
        jax.tree_util.keystr(path): [*x.shape, hashlib.md5(x.tobytes()).hexdigest()]
        for path, x in leaves
    }


def measured(subject, measures, effort):
    """Figures, and what they were measured on."""
    import jax

    figures = {
        what: measure(subject, effort)
        for what, measure in MEASURES.items()
        if what in measures
    }
    result = {"figures": figures}
    if set(measures) & set(rows.FRESH):
        return result
    result["sizes"] = subject.sizes()
    if "compile" in measures:
        result["numbers"] = subject.numbers()
    if "drawn" in measures:
        result["drawn"] = digests(jax.jit(subject.init)(subject.key)[0])
        result["numbers"] = subject.outputs()
    return result


def main():
    job = json.loads(sys.argv[1])
    figures = {"import": imported(job)}
    if not job["net"]:
        return {"figures": figures}
    models = importlib.import_module(f"{job['models']}_models")
    net = rows.NETS[job["net"]]
    if not hasattr(models, net.make):
        return {"figures": {}}
    from subject import NoPeerError, Subject

    try:
        subject = Subject(models, net)
    except NoPeerError:
        return {"figures": {}}
    effort = Effort(job["samples"], job["seconds"])
    return measured(subject, job["measures"], effort)


if __name__ == "__main__":
    print(json.dumps(main()))
