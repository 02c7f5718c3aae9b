"""MLP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
X = np.random.RandomState(0).randn(3, 4).astype(np.float32)


@pytest.mark.parametrize("activate_final", [True, False])
@pytest.mark.parametrize("activation", [jnp.tanh, jax.nn.relu, lambda x: x - 1])
def test_layers_and_activations_alternate(activate_final, activation):
    def mlp(x):
        net = hk.nets.MLP(
            [6, 5], activation=activation, activate_final=activate_final, name="torso"
        )
        assert net.activation is activation
        assert net.output_size == 5
        assert [layer.name for layer in net.layers] == ["linear_0", "linear_1"]
        return net(x)

    net = hk.transform(mlp)
    params = net.init(KEY, X)
    first, second = params["torso/~/linear_0"], params["torso/~/linear_1"]
    want = activation(X @ first["w"]) @ second["w"]
    want = activation(want) if activate_final else want
    np.testing.assert_allclose(net.apply(params, None, X), want, rtol=1e-4, atol=1e-5)


def test_dropout_comes_before_the_activation():
    def mlp(x, rate, key):
        init = hk.initializers.Identity()
        net = hk.nets.MLP([4, 4], init, activation=lambda x: x + 1, activate_final=True)
        return net(x, rate, key)

    net = hk.transform(mlp)
    params = net.init(KEY, X, None, None)
    keys = hk.PRNGSequence(7)
    want = hk.dropout(next(keys), 0.5, jnp.asarray(X)) + 1
    want = hk.dropout(next(keys), 0.5, want) + 1
    out = net.apply(params, None, X, 0.5, jax.random.PRNGKey(7))
    np.testing.assert_allclose(out, want, rtol=1e-5)


def test_reverse_maps_outputs_to_inputs():
    def f(x):
        mlp = hk.nets.MLP([6, 5], jnp.ones, activation=jnp.tanh, activate_final=True)
        mlp(x)
        back = mlp.reverse()
        assert back.name == "mlp_reversed"
        assert [layer.output_size for layer in back.layers] == [6, 4]
        assert back.activate_final is True
        assert (back.w_init, back.activation) == (jnp.ones, jnp.tanh)
        other = mlp.reverse(activate_final=False, name="other")
        assert other.name == "other"
        assert other.activate_final is False
        return back(mlp(x))

    assert run(f)(X).shape == X.shape


def test_an_mlp_without_layers_is_the_identity():
    def f():
        mlp = hk.nets.MLP([])
        assert mlp.output_size is None
        return mlp(X)

    np.testing.assert_array_equal(run(f)(), X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.nets.MLP([1], with_bias=False, b_init=jnp.ones), "b_init must not"),
        (lambda: hk.nets.MLP([1])(X, 0.5), "rng key must be passed"),
        (lambda: hk.nets.MLP([1])(X, rng=KEY), "only be passed when using dropout"),
        (lambda: hk.nets.MLP([1]).reverse(), "until it has been called"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()
