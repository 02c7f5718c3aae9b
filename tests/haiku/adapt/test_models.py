"""`add`, `merge`, `adaptations` and blocks: what they find, refuse and keep."""

import contextlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_llama import TOKENS, call, linear, llama, with_random_updates

import haiku as hk

ad = hk.adapt
X = np.ones((2, 4), np.float32)


def adapted(*adaptations):
    return ad.add(llama(), *adaptations, rng_key=0)


MATRIX = np.ones((4, 3), np.float32)
REFUSED = {
    "hk.adapt.add: '\\*\\*/queries/w' finds no path. The nearest paths are .*query/w": (
        lambda: adapted(ad.LoRA("**/queries/w", 2))
    ),
    "finds decoder/norm/scale, f32.16., and that isn't a matrix": (
        lambda: adapted(ad.LoRA("decoder/norm/*", 2))
    ),
    "finds decoder/blocks/attention_norm/scale, f32.2,16., and that isn't": (
        lambda: adapted(ad.Int8("**/attention_norm/*"))
    ),
    "rank 5 is too large for linear/w, whose matrix is 4 x 3: at most 3": (
        lambda: ad.add(linear(MATRIX), ad.LoRA("**", 5), rng_key=0)
    ),
    "query/w would be updated twice, by LoRA.* and by DoRA": (
        lambda: adapted(ad.LoRA("**/query/w", 2), ad.DoRA("**/attention/*/w", 2))
    ),
    "would be updated twice, by LoRA.*rank=2. and by LoRA.*rank=3": (
        lambda: ad.add(adapted(ad.LoRA("**/w", 2)), ad.LoRA("**/w", 3), rng_key=0)
    ),
    "would be frozen twice": lambda: adapted(ad.Frozen("**"), ad.Frozen("**/w")),
    "draws numbers for LoRA.*: pass rng_key. Pass `jax.random.key": (
        lambda: ad.add(llama(), ad.LoRA("**/w", 2))
    ),
    "`rng_key` of hk.adapt.add must be a key, got": (
        lambda: ad.add(llama(), ad.LoRA("**/w", 2), rng_key="no")
    ),
    "takes an adaptation, such as": lambda: ad.add(llama()),
    "would keep linear/lora_a beside linear/w, and the model has": (
        lambda: ad.add(linear(MATRIX, lora_a=MATRIX), ad.LoRA("*/w", 2), rng_key=0)
    ),
    "rank of hk.adapt.LoRA must be an integer of at least 1, got 0": (
        lambda: ad.LoRA("**/w", 0)
    ),
    "rank of hk.adapt.DoRA .* got True": lambda: ad.DoRA("**/w", True),
    "alpha of hk.adapt.LoRA must be a finite number, or None .* 1e.300": (
        lambda: ad.LoRA("**/w", 2, alpha=1e300)
    ),
    "alpha of hk.adapt.LoRA must be a finite number": (
        lambda: ad.LoRA("**/w", 2, alpha=float("nan"))
    ),
    "dropout of hk.adapt.LoRA must be a rate in .0, 1.": (
        lambda: ad.LoRA("**/w", 2, dropout=1.0)
    ),
    "group_size of hk.adapt.Int4 must be an integer": lambda: ad.Int4("**/w", 0),
    "'\\*\\*a' isn't a pattern": lambda: ad.Int8("**a"),
    "reads linear/w with linear/lora_a, which the model's parameters lack": (
        lambda: ad.merge(
            ad.add(linear(MATRIX), ad.LoRA("*/w", 2), rng_key=0).replace(
                params={"linear": {"w": MATRIX}}
            )
        )
    ),
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_refused(says):
    with pytest.raises(ValueError, match=says):
        REFUSED[says]()


def test_what_is_neither_a_model_nor_an_adaptation():
    with pytest.raises(TypeError, match="add takes a bound model with parameters"):
        ad.add(llama().params, ad.Int8("**/w"))
    with pytest.raises(TypeError, match="merge takes a bound model"):
        ad.merge(hk.bind(hk.Linear, 3))
    with pytest.raises(TypeError, match="takes adaptations after the model"):
        ad.add(llama(), "**/w")


def test_a_pattern_finds_what_the_net_has():
    """Frozen("**") leaves updates alone, in either order."""
    both = ad.Frozen("**"), ad.LoRA("**/w", 2)
    for order in (both, both[::-1]):
        model = adapted(*order)
        again = ad.add(llama(), order[0], rng_key=0)
        again = ad.add(again, order[1], rng_key=0)
        assert ad.adaptations(model) == ad.adaptations(again) == both
        assert not hk.surgery.diff(model.params, again.params)
    assert repr(both[1]) == "LoRA('**/w', rank=2)"
    assert ad.adaptations(llama()) == ()


def test_other_hooks_and_plain_models_stay():
    other = hk.Hooks(getter=_doubled)
    model = llama().replace(hooks=[other])
    merged = ad.merge(ad.add(model, ad.Int8("**/w")))
    assert merged.hooks == (other,)
    assert ad.merge(llama()) is llama()


def _doubled(next_getter, value, context):
    return next_getter(2 * value)


def test_the_model_is_a_pytree_as_before():
    model = with_random_updates(adapted(ad.LoRA("**/attention/*/w", 2)))
    want = call(model)
    again = pickle.loads(pickle.dumps(model))
    assert jax.tree.structure(again) == jax.tree.structure(model)
    np.testing.assert_array_equal(call(again), want)
    pair = jax.tree.map(lambda x: jnp.stack([x, x]), model)
    both = jax.jit(jax.vmap(lambda m: m(TOKENS)))(pair)
    np.testing.assert_allclose(both[1], want, atol=1e-5)
    # One compiled program for models that differ in numbers alone.
    before = call._cache_size()
    call(with_random_updates(model))
    assert call._cache_size() == before


@pytest.mark.parametrize("kind", ["lora", "int4"])
def test_the_cache_is_as_before(kind):
    adaptation = {"lora": ad.LoRA("**/w", 2), "int4": ad.Int4("**/w", 8)}[kind]
    model = with_random_updates(adapted(adaptation))
    update = jax.jit(lambda m, tokens: m.updating(tokens, cache_size=8))
    first, cached = update(model, TOKENS[:, :3])
    second, cached = update(cached, TOKENS[:, 3:])
    assert ad.adaptations(cached) == (adaptation,)
    out = jnp.concatenate([first, second], 1)
    np.testing.assert_allclose(out, call(model), atol=1e-5, rtol=1e-5)


def test_merged_is_plain_and_equal():
    model = with_random_updates(adapted(ad.LoRA("**/w", 3, 5), ad.Frozen("**")))
    merged = ad.merge(model)
    assert merged.hooks == () and not hk.surgery.diff(
        jax.tree.map(jnp.shape, merged.params), jax.tree.map(jnp.shape, llama().params)
    )
    np.testing.assert_allclose(call(merged), call(model), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"aren't merged.*save hk\.adapt\.merge"):
        hk.pretrained.save("nowhere", model)


# ---- In a transformed function -------------------------------------------------------


def test_a_block_makes_and_reads():
    def f(x):
        with ad.LoRA("**/w", 2), ad.Int8("**/w"), ad.Frozen("**"):
            return hk.Linear(3, name="first")(x) + hk.Linear(3, name="second")(x)

    net = hk.transform(f)
    params = net.init(0, X)
    assert {*params["first"]} == {"b", "w", "w_scale", "lora_a", "lora_b"}
    assert params["first"]["w"].dtype == jnp.int8
    plain = hk.transform(lambda x: hk.Linear(3)(x)).init(0, X)["linear"]["w"]
    w = params["first"]["w"] * params["first"]["w_scale"]
    np.testing.assert_allclose(w, plain, atol=0.01)
    want = sum(
        X @ (named["w"] * named["w_scale"]) + named["b"] for named in params.values()
    )
    np.testing.assert_allclose(net.apply(params, None, X), want, atol=1e-5)
    trained, fixed = hk.surgery.split(params, "**/lora_b", "**/b")

    def loss(trained):
        return net.apply(hk.surgery.merge(trained, fixed), None, X).sum()

    grads = jax.grad(loss)(trained)
    assert grads["first"]["lora_b"].any() and not grads["first"]["b"].any()


def test_a_block_in_and_around_a_stack():
    def inside(x):
        def layer(x):
            with ad.DoRA("**/w", 2):
                return hk.Linear(4)(x)

        return hk.layer_stack(3, name="blocks")(layer)(x)

    def around(x):
        with ad.DoRA("**/w", 2):
            return hk.layer_stack(3, name="blocks")(lambda x: hk.Linear(4)(x))(x)

    made = [hk.transform(f).init(0, X) for f in (inside, around)]
    shapes = jax.tree.map(jnp.shape, made[0]["blocks/linear"])
    assert shapes["lora_magnitude"] == (3, 4) and shapes["lora_a"] == (3, 4, 2)
    assert not hk.surgery.diff(*made)


def test_blocks_that_are_refused():
    def run(*adaptations):
        def f(x):
            with contextlib.ExitStack() as stack:
                for adaptation in adaptations:
                    stack.enter_context(adaptation)
                return hk.Linear(3)(x)

        return hk.transform(f).init(0, X)

    with pytest.raises(ValueError, match=r"used no parameter like 'no/w': it used lin"):
        run(ad.LoRA("no/w", 2))
    with pytest.raises(ValueError, match="linear/w would be updated twice"):
        run(ad.LoRA("**/w", 2), ad.LoRA("linear/*", 2))
    with pytest.raises(ValueError, match=r"linear/b, f32.3., and that isn't a matrix"):
        run(ad.LoRA("**", 2))
    with pytest.raises(ValueError, match="rank 4 is too large"):
        run(ad.LoRA("**/w", 4))


def test_a_model_made_with_hooks():
    net = hk.bind(hk.Linear, 3).replace(hooks=[ad.Int4("**/w"), ad.LoRA("**/w", 2)])
    model = net.init(0, X)
    assert {*model.params["linear"]} == {"b", "w", "w_scale", "lora_a", "lora_b"}
    assert ad.adaptations(model) == (ad.Int4("**/w"), ad.LoRA("**/w", 2))
    np.testing.assert_allclose(ad.merge(model)(X), model(X), atol=1e-5)
