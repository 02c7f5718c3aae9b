"""Initial values of a jitted `init` are drawn together, and are the same numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk


def mlp(depth):
    def f(x):
        for _ in range(depth):
            x = jax.nn.relu(hk.Linear(x.shape[-1])(x))
        return x

    return hk.transform(f)


def mixed(x):
    """Draws of every kind, between keys that something else takes."""
    hk.get_parameter("shifted", [3], init=hk.initializers.RandomNormal(1.0, 2.0))
    for size in (4, 4, 4, 5):
        x = hk.Linear(size, w_init=hk.initializers.RandomUniform())(x)
    x = hk.dropout(hk.next_rng_key(), 0.5, x)
    for _ in range(3):
        x = hk.nets.MLP([4, 5])(x)
    hk.reserve_rng_keys(2)
    x = hk.nets.MLP([5, 5, 5, 5])(x)
    hk.set_state(
        "last", hk.get_parameter("tied", [5], init=hk.initializers.RandomNormal())
    )
    hk.get_state("copy", [], init=lambda *_: hk.get_parameter("tied", [5]))
    x = hk.experimental.layer_stack(3)(lambda x: hk.Linear(5)(x))(x)
    return hk.BatchNorm(True, True, 0.9)(hk.Linear(5)(x), True)


@pytest.mark.tables
@pytest.mark.plain_xla
@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_same_numbers_as_one_by_one(make_key, monkeypatch):
    x = jnp.ones([2, 4])
    init = hk.transform_with_state(mixed).init
    together = jax.jit(init)(make_key(3), x)
    monkeypatch.setattr("haiku._core.runs.frame.is_staged", lambda: False)
    one_by_one = jax.jit(lambda *args: init(*args))(make_key(3), x)
    jax.tree.map(np.testing.assert_array_equal, together, one_by_one)


def test_another_random_bit_generator_gives_its_numbers():
    net, x = mlp(5), jnp.ones([2, 4])
    key = jax.random.key(0, impl="rbg")
    jax.tree.map(
        np.testing.assert_array_equal, jax.jit(net.init)(key, x), net.init(key, x)
    )


def test_a_kernel_for_all_alike_instead_of_one_each():
    def shifts(depth):  # of the bits in a random number generator
        compiled = jax.jit(mlp(depth).init).lower(jax.random.key(0), jnp.ones([2, 8]))
        return compiled.compile().as_text().count(" shift-right-logical(")

    assert 0 < shifts(4) == shifts(12)


def test_a_mapped_init_is_not_drawn_twice(monkeypatch):
    def twice(draws):
        raise AssertionError("drawn together where nothing is compiled")

    monkeypatch.setattr("haiku._core.runs.frame.drawn_together", twice)
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.vmap(mlp(3).init, in_axes=(0, None))(keys, jnp.ones([2, 4]))
    assert params["linear"]["w"].shape == (2, 4, 4)
    with pytest.raises(AssertionError, match="nothing is compiled"):
        jax.jit(mlp(3).init)(keys[0], jnp.ones([2, 4]))


def test_large_arrays_are_drawn_in_parts(monkeypatch):
    net, x = mlp(7), jnp.ones([2, 8])
    monkeypatch.setattr("haiku._core.keys.batched_init._LARGEST", 3 * 8 * 8)
    jax.tree.map(
        np.testing.assert_array_equal,
        jax.jit(net.init)(jax.random.key(0), x),
        net.init(jax.random.key(0), x),
    )
