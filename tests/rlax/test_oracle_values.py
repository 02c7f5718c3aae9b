"""Ops beside what other libraries computed for the same arguments.

`make oracles` writes the values (`oracles/peers`), in double precision.
"""

import functools
import json
import pathlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

FILES = sorted((pathlib.Path(__file__).parent / "oracle_values").glob("*.json"))
SURFACE = pathlib.Path(__file__).parents[1] / "surface/rlax_api.json"
CASES = []
for path in FILES:
    content = json.loads(path.read_text(encoding="utf-8"))
    for i, case in enumerate(content["cases"]):
        CASES.append(pytest.param(case, id=f"{path.stem}-{i}-{case['op']}"))


def on_statistics(op):
    """An op of running statistics that takes their numbers."""

    def of_numbers(count, mean, square_sum, **arguments):
        state = rlax.RunningStatistics(count, mean, square_sum)
        return op(state=state, **arguments)

    return of_numbers


@on_statistics
def merge_running_statistics(state, other_count, other_mean, other_square_sum):
    other = rlax.RunningStatistics(other_count, other_mean, other_square_sum)
    return rlax.merge_running_statistics(state, other)


@on_statistics
def scale_rewards(state, return_tm1, max_abs, **arguments):
    state = rlax.ReturnScaleState(return_tm1, state, max_abs)
    return rlax.scale_rewards(state=state, **arguments)


def percentile_scale(x, state_low, state_high, **options):
    state = rlax.PercentileScaleState(state_low, state_high)
    return rlax.percentile_scale(x, state, **options)


def conjugate_gradient(matrix, b, **options):
    matrix = (matrix + matrix.T) / 2  # Whatever changes in it.
    return rlax.conjugate_gradient(lambda x: matrix @ x, b, **options)


def fisher_vector_product(features, params, vector, **options):
    old = jax.nn.log_softmax(jax.lax.stop_gradient(features @ params))

    def kl(params):
        new = jax.nn.log_softmax(features @ params)
        return jnp.mean(jnp.sum(jnp.exp(old) * (old - new), -1))

    return rlax.fisher_vector_product(kl, params, vector, **options)


def flow_actions(matrix, shift, x_0, **options):
    def velocity(x, time):
        return jnp.tanh(matrix @ x) + time * shift

    return rlax.flow_actions(velocity, x_0, **options)


ON_ARRAYS = {  # In place of ops that take states or functions.
    "update_running_statistics": on_statistics(rlax.update_running_statistics),
    "merge_running_statistics": merge_running_statistics,
    "standardize": on_statistics(rlax.standardize),
    "scale_rewards": scale_rewards,
    "percentile_scale": percentile_scale,
    "conjugate_gradient": conjugate_gradient,
    "fisher_vector_product": fisher_vector_product,
    "flow_actions": flow_actions,
}


def op_of(case):
    """The op, with the case's options."""
    name, _, method = case["op"].partition(".")
    if method:
        return getattr(getattr(rlax, name)(**case["options"]), method)
    op = ON_ARRAYS.get(name) or getattr(rlax, name)
    return functools.partial(op, **case["options"])


def drawing(op, noise):
    """The op, where the noise that its key draws is given."""

    def draw(_, shape, dtype):
        return jnp.asarray(noise, dtype).reshape(shape)

    def with_noise(**arguments):
        with mock.patch("jax.random.normal", draw):
            return op(jax.random.key(0), **arguments)

    return with_noise


def weights(shape):
    return np.cos(1 + np.arange(int(np.prod(shape)))).reshape(shape)


def assert_close(have, want, scale, name):
    """Equal up to 1e-5 of the number, or of the largest one around it."""
    np.testing.assert_allclose(have, want, 1e-5, 1e-5 * scale, err_msg=name)


def largest(arrays):
    return max((np.abs(x).max(initial=0) for x in arrays), default=0)


def test_every_op_that_the_reference_lacks_has_a_case():
    theirs = json.loads(SURFACE.read_text(encoding="utf-8"))["rlax"]
    ours = {
        name
        for name in set(rlax.__all__) - set(theirs)
        if not isinstance(getattr(rlax, name), type)
    }
    checked = {case.values[0]["op"].partition(".")[0] for case in CASES}
    # The state of no data, and an op that came with V-trace's own tests.
    untested = {"running_statistics", "init_return_scale"}
    assert ours - checked == untested | {"importance_corrected_td_errors"}


# Each case in single precision, and the first of each op in double.
FIRST = {case.values[0]["op"]: case for case in reversed(CASES)}
BOTH = [
    pytest.param(*case.values, dtype, id=f"{case.id}-{dtype.__name__}")
    for dtype, cases in ((np.float32, CASES), (np.float64, FIRST.values()))
    for case in cases
]


@pytest.mark.parametrize(("case", "dtype"), BOTH)
def test_ops_equal_other_libraries(case, dtype):
    with jax.enable_x64(dtype == np.float64):
        arguments = {k: np.asarray(x) for k, x in case["arguments"].items()}
        noise = arguments.pop("noise", None)
        floats = {
            k: jnp.asarray(x, dtype)
            for k, x in arguments.items()
            if x.dtype.kind == "f"
        }
        rest = {k: x for k, x in arguments.items() if k not in floats}
        op = op_of(case) if noise is None else drawing(op_of(case), noise)

        def total(floats):
            out = jax.tree.leaves(op(**floats, **rest))
            return sum(jnp.sum(x * weights(x.shape).astype(x.dtype)) for x in out), out

        gradients, value = jax.jit(jax.grad(total, has_aux=True))(floats)
        scale = largest(case["value"])
        for have, want in zip(value, case["value"], strict=True):
            assert have.dtype == dtype
            assert_close(have, want, scale, "value")
        if case["gradients"] is None:
            return
        scale = largest(case["gradients"].values())
        for name, gradient in gradients.items():
            want = case["gradients"].get(name, np.zeros(gradient.shape))
            assert_close(gradient, want, scale, f"gradient of {name}")
