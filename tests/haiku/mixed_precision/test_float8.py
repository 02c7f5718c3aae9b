"""Computing in float8."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import BF16, F16, F32, KEY, Probe, X, mp

import haiku as hk
from haiku.mixed_precision.float8 import rounded, saturated

E4M3, E5M2 = jnp.dtype(jnp.float8_e4m3fn), jnp.dtype(jnp.float8_e5m2)


@pytest.mark.parametrize("dtype", [E4M3, E5M2], ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e5])
def test_rounding_keeps_the_digits_that_float8_has(dtype, scale):
    x = scale * jax.random.uniform(KEY, [1000], minval=0.1, maxval=1.0)
    out = jax.jit(lambda x: rounded(x, dtype, F32))(x)
    # Half a unit in the last of 3 or 2 digits behind the point.
    assert 0 < jnp.max(jnp.abs(out - x) / x) <= (2**-4 if dtype == E4M3 else 2**-3)
    np.testing.assert_array_equal(out, rounded(x, dtype, F32))
    again = jax.jit(lambda x: rounded(x, dtype, BF16).astype(F32))(out)
    np.testing.assert_array_equal(out, again)


def test_zeros_and_infinities_round_without_a_scale():
    zeros, empty = jnp.zeros([3]), jnp.zeros([0])
    np.testing.assert_array_equal(rounded(zeros, E4M3, F32), zeros)
    assert rounded(empty, E4M3, BF16).shape == (0,)
    odd = rounded(jnp.array([1.0, jnp.nan]), E4M3, F32)
    assert odd[0] == 1 and jnp.isnan(odd[1])
    assert not jnp.isfinite(rounded(jnp.array([1.0, jnp.inf]), E4M3, F32)[1])
    for extreme in (3e38, 1e-37):
        out = rounded(jnp.array([extreme, 0.0]), E5M2, F32)
        np.testing.assert_allclose(out, [extreme, 0.0], rtol=0.125)
    assert saturated(jnp.array([1e9, -500.0, 1.0]), E4M3).tolist() == [448, -448, 1]


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_gradients_do_not_see_the_rounding(mode):
    x = jnp.array([0.3, -2.0, 1e-5])
    derivative = jax.jit(mode(lambda x: rounded(x, E4M3, BF16).astype(F32) ** 2))(x)
    want = jnp.diag(2 * rounded(x, E4M3, F32))
    np.testing.assert_allclose(derivative, want, rtol=1e-2)


@pytest.mark.parametrize("compute_dtype", [E4M3, E5M2], ids=str)
def test_a_layer_in_float8_multiplies_float8_numbers(compute_dtype):
    policy = mp.Policy(F32, compute_dtype, F32)
    net = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(4, False)(x)))
    with mp.push_policy(hk.Linear, policy):
        params = net.init(KEY, X)
        out = jax.jit(net.apply)(params, X)
        grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X) ** 2)))(params)
    w = params["linear"]["w"]

    def in_eight_bits(x):
        """By hand: the numbers in float8, and their scale."""
        room = float(jnp.finfo(compute_dtype).max) / float(jnp.max(jnp.abs(x)))
        scale = 2.0 ** np.floor(np.log2(room))
        return (x * scale).astype(compute_dtype), scale

    (x8, x_scale), (w8, w_scale) = in_eight_bits(X), in_eight_bits(w)
    want = jnp.dot(x8, w8, preferred_element_type=F32) / (x_scale * w_scale)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    assert out.dtype == F32 and grads["linear"]["w"].dtype == F32
    exact = X @ w
    error = jnp.linalg.norm(out - exact) / jnp.linalg.norm(exact)
    assert 0.002 < error < (0.06 if compute_dtype == E4M3 else 0.12)


def test_parameters_in_float8_are_drawn_in_full():
    policy = mp.Policy(E4M3, BF16, BF16)
    f = lambda x: hk.Linear(4, w_init=hk.initializers.RandomNormal())(x)  # noqa: E731
    net = hk.without_apply_rng(hk.transform(f))
    plain = net.init(KEY, X)
    with mp.push_policy("linear", policy):
        params = jax.jit(net.init)(KEY, X)
        out = jax.jit(net.apply)(params, X)
        loss = lambda p: jnp.sum(net.apply(p, X).astype(F32))  # noqa: E731
        grads = jax.jit(jax.grad(loss))(params)
    assert {x.dtype for x in jax.tree.leaves((params, grads))} == {E4M3}
    want = plain["linear"]["w"].astype(E4M3)
    np.testing.assert_array_equal(params["linear"]["w"].astype(F32), want.astype(F32))
    in_bf16 = X.astype(BF16) @ want.astype(BF16)
    np.testing.assert_array_equal(out.astype(F32), in_bf16.astype(F32))


def test_outputs_in_float8_are_cut_off():
    with mp.push_policy(Probe, mp.Policy(F32, F32, E4M3)):
        f = hk.transform(lambda x: Probe()(x))
        out = f.apply({"probe": {"w": jnp.float32(3)}}, None, jnp.array([1.0, 1e4]))
    assert out.dtype == E4M3 and out.astype(F32).tolist() == [3.0, 448.0]


def test_float8_networks_learn():
    x = jax.random.normal(KEY, [64, 8])
    y = jnp.sin(x.sum(1, keepdims=True))

    def f(x):
        with mp.scope("params=float32,compute=float8_e4m3fn,output=bfloat16"):
            x = jax.nn.relu(hk.Linear(32)(x))
        return hk.Linear(1)(x.astype(F32))

    net = hk.without_apply_rng(hk.transform(f))
    loss = lambda p: jnp.mean((net.apply(p, x) - y) ** 2)  # noqa: E731

    def step(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

    params = jax.jit(net.init)(KEY, x)
    _, values = jax.jit(lambda p: jax.lax.scan(step, p, None, 200))(params)
    assert values[-1] < 0.3 * values[0]


def test_state_is_not_rounded():
    """A moving average in float8 would stand still."""

    def f(x):
        return hk.BatchNorm(True, True, 0.999)(x, True)

    net = hk.transform_with_state(f)
    with mp.push_policy(hk.BatchNorm, mp.Policy(F32, E4M3, F32)):
        params, state = jax.jit(net.init)(KEY, X)
        apply = jax.jit(net.apply)
        _, state = apply(params, state, None, X)
        read = state["batch_norm/~/mean_ema"]["hidden"]
        _, after = apply(params, state, None, X)
    moved = after["batch_norm/~/mean_ema"]["hidden"]
    assert jnp.all(moved != read)


@pytest.mark.parametrize("text", ["float8_e4m3fn", "f8_e5m2"])
def test_float8_policies_parse(text):
    dtype = E4M3 if "e4m3" in text else E5M2
    policy = mp.Policy.parse(f"params=f32,compute={text},output=f16")
    assert policy == mp.Policy(F32, dtype, F16) and policy.wide_dtype == F16
    assert mp.Policy.parse(text).wide_dtype == BF16
    assert mp.Policy.parse(repr(policy).removeprefix("Policy('")[:-2]) == policy
