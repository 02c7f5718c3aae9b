"""`hk.data_structures.pack`: parameters packed into one vector."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import haiku as hk
from haiku.data_structures import Packed, pack, unpack

TREE = {
    "a": {"w": np.arange(6.0, dtype=np.float32).reshape(2, 3), "b": np.float32(7)},
    "c": {"n": np.array([8, 9], np.int32), "e": np.zeros([0, 2], np.float32)},
    "d": {"h": jnp.ones([2], jnp.bfloat16)},
}


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        assert (x.shape, x.dtype) == (y.shape, y.dtype)
        np.testing.assert_array_equal(x, y)


def test_unpack_reverses_pack():
    packed = pack(TREE)
    assert [(x.shape, x.dtype.name) for x in jax.tree.leaves(packed)] == [
        ((7,), "float32"),
        ((2,), "int32"),
        ((2,), "bfloat16"),
    ]
    assert_equal(unpack(packed), TREE)
    assert_equal(jax.jit(lambda t: unpack(pack(t)))(TREE), TREE)
    assert unpack(pack({})) == {}
    assert "5 arrays" in repr(packed)


def test_equal_layouts_compile_once():
    traced = []

    @jax.jit
    def f(packed):
        traced.append(packed)
        return packed

    for again in (
        pack(TREE),
        copy.deepcopy(pack(TREE)),
        pickle.loads(pickle.dumps(pack(TREE))),
    ):
        assert_equal(unpack(f(again)), TREE)
    assert len(traced) == 1
    assert jax.tree.structure(pack(TREE)) != jax.tree.structure(pack({"a": TREE["a"]}))


def test_vectors_may_have_leading_axes():
    members = [jax.tree.map(lambda x, i=i: x + i, TREE) for i in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *map(pack, members))
    got = unpack(stacked)
    assert_equal(got, jax.tree.map(lambda *x: jnp.stack(x), *members))
    mapped = jax.vmap(lambda p: unpack(p)["a"]["w"].sum())(stacked)
    np.testing.assert_array_equal(mapped, [15, 21, 27])


def test_training_equals_that_with_dicts():
    net = hk.without_apply_rng(hk.transform(lambda x: hk.nets.MLP([5, 4, 1])(x)))
    x = jnp.asarray(np.random.default_rng(0).normal(size=[8, 3]), "float32")
    params = net.init(jax.random.key(0), x)
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(0.1))

    @jax.jit
    def step(params, state):
        loss = lambda p: jnp.mean(jnp.square(net.apply(p, x) - 1))  # noqa: E731
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    packed, states = (
        pack(params),
        (optimizer.init(params), optimizer.init(pack(params))),
    )
    for _ in range(3):
        params, state = step(params, states[0])
        packed, packed_state = step(packed, states[1])
        states = state, packed_state
    assert isinstance(packed, Packed)
    assert len(jax.tree.leaves(packed)) == 1
    for a, b in zip(jax.tree.leaves(unpack(packed)), jax.tree.leaves(params)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_gradient_is_one_concatenation():
    packed = pack({str(i): np.ones([3], np.float32) for i in range(9)})

    def loss(packed):
        return sum(jnp.sum(x**2) for x in unpack(packed).values())

    text = jax.jit(jax.grad(loss)).lower(packed).as_text()
    assert text.count("stablehlo.concatenate") == 1
    assert text.count("stablehlo.pad") == 0
    np.testing.assert_array_equal(jax.grad(loss)(packed).vectors[0], 2 * np.ones(27))
    direction = jax.jvp(loss, (packed,), (packed,))[1]
    np.testing.assert_array_equal(direction, 54)


def test_wrong_trees_and_vectors_raise():
    with pytest.raises(TypeError, match=r"\['a'\]\['b'\] is str 'x': leave it out"):
        pack({"a": {"b": "x"}})
    with pytest.raises(TypeError, match="pack returned, got dict"):
        unpack({})
    packed = pack(TREE)
    cut = Packed(tuple(x[1:] for x in packed.vectors), packed.layout)
    with pytest.raises(ValueError, match=r"shape \(6,\): .* their 7 elements"):
        unpack(cut)
