"""Parameters, outputs, states and gradients equal those of the reference."""

import base64
import collections
import json
import pathlib
import pickle
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
sys.path.insert(0, str(GOLDEN))
import make_golden  # noqa: E402 - the archive's own script, beside the archive

CASES = [
    case
    for case in json.loads((GOLDEN / "golden.json").read_text())
    if case["lib"] == "haiku"
]
NETS = json.loads((GOLDEN / "nets.json").read_text())
PICKLES = json.loads((GOLDEN / "pickles.json").read_text())


@pytest.fixture(scope="module")
def archive():
    with np.load(GOLDEN / "golden.npz") as arrays:
        yield arrays


def program(case):
    """The transformed program of a case and its inputs."""
    body = "\n".join("  " + line for line in case["expr"].splitlines())
    scope = {"hk": hk, "jax": jax, "jnp": jnp, "np": np}
    exec(f"def f({', '.join(case['inputs'])}):\n{body}", scope)
    values = [
        jnp.asarray(make_golden.array(spec, case["id"] + name))
        for name, spec in case["inputs"].items()
    ]
    return hk.transform_with_state(scope["f"]), values


def initial(case):
    """The result of `init`."""
    net, values = program(case)
    return net.init(jax.random.PRNGKey(case.get("seed", 42)), *values)


def run(case):
    """Like `make_golden.run_haiku`, but with one compiled call after `init`."""
    net, values = program(case)
    params, state = initial(case)
    moved = make_golden.perturb(params)

    def apply(params, state):
        return net.apply(params, state, jax.random.PRNGKey(7), *values)

    def loss(params, state):
        out, state_out = apply(params, state)
        leaves = jax.tree.leaves(out)
        weights = make_golden.weights_like(leaves)
        return make_golden.dot(weights, leaves), (leaves, state_out)

    wants_grads = any(value.startswith("grad/") for value in case["values"])
    f = (
        jax.grad(loss, has_aux=True)
        if wants_grads
        else lambda p, s: ({}, loss(p, s)[1])
    )
    grads, (leaves, state_out) = jax.jit(f)(moved, state)
    flat = make_golden.flat
    return {
        **flat("params", params),
        **flat("state", state),
        **{f"out/{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)},
        **flat("state_out", state_out),
        **flat("grad", grads),
    }


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case_equals_the_archive(case, archive):
    result = run(case)
    assert set(result) == set(case["values"])
    for name, have in result.items():
        want = archive[f"{case['id']}/{name}"]
        assert (have.shape, have.dtype) == (want.shape, want.dtype), name
        tolerance = 1e-6 if name.startswith("params/") else 1e-5
        np.testing.assert_allclose(have, want, tolerance, tolerance, err_msg=name)


@pytest.mark.tables
@pytest.mark.plain_xla
@pytest.mark.skipif(jax.__version__ != "0.10.2", reason="the archive's JAX is 0.10.2")
def test_initial_parameters_are_equal_bit_for_bit(archive):
    compared = 0
    for case in CASES:
        # The last bits of LAPACK's QR depend on the CPU, for the reference too.
        if "orthogonal" not in case["id"]:
            params, _ = initial(case)
            for name, have in make_golden.flat("params", params).items():
                want = archive[f"{case['id']}/{name}"]
                np.testing.assert_array_equal(have, want, err_msg=case["id"])
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("program", NETS)
def test_nets_have_the_same_paths_shapes_and_dtypes(program):
    want = NETS[program]
    shape = (2, 8) if "Quantizer" in program else (2, 64, 64, 3)
    net = hk.transform_with_state(eval(f"lambda x: {program}", {"hk": hk, "jax": jax}))
    params, state = jax.eval_shape(net.init, jax.random.PRNGKey(0), jnp.ones(shape))
    assert {"params": _describe(params), "state": _describe(state)} == want


def _describe(values):
    return {
        path: {name: [list(x.shape), x.dtype.name] for name, x in named.items()}
        for path, named in values.items()
    }


@pytest.mark.parametrize("protocol", ["protocol 2", "protocol 4"])
@pytest.mark.parametrize(
    "what", [w for w in PICKLES if "FlatMapping" in w or "LSTM" in w]
)
def test_old_pickles_load(what, protocol):
    loaded = pickle.loads(base64.b64decode(PICKLES[what][protocol]))
    if "LSTM" in what:
        assert type(loaded) is hk.LSTMState
        assert loaded.hidden.tolist() == [1, 1]
        assert loaded.cell.tolist() == [0, 0]
    else:
        assert isinstance(loaded, collections.abc.Mapping)
        np.testing.assert_array_equal(
            loaded["linear"]["w"], np.arange(6.0).reshape(2, 3)
        )
        assert loaded["linear"]["b"].tolist() == [0, 0, 0]
