"""`hk.Attention`: its maps and options, and its cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run, update
from hypothesis import given, settings
from hypothesis import strategies as st
from leak_checks import checking_leaks

import haiku as hk

B, T, D = 2, 7, 12
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.standard_normal((B, T, D)), jnp.float32)
SMALL = {"num_heads": 4, "head_size": 6, "num_kv_heads": 2}
# What differs between the decoders of today.
KINDS = {
    "plain": {},
    "rotary": {"rotary": hk.Rotary()},
    "half rotary": {"rotary": hk.Rotary(fraction=0.67, interleaved=True)},
    "alibi": {"alibi": True},
    "norm of heads": {"qk_norm": "head", "rotary": hk.Rotary()},
    "norm of all": {"qk_norm": "all"},
    "window": {"window": 3, "rotary": hk.Rotary()},
    "window, alibi": {"window": 2, "alibi": True},
    "soft cap": {"soft_cap": 1.0, "scale": 0.5},
    "sinks": {"sinks": True, "window": 4},
    "values of another size": {"value_size": 5, "output_size": 9},
}


@functools.cache
def layer(kind="plain", **options):
    options = {**SMALL, "causal": True, **KINDS[kind], **options}
    net = hk.bind(hk.Attention, **options)
    model = jax.jit(lambda x: net.init(0, x))(X)
    # Sinks and norms that do something.
    noise = np.random.default_rng(1)
    params = jax.tree.map(
        lambda x: x + 0.5 * noise.standard_normal(x.shape).astype(x.dtype), model.params
    )
    return model.replace(params=params)


def test_parameters():
    shapes = jax.tree.map(jnp.shape, layer("norm of heads", sinks=True).params)
    linear = {
        "query": {"w": (D, 24), "b": (24,)},
        "key": {"w": (D, 12), "b": (12,)},
        "value": {"w": (D, 12), "b": (12,)},
        "output": {"w": (24, D), "b": (D,)},
    }
    want = {f"attention/{k}": v for k, v in linear.items()}
    want |= {f"attention/{k}_norm": {"scale": (6,)} for k in ("query", "key")}
    assert shapes == {**want, "attention": {"sinks": (4,)}}
    shapes = jax.tree.map(jnp.shape, layer("norm of all", with_bias=False).params)
    assert shapes["attention/query_norm"] == {"scale": (24,)}
    assert shapes["attention/key_norm"] == {"scale": (12,)}
    assert set(shapes["attention/output"]) == {"w"}
    shapes = layer(with_bias=False, output_bias=True).params
    assert set(shapes["attention/output"]) == {"w", "b"}
    assert set(shapes["attention/query"]) == {"w"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_layer_is_its_equation(kind):
    model, options = layer(kind), {**SMALL, "causal": True, **KINDS[kind]}
    p = {k: jax.tree.map(np.asarray, v) for k, v in model.params.items()}

    def heads(name, count):
        y = np.asarray(X) @ p[f"attention/{name}"]["w"] + p[f"attention/{name}"]["b"]
        norm = p.get(f"attention/{name}_norm")
        y = y.reshape(B, T, count, -1)
        if norm is not None:
            axes = (-2, -1) if options["qk_norm"] == "all" else (-1,)
            mean = np.mean(y**2, axes, keepdims=True)
            y = y / np.sqrt(mean + 1e-6) * norm["scale"].reshape(-1, y.shape[-1])
        return jnp.asarray(y)

    query, key, value = heads("query", 4), heads("key", 2), heads("value", 2)
    if "rotary" in options:
        query, key = (options["rotary"](x, jnp.arange(T)) for x in (query, key))
    bias = None
    if options.get("alibi"):
        slopes = np.array([2**-2, 2**-4, 2**-6, 2**-8])
        distance = np.arange(T)[:, None] - np.arange(T)
        bias = jnp.asarray(-slopes[:, None, None] * np.abs(distance))
    passed = {k: options.get(k) for k in ("causal", "window", "soft_cap", "scale")}
    if options.get("sinks"):
        passed["sinks"] = p["attention"]["sinks"]
    y = hk.attend(query, key, value, bias=bias, **passed)
    out = p["attention/output"]
    want = np.asarray(y).reshape(B, T, -1) @ out["w"] + out["b"]
    np.testing.assert_allclose(run(model, X), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "heads",
    [
        (1, [2**-8]),
        (6, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3]),
    ],
)
def test_alibi_slopes(heads):
    """As in the paper; beyond a power of two, every other slope of twice as many."""
    from haiku._layers.attention import _slopes

    np.testing.assert_allclose(_slopes(heads[0]), heads[1])


# ---- The cache ----------------------------------------------------------------------


def in_parts(model, x, parts, cache_size, mask=None):
    """The outputs of calls with so many steps each, after one another."""
    outputs, at = [], 0
    for n in parts:
        here = None if mask is None else mask[:, at : at + n]
        y, model = update(model, x[:, at : at + n], mask=here, cache_size=cache_size)
        outputs.append(y)
        at += n
    return jnp.concatenate(outputs, axis=1), model


@pytest.mark.parametrize("parts", [(4, 3), (1,) * 7])
@pytest.mark.parametrize("kind", KINDS)
def test_with_a_cache_as_without(kind, parts):
    model = layer(kind)
    y, after = in_parts(model, X, parts, cache_size=9)
    np.testing.assert_allclose(y, run(model, X), rtol=1e-5, atol=1e-5)
    state = after.state["attention"]
    slots = KINDS[kind].get("window") or 9
    assert state["keys"].shape == (B, slots, 2, 6)
    assert state["length"].dtype == jnp.int32
    np.testing.assert_array_equal(state["length"], [T, T])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.booleans(), min_size=T, max_size=T), min_size=B, max_size=B),
    st.sampled_from(sorted(KINDS)),
    st.sampled_from([(4, 3), (1,) * 7]),
)
def test_padding_anywhere_is_as_if_it_were_not_there(mask, kind, parts):
    mask, model = np.array(mask), layer(kind)
    x = np.where(mask[:, :, None], X, 1e3)
    cached, _ = in_parts(model, jnp.asarray(x), parts, T, jnp.asarray(mask))
    uncached = run(model, jnp.asarray(x), mask=jnp.asarray(mask))
    for row in range(B):
        kept = mask[row]
        if not kept.any():
            continue
        alone = run(model, X[row : row + 1, kept])[0]
        for y in cached, uncached:
            np.testing.assert_allclose(y[row, kept], alone, rtol=1e-4, atol=1e-4)
    assert np.isfinite(cached).all() and np.isfinite(uncached).all()


def test_a_cache_of_a_window_stays_small():
    """A ring of three, through three times as many steps."""
    model = layer("window")
    x = jnp.asarray(RANDOM.standard_normal((B, 20, D)), jnp.float32)
    y, after = in_parts(model, x, (5, 1, 1, 8, 5), cache_size=3)
    np.testing.assert_allclose(y, run(model, x), rtol=1e-5, atol=1e-5)
    assert after.state["attention"]["keys"].shape[1] == 3


def test_a_window_larger_than_the_cache_is_no_ring():
    model = layer("window")
    with pytest.raises(ValueError, match="got 7 steps for a cache of 2"):
        update(model, X, cache_size=2)


def test_more_steps_than_room_raise_or_give_nan():
    model = layer()
    y, after = update(model, X[:, :4], cache_size=5)
    with pytest.raises(ValueError, match="5 slots, and this call fills 7"):
        after.updating(X[:, 4:], cache_size=5)
    y, _ = jax.jit(lambda m, x: m.updating(x, cache_size=5))(after, X[:, 4:])
    assert np.isnan(y).all()
    mask = jnp.array([[True, False, False], [True, True, True]])
    y, _ = jax.jit(lambda m, x: m.updating(x, mask=mask, cache_size=5))(after, X[:, 4:])
    assert np.isfinite(y[0, 0]).all() and np.isnan(y[1]).all()


@pytest.mark.parametrize("batch", [1, 2])
def test_steps_write_the_cache_in_place(batch):
    """No copies: XLA made them for each product, where the batch is one text."""
    slots, steps = 37, 5
    model, x = layer(), X[:batch, :1]
    _, model = jax.jit(lambda m, x: m.updating(x, cache_size=slots))(model, x)

    @jax.jit
    def write(model, x):
        def step(carry, _):
            model, x = carry
            y, model = model.updating(x, cache_size=slots)
            return (model, y), y

        return jax.lax.scan(step, (model, x), length=steps)[1]

    program = write.lower(model, x).compile().as_text()
    cache = f"f32[{batch},{slots},2,6]"
    loop = program[: program.index("ENTRY")]
    assert cache in loop
    copies = [x for x in loop.splitlines() if f"= {cache}" in x and " copy(" in x]
    assert not copies, copies


def test_a_prefix_is_used_many_times():
    model = layer("rotary")
    _, prefix = update(model, X[:, :4], cache_size=8)
    for x in X[:, 4:5], X[:, 5:6]:
        y, _ = update(prefix, x, cache_size=8)
        whole = run(model, jnp.concatenate([X[:, :4], x], axis=1))
        np.testing.assert_allclose(y, whole[:, 4:], rtol=1e-5, atol=1e-5)


def test_positions_given_by_the_caller():
    model = layer("rotary")
    far = jnp.arange(T) + 100  # the distances stay
    np.testing.assert_allclose(run(model, X, positions=far), run(model, X), atol=1e-4)
    stretched = 2 * jnp.arange(T)
    assert not np.allclose(run(model, X, positions=stretched), run(model, X), atol=1e-3)
    y, after = update(model, X[:, :4], positions=stretched[:4], cache_size=T)
    z, _ = update(after, X[:, 4:], positions=stretched[4:], cache_size=T)
    np.testing.assert_allclose(
        jnp.concatenate([y, z], 1), run(model, X, positions=stretched), atol=1e-5
    )


def test_the_cache_under_scan_and_a_stack():
    def net(x):
        def block(x):
            return x + hk.Attention(**SMALL, causal=True, rotary=hk.Rotary())(
                x, cache_size=T
            )

        return hk.layer_stack(3)(block)(x)

    f = hk.without_apply_rng(hk.transform_with_state(net))
    params, state = f.init(jax.random.key(0), X)
    assert not state  # made at the first apply
    whole, _ = f.apply(params, state, X)
    y, state = f.apply(params, state, X[:, :1])

    def step(state, x):
        y, state = f.apply(params, state, x[:, None])
        return state, y[:, 0]

    _, rest = jax.lax.scan(step, state, jnp.swapaxes(X[:, 1:], 0, 1))
    y = jnp.concatenate([y, jnp.swapaxes(rest, 0, 1)], axis=1)
    np.testing.assert_allclose(y, whole, rtol=1e-5, atol=1e-5)


def test_init_fills_no_cache_where_a_stack_applies_its_layers():
    """Dropout lets the stack run its layers twice at `init`."""

    def net(x):
        def block(x):
            y = hk.Attention(**SMALL, causal=True)(x, cache_size=T)
            return x + hk.dropout(hk.next_rng_key(), 0.5, y)

        return hk.layer_stack(2)(block)(x)

    assert not hk.transform_with_state(net).init(jax.random.key(0), X)[1]


def test_the_cache_has_the_dtype_of_the_keys():
    model = layer()
    half = model.replace(
        params=jax.tree.map(lambda x: x.astype(jnp.bfloat16), model.params)
    )
    y, after = update(half, X.astype(jnp.bfloat16), cache_size=T)
    assert y.dtype == after.state["attention"]["keys"].dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), run(model, X), atol=0.3)


@pytest.mark.parametrize("kind", ["norm of heads", "window, alibi", "sinks"])
def test_the_cache_under_strict_settings(kind):
    model, mask = layer(kind), jnp.ones([B, T], bool)
    with (
        jax.numpy_rank_promotion("raise"),
        jax.numpy_dtype_promotion("strict"),
        checking_leaks(),
        jax.debug_nans(True),
    ):
        y, _ = in_parts(model, X, (4, 3), 9, mask)
        assert y.dtype == jnp.float32


# ---- Other inputs -------------------------------------------------------------------


def test_a_context():
    model = layer(causal=False)
    context = jnp.asarray(RANDOM.standard_normal((B, 5, D)), jnp.float32)
    mask = jnp.array([[1, 1, 0, 1, 0], [1, 1, 1, 1, 1]], bool)
    spoiled = jnp.where(mask[:, :, None], context, 1e3)
    y = run(model, X, spoiled, mask=mask)
    np.testing.assert_allclose(
        y[0], run(model, X[:1], context[:1, mask[0]])[0], rtol=1e-5, atol=1e-5
    )
    assert y.shape == X.shape


def test_segments_are_alone():
    model = layer("rotary")
    segments = jnp.array([[0, 0, 0, 1, 1, 1, 1], [5, 5, 6, 6, 6, 6, 6]])
    y = run(model, X, segments=segments)
    np.testing.assert_allclose(y[0, 3:], run(model, X[:1, 3:])[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[1, :2], run(model, X[1:, :2])[0], rtol=1e-4, atol=1e-5)


def test_every_option_passes_a_gradient_to_every_parameter():
    model = layer("norm of heads", sinks=True, soft_cap=2.0, window=3)
    gradients = jax.grad(lambda m: jnp.sum(jnp.sin(run(m, X))))(model)
    for path, x in jax.tree_util.tree_leaves_with_path(gradients.params):
        assert np.isfinite(x).all() and np.any(x), path


def test_the_cache_keeps_a_context():
    model = layer(causal=False, key_bias=False, qk_norm="head")
    assert set(model.params["attention/key"]) == {"w"}
    context = jnp.asarray(RANDOM.standard_normal((B, 5, D)), jnp.float32)
    mask = jnp.ones([B, 5], bool).at[0, 3:].set(False)
    y = run(model, X, context, mask=mask)
    found, cached = update(model, X[:, :3], context, mask=mask, cache_size=1)
    spoiled = jnp.full_like(context, jnp.nan)
    others, _ = update(cached, X[:, 3:], spoiled, mask=mask, cache_size=1)
    found = jnp.concatenate([found, others], axis=1)
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-5)
    assert cached.state["attention"]["keys"].shape == (B, 5, 2, 6)


def test_a_bias_of_slots():
    model = layer()
    bias = jnp.asarray(RANDOM.standard_normal((1, 4, T, T)), jnp.float32)
    y = run(model, X, bias=bias)
    wide = jnp.pad(bias, [(0, 0), (0, 0), (0, 0), (0, 2)])
    found, cached = update(model, X[:, :4], bias=wide[:, :, :4], cache_size=T + 2)
    others, _ = update(cached, X[:, 4:], bias=wide[:, :, 4:], cache_size=T + 2)
    found = jnp.concatenate([found, others], axis=1)
    np.testing.assert_allclose(found, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("message", "call"),
    {
        "must divide num_heads": lambda: layer(num_kv_heads=3),
        "qk_norm of .* must be 'head'": lambda: layer(qk_norm="heads"),
        "needs x of shape \\[batch, steps, features\\]": lambda: layer()(X[0]),
        "attends to a context: causal": lambda: layer()(X, X),
        "positions would change nothing": lambda: layer()(X, positions=jnp.arange(T)),
        "must be at least 1: 0": lambda: layer()(X, cache_size=0),
        "isn't causal": lambda: layer(causal=False)(X, cache_size=8),
        "with cache_size it takes no segments": lambda: layer()(
            X, segments=jnp.zeros([B, T], int), cache_size=8
        ),
        "with cache_size it takes no bias": lambda: layer(window=3)(
            X, bias=jnp.zeros([T, 8]), cache_size=8
        ),
        "takes no cache_size with a context": lambda: layer(
            causal=False, rotary=hk.Rotary()
        )(X, X, cache_size=8),
        "pass a context of the same shape": lambda: layer(causal=False).updating(
            X, X, cache_size=8
        )[1](X, X[:, 1:], cache_size=8),
        "which steps of x count": lambda: layer()(
            X, mask=jnp.ones([B, 1, T, T], bool), cache_size=8
        ),
        "The cache has keys of shape": lambda: (
            layer().updating(X, cache_size=8)[1].updating(X, cache_size=20)
        ),
    }.items(),
)
def test_bad_input_raises(message, call):
    with pytest.raises(ValueError, match=message):
        call()
