"""`hk.nets.Decoder` with experts: losses, layers, shared experts, cache, bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
MASK = np.array([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
TOKENS = np.random.default_rng(0).integers(0, 11, MASK.shape)
EXPERTS = hk.nets.ExpertsConfig(4, 2, hidden_size=6)
SMALL = {"vocab_size": 11, "model_size": 8, "num_layers": 3, "num_heads": 2}


def net_of(**options):
    experts = dataclasses.replace(EXPERTS, **options)
    config = hk.nets.DecoderConfig(**SMALL, experts=experts)
    return hk.Blueprint(hk.nets.Decoder, config)


def model_of(**options):
    net = net_of(**options)
    shapes = jax.eval_shape(hk.transform(lambda x: net(x)).init, KEY, TOKENS)
    random = np.random.default_rng(1)  # compiling `init` takes longer than all tests
    params = jax.tree.map(
        lambda x: jnp.asarray(random.normal(size=x.shape) * 0.3, x.dtype), shapes
    )
    return hk.bind(net).to(params)


@pytest.mark.parametrize("layers", [None, (0, 2)])
def test_losses_are_means_over_layers_with_experts(layers):
    model = model_of(layers=layers)
    seen = []

    def watch(next_f, args, kwargs, context):
        out = next_f(*args, **kwargs)
        ours = isinstance(context.module, hk.MixtureOfExperts)
        if ours and context.method_name == "__call__":
            jax.debug.callback(lambda *x: seen.append(x), *out[1], ordered=True)
        return out

    def run():
        with hk.intercept_methods(watch):
            return model.net(TOKENS, mask=MASK, router_losses=True)

    _, losses = hk.without_apply_rng(hk.transform(run)).apply(model.params)
    jax.effects_barrier()
    assert len(seen) == (3 if layers is None else 2)
    for ours, of_layers in zip(losses, zip(*seen)):
        np.testing.assert_allclose(ours, np.mean(of_layers), rtol=1e-6)
        assert np.std(of_layers) > 1e-3


def test_layers_with_experts_are_stacked():
    params = model_of().params
    assert params["decoder/blocks/experts"]["gate"].shape == (3, 4, 8, 6)
    params = model_of(layers=(2,)).params
    assert params["decoder/blocks/mlp/up"]["w"].shape == (2, 8, 32)
    assert params["decoder/block_2/experts"]["down"].shape == (4, 6, 8)


def test_padding_counts_in_no_loss():
    model = model_of(capacity_factor=1.0)
    other = np.where(MASK, TOKENS, (TOKENS + 3) % 11)
    run = jax.jit(lambda x: model(x, mask=MASK, router_losses=True))
    (ours, losses), (theirs, others) = run(TOKENS), run(other)
    np.testing.assert_allclose(losses, others, rtol=1e-6)
    np.testing.assert_allclose(ours[MASK], theirs[MASK], rtol=0, atol=1e-5)


def test_cache_equals_without():
    model = model_of(layers=(1, 2), shared_size=5)
    whole = jax.jit(lambda m: m(TOKENS))(model)
    step = jax.jit(lambda m, x: m.updating(x, cache_size=5))
    outputs = []
    for start, end in ((0, 3), (3, 4), (4, 5)):
        output, model = step(model, TOKENS[:, start:end])
        outputs.append(output)
    joined = jnp.concatenate(outputs, 1)
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-5)


def test_shared_experts_see_every_token():
    model = model_of(shared_size=5)
    path = "decoder/blocks/shared/down"
    assert model.params[path]["w"].shape == (3, 5, 8)
    without = {path: {"w": jnp.zeros([3, 5, 8])}}
    silent = model.replace(params=model.params | without)
    alone = {k: x for k, x in model.params.items() if "/shared/" not in k}
    plain = hk.bind(net_of()).to(alone)
    np.testing.assert_allclose(silent(TOKENS), plain(TOKENS), rtol=0, atol=1e-6)
    assert np.max(np.abs(model(TOKENS) - plain(TOKENS))) > 0.01


def test_losses_have_gradients_by_routers():
    model = model_of()

    @jax.jit
    @jax.grad
    def gradients(params):
        _, losses = model.replace(params=params)(TOKENS, router_losses=True)
        return losses.load_balance + losses.z

    found = gradients(model.params)
    by_layer = np.abs(found["decoder/blocks/experts/router"]["w"]).max((1, 2))
    assert np.all(by_layer > 1e-4)
    assert np.all(np.asarray(found["decoder/head"]["w"]) == 0)


def test_hidden_size_is_that_of_the_experts_if_all_layers_have_them():
    config = hk.nets.DecoderConfig(**SMALL, experts=EXPERTS)
    assert config.hidden_size == 6
    some = dataclasses.replace(EXPERTS, layers=(2, 0, 2))
    assert some.layers == (0, 2)
    assert hk.nets.DecoderConfig(**SMALL, experts=some).hidden_size == 32


@pytest.mark.parametrize(
    ("message", "options"),
    [
        ("num_experts of hk.nets.ExpertsConfig must be an int", {"num_experts": 0}),
        ("num_selected .* at most num_experts 4, got 5", {"num_selected": 5}),
        ("shared_size .* at least 1, got True", {"shared_size": True}),
        ("capacity_factor .* above 0, got 0", {"capacity_factor": 0}),
        ("swiglu_limit .* above 0, got -7", {"swiglu_limit": -7.0}),
        ("router .* must be 'softmax' or", {"router": "sigmoid"}),
        ("layers .* must be indices of layers, got \\(-1,\\)", {"layers": (-1,)}),
    ],
)
def test_bad_experts_raise(message, options):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EXPERTS, **options)


def test_bad_configs_and_calls_raise():
    with pytest.raises(ValueError, match="must be a hk.nets.ExpertsConfig, got 8"):
        hk.nets.DecoderConfig(**SMALL, experts=8)
    with pytest.raises(ValueError, match="in layers \\(0, 3\\), .* only 3"):
        net_of(layers=(0, 3))
    plain = hk.bind(hk.nets.Decoder, hk.nets.DecoderConfig(**SMALL)).init(0, TOKENS)
    with pytest.raises(ValueError, match="'decoder' has no experts"):
        plain(TOKENS, router_losses=True)
