"""`hk.AdaptiveNorm` beside its equation in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run

import haiku as hk

RANDOM = np.random.RandomState(0)
X = RANDOM.randn(2, 5, 6).astype(np.float32)
CONDITION = RANDOM.randn(2, 3).astype(np.float32)


def layer(*args, x=X, condition=CONDITION, **options):
    options = {"w_init": hk.initializers.RandomNormal(), **options}
    model = hk.bind(hk.AdaptiveNorm, *args, **options).init(0, x, condition)
    shift = lambda p: p + 0.1 if p.ndim == 1 else p  # noqa: E731
    return model.replace(params=jax.tree.map(shift, model.params))


def equation(model, x, condition, norm):
    scale, shift = (
        np.asarray(condition) @ p["w"] + p["b"]
        for p in (model.params[f"adaptive_norm/{n}"] for n in ("scale", "shift"))
    )
    ones = [1] * (x.ndim - np.ndim(condition))
    scale, shift = (
        y.reshape(*y.shape[:-1], *ones, y.shape[-1]) for y in (scale, shift)
    )
    return norm(x) * (1 + scale) + shift


def normal(x, eps=1e-6):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


def test_the_layer_is_its_equation():
    model = layer(6)
    want = equation(model, X, CONDITION, normal)
    np.testing.assert_allclose(run(model, X, CONDITION), want, rtol=1e-4, atol=1e-5)


def test_it_begins_as_the_norm():
    model = hk.bind(hk.AdaptiveNorm, 6).init(0, X, CONDITION)
    np.testing.assert_allclose(model(X, CONDITION), normal(X), rtol=1e-4, atol=1e-5)
    gradient = jax.grad(lambda m: jnp.sum(m(X, CONDITION) ** 2))(model).params
    assert jnp.abs(gradient["adaptive_norm/scale"]["w"]).min() > 0


def test_another_norm():
    norm = hk.Blueprint(hk.GroupNorm, 2)
    x = RANDOM.randn(2, 3, 4, 6).astype(np.float32)
    model = layer(6, norm, x=x)
    assert model.params["group_norm"]["scale"].shape == (6,)

    def group_norm(x):
        groups = x.reshape(2, 12, 2, 3)
        mean, var = (
            groups.mean((1, 3), keepdims=True),
            groups.var((1, 3), keepdims=True),
        )
        y = ((groups - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
        own = model.params["group_norm"]
        return y * own["scale"] + own["offset"]

    want = equation(model, x, CONDITION, group_norm)
    np.testing.assert_allclose(run(model, x, CONDITION), want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lead", [0, 2])
def test_a_condition_of_each_step_or_of_all(lead):
    condition = RANDOM.randn(*X.shape[:lead], 3).astype(np.float32)
    model = layer(6, condition=condition)
    want = equation(model, X, condition, normal)
    np.testing.assert_allclose(run(model, X, condition), want, rtol=1e-4, atol=1e-5)


def test_statistics_in_half_precision_are_single():
    x = (300 + X).astype(jnp.bfloat16)
    condition = jnp.zeros([2, 3], jnp.bfloat16)
    model = hk.bind(hk.AdaptiveNorm, 6).init(0, x, condition)
    assert model(x, condition).dtype == jnp.bfloat16
    want = normal(np.asarray(x, np.float64))
    have = model(x, condition).astype(jnp.float32)
    np.testing.assert_allclose(have, want, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(
    ("message", "x", "condition"),
    [
        (r"size=6, .* got \(2, 5\)", X[..., 0], CONDITION),
        (r"got \(5, 3\) for x of shape \(2, 5, 6\)", X, np.ones([5, 3])),
        (r"condition \[B, E\]", X, np.ones([])),
        (r"condition \[B, E\]", X, np.ones([2, 5, 6, 3])),
    ],
)
def test_bad_input_raises(message, x, condition):
    with pytest.raises(ValueError, match=message):
        hk.bind(hk.AdaptiveNorm, 6).init(0, x, condition)
