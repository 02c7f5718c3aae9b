"""Every layer and net on Explicit mesh axes, where arrays carry their sharding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from module_table import ROWS
from sharded_training import NETS, alone, mesh_of, train

import haiku as hk

R = hk.parallel
KEY = jax.random.key(3, impl="unsafe_rbg")
RULES = {"data": R.data(), "fully sharded": R.fully_sharded(smallest=1)}
# Rows of tokens go to any device: JAX's types have no word for it.
REFUSED = {"MixtureOfExperts": "Make the mesh axes Auto"}
SHORT = ("Linear", "Embed", "Attention", "BatchNorm", "Reshape", "nets.Decoder")
TABLE = [
    pytest.param(name, rules, marks=[] if name in SHORT else [pytest.mark.tables])
    for name, row in ROWS.items()
    if row.shape[row.batch] % 2 == 0
    for rules in RULES
]


def floats(tree):
    return [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]


def specs(tree):
    """How each axis of each array is split."""

    def spec(x):
        found = tuple(x.sharding.spec)
        return (*found, *(None,) * (len(x.shape) - len(found)))

    return [spec(x) for x in jax.tree.leaves(tree)]


@pytest.mark.parametrize(("name", "rules"), TABLE)
def test_gradients_are_typed(name, rules):
    row = ROWS[name]
    net = R.sharded(hk.transform_with_state(row.call), RULES[rules])
    dtype = jnp.int32 if row.integers else jnp.float32
    mesh = mesh_of(AxisType.Explicit, data=2)
    place = NamedSharding(mesh, P(*(None,) * row.batch, "data"))
    x = jax.ShapeDtypeStruct(row.shape, dtype)
    split = jax.ShapeDtypeStruct(row.shape, dtype, sharding=place)

    def loss(params, state, x):
        out, state = net.apply(params, state, KEY, x)
        return sum(jnp.sum(y.astype(jnp.float32) ** 2) for y in floats(out)), state

    with jax.set_mesh(mesh):
        if name in REFUSED:
            with pytest.raises(ValueError, match=REFUSED[name]):
                net.init(KEY, x)
            return
        params, state = R.eval_shape(net.init, KEY, x)
        gradient = jax.value_and_grad(loss, has_aux=True)
        (_, after), grads = jax.eval_shape(gradient, params, state, split)
    assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert specs(grads) == specs(params)


@pytest.mark.parametrize(
    ("net", "rules", "sizes", "kinds"),
    [
        ("decoder", R.fully_sharded(), {"data": 8}, "E"),
        pytest.param(*("ResNet", R.data(), {"data": 8}, "E"), marks=pytest.mark.tables),
        # `tensor` stays on an Auto axis of the same mesh.
        ("MLP", R.fully_sharded() | R.tensor(), {"data": 4, "model": 2}, "EA"),
        pytest.param(
            *("decoder", R.data() | R.tensor(), {"data": 2, "model": 4}, "EA"),
            marks=pytest.mark.tables,
        ),
    ],
)
def test_training_is_that_of_one_device(net, rules, sizes, kinds):
    one = alone(net)
    of_kind = {"E": AxisType.Explicit, "A": AxisType.Auto}
    mesh = jax.make_mesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=tuple(of_kind[kind] for kind in kinds),
    )
    with jax.set_mesh(mesh):
        many = train(NETS[net](), rules)
    np.testing.assert_allclose(many.losses, one.losses, rtol=1e-5, atol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
        many.gradients,
        one.gradients,
    )
    assert many.bytes_made == many.bytes_trained
    if rules.largest or "model" in sizes:
        whole = hk.data_structures.tree_bytes(one.made[0])
        assert max(many.bytes_made) < whole / 2 + 2048
