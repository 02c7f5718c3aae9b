"""The golden archive's rlax cases, each compiled once: values and gradients."""

import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
spec = importlib.util.spec_from_file_location("make_golden", GOLDEN / "make_golden.py")
golden = importlib.util.module_from_spec(spec)
spec.loader.exec_module(golden)

CASES = {
    case["id"]: case
    for case in json.loads((GOLDEN / "golden.json").read_text())
    if case["lib"] == "rlax"
}
# signed_parabolic subtracts nearly equal numbers, as the reference's formula does: its
# error is up to 2e-4 there too, and what it is depends on what the compiler fuses.
LOOSER = {"rlax/tx_6", "rlax/unbiased_inv", "rlax/tx_retrace"}


@pytest.fixture(scope="module")
def archive():
    with np.load(GOLDEN / "golden.npz") as arrays:
        return {k: arrays[k] for k in arrays.files if k.startswith("rlax/")}


def program(case):
    """The case's lines as a function of its inputs."""
    *lines, last = case["expr"].splitlines()
    last = last if last.startswith("return") else f"return {last}"
    body = "\n".join(f"  {line}" for line in [*lines, last])
    scope = {"rlax": rlax, "jax": jax, "jnp": jnp, "np": np}
    exec(f"def f({', '.join(case['inputs'])}):\n{body}", scope)
    return scope["f"]


@pytest.mark.parametrize("name", CASES)
def test_case_gives_the_archived_values_and_gradients(name, archive):
    case = CASES[name]
    f = program(case)
    inputs = {
        n: jnp.asarray(golden.array(spec, name + n))
        for n, spec in case["inputs"].items()
    }
    floats = [n for n, x in inputs.items() if golden.is_float(x)]
    wants_grad = any(v.startswith("grad/") for v in case["values"])

    def loss(differentiated, rest):
        leaves = jax.tree.leaves(f(**differentiated, **rest))
        return golden.dot(golden.weights_like(leaves), leaves), leaves

    differentiated = {n: inputs[n] for n in floats}
    rest = {n: x for n, x in inputs.items() if n not in floats}
    if wants_grad:
        grads, leaves = jax.jit(jax.grad(loss, has_aux=True))(differentiated, rest)
    else:
        grads, leaves = {}, jax.jit(lambda *xs: loss(*xs)[1])(differentiated, rest)

    tolerance = 3e-4 if name in LOOSER else 1e-5
    have = {f"out/{i}": x for i, x in enumerate(leaves)}
    have |= {f"grad/{n}": g for n, g in grads.items()}
    assert sorted(have) == sorted(case["values"])
    for value, x in have.items():
        want = archive[f"{name}/{value}"]
        assert x.shape == want.shape
        np.testing.assert_allclose(x, want, tolerance, tolerance, err_msg=value)
