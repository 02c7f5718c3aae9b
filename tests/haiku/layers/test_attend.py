"""`hk.attend` beside loops in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType

import haiku as hk

B, T, S, H, K, D, V = 2, 4, 5, 6, 3, 4, 4
RANDOM = np.random.default_rng(0)
QUERY = RANDOM.standard_normal((B, T, H, D))
KEY = RANDOM.standard_normal((B, S, K, D))
VALUE = RANDOM.standard_normal((B, S, K, V))


def loop(
    query,
    key,
    value,
    *,
    causal=False,
    window=None,
    mask=None,
    bias=None,
    segments=None,
    positions=None,
    soft_cap=None,
    sinks=None,
    scale=None,
):
    """Every weight by itself, in double precision."""
    batch, steps, heads, size = query.shape
    keys, groups = key.shape[1:3]
    out = np.zeros((batch, steps, heads, value.shape[-1]))
    of_query, of_key = positions or (np.arange(steps), np.arange(keys))
    for b, t, h in itertools.product(range(batch), range(steps), range(heads)):
        g = h // (heads // groups)
        terms = {}
        for s in range(keys):
            distance = of_query[t] - of_key[s]
            if causal and distance < 0:
                continue
            if window and causal and distance >= window:
                continue
            if window and not causal and abs(distance) > window // 2:
                continue
            if mask is not None and not mask[b, h, t, s]:
                continue
            if segments is not None and segments[0][b, t] != segments[1][b, s]:
                continue
            x = query[b, t, h] @ key[b, s, g]
            x *= size**-0.5 if scale is None else scale
            if soft_cap:
                x = soft_cap * np.tanh(x / soft_cap)
            terms[s] = x + (0 if bias is None else bias[b, h, t, s])
        total = sum(np.exp(x) for x in terms.values())
        if sinks is not None:
            total += np.exp(sinks[h])
        for s, x in terms.items():
            out[b, t, h] += np.exp(x) / total * value[b, s, g]
    return out


MASK = RANDOM.random((B, H, T, S)) < 0.6
MASK[1, 2, 3] = False  # a query that sees nothing
KEYS = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
SEGMENTS = np.array([[0, 0, 1, 1], [0, 1, 1, 2]]), np.array([[0] * 5, [0, 1, 1, 2, 2]])
POSITIONS = np.array([3, 0, 7, 1]), np.array([2, 5, 0, 1, 3])
BIAS = RANDOM.standard_normal((B, H, T, S))
# Options of the loop, and of the function where they are written otherwise.
CASES = {
    "plain": ({}, {}),
    "causal": ({"causal": True}, {}),
    "window": ({"window": 3}, {}),
    "causal window": ({"causal": True, "window": 2}, {}),
    "mask": ({"mask": MASK}, {}),
    "mask of keys": (
        {"mask": np.broadcast_to(KEYS[:, None, None], MASK.shape)},
        {"mask": KEYS},
    ),
    "mask, causal": ({"mask": MASK, "causal": True, "window": 3}, {}),
    "bias": ({"bias": BIAS}, {}),
    "bias of heads": (
        {"bias": np.broadcast_to(BIAS[:1, :, :1, :1], BIAS.shape)},
        {"bias": BIAS[0, :, :1, :1]},
    ),
    "segments": (
        {"segments": SEGMENTS},
        {"query_segments": SEGMENTS[0], "key_segments": SEGMENTS[1]},
    ),
    "positions": (
        {"positions": POSITIONS, "causal": True, "window": 4},
        {"query_positions": POSITIONS[0], "key_positions": POSITIONS[1]},
    ),
    "soft cap": ({"soft_cap": 0.8, "causal": True}, {}),
    "sinks": ({"sinks": RANDOM.standard_normal(H), "mask": MASK}, {}),
    "scale": ({"scale": 0.3}, {}),
    "all": (
        {
            **{"causal": True, "window": 3, "mask": MASK, "bias": BIAS},
            **{"soft_cap": 2.0, "sinks": np.zeros(H), "scale": 0.7},
        },
        {},
    ),
}
EQUAL = "soft cap", "sinks", "all"  # also with as many key heads as query heads


@pytest.fixture(autouse=True, params=["one CPU", "elsewhere"])
def where(request, monkeypatch):
    """On one CPU, and as where `jax.nn.dot_product_attention` may be called."""
    if request.param == "elsewhere":
        monkeypatch.setattr("haiku._layers.attend.whole_on_cpu", lambda *_: False)


def call(name, query, key, value):
    options, written = CASES[name]
    options = options | written
    options = {k: v for k, v in options.items() if k not in ("segments", "positions")}
    return hk.attend(query, key, value, **options)


@pytest.mark.parametrize(
    ("name", "groups"), [(name, K) for name in CASES] + [(name, H) for name in EQUAL]
)
def test_attend_is_the_loop(name, groups):
    exact = QUERY, *(np.concatenate([x, -x[:, ::-1]], 2) for x in (KEY, VALUE))
    exact = [exact[0], *(x[:, :, :groups] for x in exact[1:])]
    want = loop(*exact, **CASES[name][0])
    arrays = [jnp.asarray(x, jnp.float32) for x in exact]
    have = jax.jit(lambda *x: call(name, *x))(*arrays)
    np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)

    def total(*x):
        return jnp.sum(jnp.sin(call(name, *x)))

    # Gradients beside differences of the loop, along one direction.
    gradients = jax.grad(total, (0, 1, 2))(*arrays)
    directions = [RANDOM.standard_normal(x.shape) for x in arrays]
    slope = sum(np.sum(g * d) for g, d in zip(gradients, directions))
    ends = [
        np.sum(
            np.sin(
                loop(
                    *(x + e * d for x, d in zip(exact, directions)),
                    **CASES[name][0],
                )
            )
        )
        for e in (1e-5, -1e-5)
    ]
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-5, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"causal": True, "window": 2}])
def test_the_two_paths_give_the_same(options):
    """A soft cap of infinity leaves the fused path."""
    arrays = [jnp.asarray(x, jnp.float32) for x in (QUERY, KEY, VALUE)]
    fused = hk.attend(*arrays, mask=MASK, bias=BIAS, **options)
    plain = hk.attend(*arrays, mask=MASK, bias=BIAS, soft_cap=1e8, **options)
    np.testing.assert_allclose(fused, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("groups", [1, K, H])
def test_a_step_is_as_within_a_sequence(groups, dtype):
    """A decoder's step takes another way, and another one on a mesh."""
    key, value = (np.concatenate([x, -x], 2)[:, :, :groups] for x in (KEY, VALUE))
    arrays = [jnp.asarray(x, dtype) for x in (QUERY, key, value[..., :2])]
    options = {"soft_cap": 2.0, "sinks": jnp.arange(H) / 2.0}
    all_steps = hk.attend(*arrays, mask=MASK, bias=BIAS, **options)

    @jax.jit
    def step(query, key, value):
        out = hk.attend(
            *(query, key, value), mask=MASK[:, :, 3:], bias=BIAS[:, :, 3:], **options
        )
        return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

    arrays[0] = arrays[0][:, 3:]
    both = jax.value_and_grad(step, (0, 1, 2), has_aux=True)
    (_, out), slopes = both(*arrays)
    tolerance = 1e-5 if dtype == jnp.float32 else 2e-2
    np.testing.assert_allclose(
        *np.float32([out, all_steps[:, 3:]]), rtol=tolerance, atol=tolerance
    )
    with jax.set_mesh(jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))):
        (_, placed), placed_slopes = both(*arrays)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            *np.float32([a, b]), rtol=tolerance, atol=tolerance
        ),
        (placed, placed_slopes),
        (out, slopes),
    )


@pytest.mark.parametrize("soft_cap", [None, 5.0])
def test_a_query_that_sees_nothing_gets_zeros_and_passes_no_nan(soft_cap):
    arrays = [jnp.asarray(x, jnp.float32) for x in (QUERY, KEY, VALUE)]

    def total(*x):
        return jnp.sum(hk.attend(*x, mask=KEYS, soft_cap=soft_cap) ** 2)

    gradients = jax.grad(total, (0, 1, 2))(*arrays)
    assert not np.any(hk.attend(*arrays, mask=KEYS, soft_cap=soft_cap)[1])
    for gradient in gradients:
        assert np.isfinite(gradient).all() and not np.any(gradient[1])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float64])
@pytest.mark.parametrize("soft_cap", [None, 5.0])
def test_dtype_is_kept(dtype, soft_cap):
    with jax.enable_x64(dtype == jnp.float64):
        arrays = [jnp.asarray(x, dtype) for x in (QUERY, KEY, VALUE)]
        y = hk.attend(*arrays, causal=True, soft_cap=soft_cap)
        assert y.dtype == dtype
        want = loop(QUERY, KEY, VALUE, causal=True, soft_cap=soft_cap)
        tolerance = 1e-12 if dtype == jnp.float64 else 0.05
        np.testing.assert_allclose(np.asarray(y, float), want, atol=tolerance)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("steps", [1, 2])
def test_the_mean_of_many_values_is_no_larger_than_they_are(dtype, steps):
    """Their sum is beyond float16."""
    query = jnp.ones([1, steps, 2, 8], dtype)
    value = jnp.full([1, 4096, 2, 8], 100, dtype)
    y = hk.attend(query, jnp.zeros_like(value), value)
    assert y.dtype == dtype
    np.testing.assert_allclose(np.float32(y), 100, rtol=1e-2)


@pytest.mark.parametrize("steps", [1, 2])
def test_no_keys_at_all_give_zeros(steps):
    nothing = jnp.zeros([1, 0, 2, 4])
    query = jnp.ones([1, steps, 2, 4])
    y, slopes = jax.value_and_grad(lambda *x: hk.attend(*x).sum(), (0, 1, 2))(
        *(query, nothing, nothing)
    )
    assert y == 0 and not np.any(slopes[0])


def test_values_may_have_another_size_than_keys():
    value = np.concatenate([VALUE, VALUE], -1)
    y = hk.attend(*(jnp.asarray(x, jnp.float32) for x in (QUERY, KEY, value)))
    want = loop(QUERY, KEY, value)
    np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("message", "change"),
    {
        "query \\[B, T, H, D\\]": {"key": KEY[:, :, :2]},
        "where K divides H": {"query": QUERY[:, :, :4]},
        "window of hk.attend must be at least 1": {"window": 0},
        "soft_cap of hk.attend must be above 0": {"soft_cap": 0.0},
        "sinks of hk.attend must be one logit per head": {"sinks": np.zeros(H + 1)},
        "mask of hk.attend must be \\[B, S\\]": {"mask": np.ones((B, T + 9), bool)},
        "bias of hk.attend must broadcast": {"bias": np.zeros((B, H, S, T))},
        "without query_segments": {"key_segments": np.zeros((B, S), int)},
        "key_segments of hk.attend must be": {"query_segments": np.zeros((B, T), int)},
        "query_positions of hk.attend": {
            "causal": True,
            "query_positions": np.zeros(T + 1, int),
        },
    }.items(),
)
def test_bad_input_raises(message, change):
    arguments = {"query": QUERY, "key": KEY, "value": VALUE} | change
    arguments = {
        k: jnp.asarray(v) if hasattr(v, "shape") else v for k, v in arguments.items()
    }
    with pytest.raises(ValueError, match=message):
        hk.attend(**arguments)
