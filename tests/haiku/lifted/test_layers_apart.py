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
