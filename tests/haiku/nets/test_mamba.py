"""`hk.nets.Mamba`: padding, state, dtypes and bad input.

Its numbers stand beside transformers' in `tests/haiku/pretrained`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
V, T = 11, 6
MASK = np.array(
    [[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1]],
    bool,
)
B = len(MASK)
TOKENS = np.random.default_rng(0).integers(0, V, (B, T))
SMALL = {"vocab_size": V, "model_size": 8, "num_layers": 2, "state_size": 4}
KINDS = {
    "1": {"with_bias": True},
    "2": {"version": 2, "head_size": 4, "num_groups": 2, "chunk_size": 4},
    "2, no head": {"version": 2, "head_size": 8, "head": None, "with_bias": True},
}


def config_of(kind, **options):
    return hk.nets.MambaConfig(**SMALL | KINDS[kind] | options)


def varied(next_creator, shape, dtype, init, context):
    if context.name in ("scale", "b"):  # not all ones or zeros
        init = hk.initializers.RandomNormal(0.3, float(context.name == "scale"))
    return next_creator(shape, dtype, init)


@functools.cache
def model_of(kind, **options):
    net = hk.Blueprint(hk.nets.Mamba, config_of(kind, **options))

    def f(tokens):
        with hk.custom_creator(varied):
            return net(tokens, cache_size=8)

    params, state = jax.jit(hk.transform_with_state(f).init)(KEY, TOKENS)
    assert not state  # `init` makes none
    return hk.bind(net).to(params)


@jax.jit
def run(model, tokens, mask):
    return model.updating(tokens, mask=mask, cache_size=3)


@pytest.mark.parametrize("kind", ["1", "2"])
def test_padding_reaches_no_output_state_or_gradient(kind):
    model = model_of(kind)
    order = np.argsort(~MASK, axis=1, kind="stable")  # what counts comes first

    def loss(params, tokens, mask):
        bound = model.replace(params=params)
        output, after = bound.updating(tokens, mask=mask, cache_size=1)
        return jnp.sum(jnp.square(output), where=mask[..., None]), (output, after.state)

    both = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (_, ours), gradients = both(model.params, TOKENS, MASK)
    tokens, mask = (np.take_along_axis(x, order, 1) for x in (TOKENS, MASK))
    (_, theirs), others = both(model.params, np.where(mask, tokens, 0), mask)
    assert np.all(np.isfinite(ours[0]))
    output = np.take_along_axis(np.asarray(ours[0]), order[..., None], 1)
    np.testing.assert_allclose(output[mask], theirs[0][mask], rtol=0, atol=2e-5)
    for x, y in zip(jax.tree.leaves(ours[1]), jax.tree.leaves(theirs[1])):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-5)
    for x, y in zip(jax.tree.leaves(gradients), jax.tree.leaves(others)):
        bound = 1e-4 * max(1.0, float(jnp.max(jnp.abs(x))))
        np.testing.assert_allclose(x, y, rtol=0, atol=bound)


@pytest.mark.parametrize("kind", ["1", "2"])
def test_a_padded_text_is_as_if_alone(kind):
    together, _ = run(model_of(kind), TOKENS, MASK)
    alone = jax.jit(lambda model: model(TOKENS[1:2, 3:])[0])(model_of(kind))
    np.testing.assert_allclose(together[1, 3:], alone, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["1", "2"])
def test_step_by_step(kind):
    model = model_of(kind)
    after, outputs = model, []
    for t in range(T):
        output, after = run(after, TOKENS[:, t : t + 1], MASK[:, t : t + 1])
        outputs.append(output)
    steps, (whole, _) = jnp.concatenate(outputs, axis=1), run(model, TOKENS, MASK)
    np.testing.assert_allclose(steps[MASK], whole[MASK], rtol=0, atol=2e-5)
    (path,) = after.state
    assert path == "mamba/blocks/cache"
    assert {x.shape[:2] for x in jax.tree.leaves(after.state)} == {(2, B)}


def test_the_size_of_the_cache_changes_nothing():
    model = model_of("1")
    few, many = (
        str(jax.make_jaxpr(lambda n=n: model.updating(TOKENS, cache_size=n))())
        for n in (1, 99)
    )
    assert few == many


@pytest.mark.parametrize("kind", ["1", "2"])
def test_vmap(kind):
    model = model_of(kind)
    mapped = jax.jit(jax.vmap(lambda tokens: model(tokens[None])[0]))(TOKENS)
    whole, _ = run(model, TOKENS, np.ones_like(MASK))
    np.testing.assert_allclose(mapped, whole, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", ["1", "2"])
def test_bfloat16(kind):
    model = model_of(kind)
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16), model)
    output, after = run(low, TOKENS, MASK)
    assert output.dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(after.state)} == {jnp.dtype("float32")}
    whole, _ = run(model, TOKENS, MASK)
    bound = 0.05 * float(jnp.max(jnp.abs(whole)))
    np.testing.assert_allclose(output[MASK], whole[MASK], rtol=0, atol=bound)


def test_a_wide_residual_is_not_rounded():
    """Blocks' sums that are less than half a unit of bfloat16 add up."""
    hidden = []
    for wide in True, False:
        config = hk.nets.MambaConfig(
            2, 2, 8, state_size=1, wide_residual=wide, with_bias=True, head=None
        )
        net, tokens = hk.Blueprint(hk.nets.Mamba, config), jnp.zeros([1, 1], jnp.int32)
        shapes = jax.eval_shape(hk.bind(net).init, KEY, tokens).params
        params = jax.tree.map(lambda x: np.zeros(x.shape, jnp.bfloat16), shapes)
        params["mamba/embed"]["embeddings"] += 1
        params["mamba/norm"]["scale"] += 1
        params["mamba/blocks/mixer/out"]["b"][:, 1] = 2**-9
        hidden.append(jax.jit(hk.bind(net).to(params))(tokens)[0, 0])
    (x, y), (same, other) = (h.astype(jnp.float32) for h in hidden)
    assert y > x and same == other


def test_heads():
    shapes = jax.eval_shape(model_of("2, no head"), TOKENS)
    assert shapes.shape == (B, T, 8)
    tied, untied = model_of("1"), model_of("1", tied=False)
    assert "mamba/head" not in tied.params
    assert untied.params["mamba/head"]["w"].shape == (8, V)
    for model, w in (
        (tied, tied.params["mamba/embed"]["embeddings"].T),
        (untied, untied.params["mamba/head"]["w"]),
    ):
        logits, hidden = jax.jit(lambda m: (m(TOKENS), m.hidden(TOKENS)))(model)
        np.testing.assert_allclose(logits, hidden @ w, rtol=0, atol=2e-5)


def test_defaults_of_configs():
    one = hk.nets.MambaConfig(V, 40, 2)
    assert (one.state_size, one.time_step_rank, one.num_heads) == (16, 3, 0)
    two = hk.nets.MambaConfig(V, 64, 2, version=2)
    assert (two.state_size, two.head_size, two.num_heads) == (128, 64, 2)
    assert (two.num_groups, two.time_step_limit) == (1, (0.0, np.inf))
    assert one == hk.nets.MambaConfig(V, 40, 2, state_size=16, time_step_rank=3)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("version of hk.nets.MambaConfig must be one of .* got 3", {"version": 3}),
        ("head of hk.nets.MambaConfig must be one of", {"head": "classes"}),
        ("state_size of .* an integer of at least 1, got 0", {"state_size": 0}),
        ("expand of .* an integer of at least 1, got 1.5", {"expand": 1.5}),
        ("head_size .* belongs to version 2, and this is version 1", {"head_size": 4}),
        (
            "time_step_rank .* version 1, .* version 2",
            {"version": 2, "time_step_rank": 1},
        ),
        ("head_size 5 .* must divide .* 16", {"version": 2, "head_size": 5}),
        (
            "num_groups 3 .* must divide the 4 heads",
            {"version": 2, "head_size": 4, "num_groups": 3},
        ),
        ("time_step_limit .* smaller one first", {"version": 2, "time_step_limit": 1}),
        (
            "time_step_limit .* smaller one first",
            {"version": 2, "time_step_limit": (2, 1)},
        ),
        ("time_step_min .* above 0, got 0", {"time_step_min": 0}),
        ("time_step_min .* at most time_step_max 0.1", {"time_step_min": 0.2}),
        ("norm_eps .* of at least 0, got 'x'", {"norm_eps": "x"}),
    ],
)
def test_bad_configs_raise(message, options):
    with pytest.raises(ValueError, match=message):
        hk.nets.MambaConfig(**SMALL | options)


@pytest.mark.parametrize(
    ("message", "inputs"),
    [
        ("integers, got float32", {"tokens": jnp.ones([2, 3])}),
        ("shape \\[batch, steps\\]", {"tokens": TOKENS[0]}),
        ("mask of 'mamba' .* got \\(4, 5\\)", {"mask": MASK[:, 1:]}),
        ("cache_size of 'mamba' must be at least 1, got 0", {"cache_size": 0}),
    ],
)
def test_bad_calls_raise(message, inputs):
    with pytest.raises(ValueError, match=message):
        model_of("1")(**{"tokens": TOKENS, **inputs})


def test_another_batch_than_that_of_the_state_raises():
    _, after = model_of("1").updating(TOKENS, cache_size=1)
    with pytest.raises(ValueError, match="the batch must stay as it was"):
        after.updating(TOKENS[:1], cache_size=1)
