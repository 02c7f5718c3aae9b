"""Sequential."""

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk


def test_extra_arguments_go_to_the_first_layer():
    def f(x, y):
        net = hk.Sequential([lambda a, b, c=0: a + b + c, jax.nn.relu])
        return net(x, y, c=1)

    out = hk.testing.transform_and_run(f)(jnp.array([-5.0, 1.0]), 2.0)
    np.testing.assert_array_equal(out, [0.0, 4.0])


def test_empty_sequential_is_the_identity():
    x = jnp.ones(3)
    assert hk.testing.transform_and_run(lambda: hk.Sequential([])(x) is x)()


def test_functions_of_the_user_are_not_compiled():
    """They may read parameters, so they run at every call."""
    calls = []

    def layer(x):
        calls.append(isinstance(x, jax.core.Tracer))
        return x * hk.get_parameter("s", (), init=jnp.ones)

    class Unhashable:
        __hash__ = None

        def __call__(self, x):
            return x + 1

    f = lambda x: hk.Sequential([jax.nn.relu, layer, Unhashable()])(x)  # noqa: E731
    net = hk.transform(f)
    params = net.init(None, jnp.ones(2))
    np.testing.assert_array_equal(net.apply(params, None, jnp.ones(2)), [2.0, 2.0])
    assert calls == [False, False]
