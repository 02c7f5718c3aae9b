"""A stack with the layers' own arrays equals the stacked one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku._lifted.layers_apart import Apart, noting_stacks, taken_apart

LAYERS = 3


def layer(x):
    count = hk.get_state("count", [], jnp.float32, init=jnp.zeros)
    hk.set_state("count", count + 1)
    noise = jax.random.normal(hk.next_rng_key(), x.shape)
    return hk.Linear(4)(x) + count + 0.1 * noise


def net(reverse):
    def f(x):
        return hk.layer_stack(LAYERS, name="blocks")(layer)(x, reverse=reverse)

    return hk.transform_with_state(f)


@pytest.mark.parametrize("reverse", [False, True])
def test_equal_to_the_stack(reverse):
    f, x = net(reverse), jnp.arange(8.0).reshape(2, 4)
    params, state = f.init(0, x)
    with noting_stacks() as stacks:
        want, after = f.apply(params, state, jax.random.key(1), x)
    assert stacks == {"blocks/"}
    own = taken_apart(params, stacks), taken_apart(state, stacks)
    out, own_after = jax.jit(f.apply)(*own, jax.random.key(1), x)
    np.testing.assert_allclose(out, want, rtol=1e-5)
    again, _ = f.apply(own[0], state, jax.random.key(1), x)  # a stacked state
    np.testing.assert_allclose(again, want, rtol=1e-5)
    assert isinstance(own_after["blocks/~"]["count"], Apart)
    np.testing.assert_array_equal(
        jnp.stack(own_after["blocks/~"]["count"].layers), after["blocks/~"]["count"]
    )


def test_inputs_and_outputs_of_layers():
    def step(x, scale):
        y = hk.Linear(4)(x) * scale
        return y, jnp.sum(y)

    f = hk.without_apply_rng(
        hk.transform(
            lambda x, scales: hk.layer_stack(
                LAYERS, with_per_layer_inputs=True, name="blocks"
            )(step)(x, scales)
        )
    )
    x, scales = jnp.ones([4]), jnp.array([1.0, 2.0, 3.0])
    params = f.init(0, x, scales)
    want = f.apply(params, x, scales)
    out = f.apply(taken_apart(params, {"blocks/"}), x, scales)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), out, want)


def test_stacks_within_others_arent_noted():
    def outer(x):
        return hk.layer_stack(2, name="inner")(lambda x: hk.Linear(4)(x))(x)

    f = hk.transform(lambda x: hk.layer_stack(2, name="outer")(outer)(x))
    x = jnp.ones([4])
    params = f.init(0, x)
    with noting_stacks() as stacks:
        want = f.apply(params, None, x)
    assert stacks == {"outer/"}
    out = f.apply(taken_apart(params, stacks), None, x)
    np.testing.assert_allclose(out, want, rtol=1e-5)


# ---- The public pair -----------------------------------------------------------------


def linears(x):
    stacked = hk.layer_stack(LAYERS, name="blocks")(lambda x: hk.Linear(4)(x))
    return hk.Linear(2, name="head")(stacked(x))


LINEARS = hk.without_apply_rng(hk.transform(linears))
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


def made():
    return LINEARS.init(0, X)


@pytest.mark.parametrize("path", ["blocks", "blocks/linear"])
def test_unstacked_and_stacked_again(path):
    params = made()
    own = hk.unstack_layers(params, path)
    w = own["blocks/linear"]["w"]
    assert [x.shape for x in w.layers] == [(4, 4)] * LAYERS
    assert own["head"] == params["head"]
    assert "3 layers of" in repr(w)
    assert jax.tree.structure(hk.unstack_layers(own, path)) == jax.tree.structure(own)
    again = hk.stack_layers(own)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    assert jax.tree.structure(hk.stack_layers(params)) == jax.tree.structure(params)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_outputs_and_gradients_stay(dtype):
    params = jax.tree.map(lambda p: p.astype(dtype), made())
    x = jnp.asarray(X, dtype)

    @jax.jit
    def of(params):
        def loss(params):
            return jnp.sum(jnp.sin(LINEARS.apply(params, x)).astype(jnp.float32))

        return jax.value_and_grad(loss)(params)

    loss, gradient = of(params)
    own_loss, own_gradient = of(hk.unstack_layers(params, "blocks"))
    tolerance = 1e-5 if dtype == jnp.float32 else 2e-2
    np.testing.assert_allclose(loss, own_loss, rtol=tolerance)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(
            *np.float32([a, b]), rtol=tolerance, atol=tolerance
        ),
        hk.stack_layers(own_gradient),
        gradient,
    )


def test_members_of_an_ensemble_have_layers_of_their_own():
    both = jax.vmap(lambda key: LINEARS.init(key, X))(
        jax.random.split(jax.random.key(0))
    )
    run = jax.vmap(lambda p: LINEARS.apply(hk.unstack_layers(p, "blocks"), X))
    want = jax.vmap(lambda p: LINEARS.apply(p, X))(both)
    np.testing.assert_allclose(run(both), want, rtol=1e-5)


@pytest.mark.parametrize(
    ("stacks", "words"),
    [
        ([], "needs the path of a stack.*blocks/linear, head"),
        (["block"], "nothing below 'block'; there are blocks/linear, head"),
        (["blocks", "blocks/lin"], "nothing below 'blocks/lin'"),
        (["more"], r"number of layers.*more/w: 2.*more/b: none.*hk.layer_stack"),
    ],
)
def test_what_is_no_stack(stacks, words):
    params = made() | {"more": {"w": jnp.ones([2, 3]), "b": jnp.ones([])}}
    if stacks != ["more"]:
        del params["more"]
    with pytest.raises(ValueError, match=words):
        hk.unstack_layers(params, *stacks)


def test_a_stack_of_no_layers_stays():
    params = {"blocks/linear": {"w": jnp.ones([0, 4, 4])}}
    own = hk.unstack_layers(params, "blocks")
    assert own["blocks/linear"]["w"].shape == (0, 4, 4)


@pytest.mark.parametrize("number", [2, 4])
def test_layers_of_another_stack(number):
    def f(x):
        return hk.layer_stack(number, name="blocks")(lambda x: hk.Linear(4)(x))(x)

    own = hk.unstack_layers(made(), "blocks")
    with pytest.raises(ValueError, match=f"of {number} layers got arrays of 3"):
        hk.transform(f).apply(own, None, X)


def test_a_decoder_makes_its_cache_in_the_same_form():
    config = hk.nets.DecoderConfig(
        vocab_size=5, model_size=8, num_layers=3, num_heads=2, hidden_size=8
    )
    model = hk.bind(hk.Blueprint(hk.nets.Decoder, config)).init(
        0, jnp.ones([2, 4], int)
    )
    own = model.replace(params=hk.unstack_layers(model.params, "decoder/blocks"))

    @jax.jit
    def read(model, tokens):
        return model.updating(tokens, cache_size=6)

    tokens = jnp.arange(8).reshape(2, 4) % 5
    (_, after), (_, own_after) = read(model, tokens), read(own, tokens)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        hk.stack_layers(own_after.state),
        after.state,
    )
    want, _ = read(after, tokens[:, :1])
    out, _ = read(own_after, tokens[:, :1])
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
