"""Keeps what other libraries compute, for the tests of the ops that they have too.

A case is an op of `rlax`, its arguments by name, its options, and a function of the
same arguments that calls the other library. `Recorder.case` runs it in double
precision and keeps the outputs, and the gradients of one number made of them; the
tests compare ours with these, without the library.
"""

import functools
import importlib.metadata
import json
import pathlib

import numpy as np

VALUES = pathlib.Path(__file__).parents[2] / "tests/rlax/oracle_values"


class Recorder:
    """The cases of one library.

    Args:
      library: How its authors write its name.
      package: The installed package, whose version is kept.
      file: The file's name; by default the package's.
    """

    def __init__(self, library, package, file=None):
        self.library, self.package, self.cases = library, package, []
        self.file = file or package

    def case(self, op, call, function, arguments, options=None, reached=None):
        """Adds a case.

        Args:
          op: Name of the op; of a distribution `factory.method`, where options are
            the factory's.
          call: What of the library the function calls, for the table of oracles.
          function: Takes the arguments by name, arrays of the library's kind (floats
            in double precision), and gives an array or a tuple of arrays. It turns
            conventions into ours: factors, signs, layout.
          arguments: The op's arguments by name: floats, integers and booleans, or
            arrays or lists of these. `noise` is what the op draws with its key.
          options: The op's other arguments: numbers, strings, None.
          reached: Names of the float arguments with a gradient; in all others the
            op's gradient must be 0. None: gradients aren't compared.
        """
        arrays = {k: np.asarray(x) for k, x in arguments.items()}
        arrays = {  # Short in the file, and there the same numbers.
            k: _rounded(x, 10 if k == "noise" else 5) if x.dtype.kind == "f" else x
            for k, x in arrays.items()
        }
        value, gradients = self.run(function, arrays, list(reached or []))
        for x in [*value, *gradients]:
            if not np.all(np.isfinite(x)):
                raise ValueError(f"{self.library}'s {call} gives {x} for {op}.")
        self.cases.append(
            {
                "op": op,
                "call": call,
                "arguments": {k: x.tolist() for k, x in arrays.items()},
                "options": options or {},
                "value": [_rounded(x, 10).tolist() for x in value],
                "gradients": None
                if reached is None
                else {k: _rounded(x, 10).tolist() for k, x in zip(reached, gradients)},
            }
        )

    def each(self, choices, op, call, function, arguments, reached=None):
        """Adds a case for each choice of options, which the function takes too."""
        for options in choices:
            chosen = functools.partial(function, **options)
            self.case(op, call, chosen, arguments, options, reached)

    def run(self, function, arrays, reached):
        raise NotImplementedError

    def write(self):
        """Writes the cases to a file of the tests."""
        version = importlib.metadata.version(self.package)
        head = json.dumps({"library": self.library, "version": version})[:-1]
        rows = ",\n".join(json.dumps(case) for case in self.cases)
        path = VALUES / f"{self.file}.json"
        path.write_text(f'{head}, "cases": [\n{rows}\n]}}\n', encoding="utf-8")
        print(f"{path.name}: {len(self.cases)} cases, {path.stat().st_size} bytes")


class TorchRecorder(Recorder):
    """Of a library on PyTorch."""

    def run(self, function, arrays, reached):
        import torch

        tensors = {k: torch.tensor(x) for k, x in arrays.items()}
        for name in reached:
            tensors[name].requires_grad_()
        out = function(**tensors)
        out = [*out] if isinstance(out, tuple | list) else [out]
        gradients = []
        if reached:
            total = sum((x * torch.tensor(weights(x.shape))).sum() for x in out)
            gradients = torch.autograd.grad(
                total, [tensors[k] for k in reached], allow_unused=True
            )
            gradients = [
                np.zeros(arrays[k].shape) if x is None else x.numpy()
                for k, x in zip(reached, gradients, strict=True)
            ]
        return [x.detach().numpy() for x in out], gradients


class JaxRecorder(Recorder):
    """Of a library on JAX."""

    def run(self, function, arrays, reached):
        import jax

        jax.config.update("jax_enable_x64", True)

        def outputs(of, rest):
            out = function(**of, **rest)
            return [*out] if isinstance(out, tuple | list) else [out]

        def total(of, rest):
            return sum((x * weights(x.shape)).sum() for x in outputs(of, rest))

        of = {k: jax.numpy.asarray(arrays[k]) for k in reached}
        rest = {k: jax.numpy.asarray(x) for k, x in arrays.items() if k not in of}
        gradients = jax.grad(total)(of, rest) if of else {}
        return [np.asarray(x) for x in outputs(of, rest)], [
            np.asarray(gradients[k]) for k in reached
        ]


class NumpyRecorder(Recorder):
    """Of a library on NumPy: values alone."""

    def run(self, function, arrays, reached):
        out = function(**arrays)
        return [np.asarray(x) for x in (out if isinstance(out, tuple) else [out])], []


def weights(shape):
    """What the elements of an output count in the number that is differentiated."""
    return np.cos(1 + np.arange(int(np.prod(shape)))).reshape(shape)


def _rounded(x, digits):
    """Floats rounded to a number of significant digits, in double precision."""
    return np.vectorize(lambda n: float(f"{n:.{digits}g}"), otypes=[float])(x)
