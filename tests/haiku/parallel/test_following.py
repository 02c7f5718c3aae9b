"""`follow`, `shardings`, `eval_shape`: arrays that live beside parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from sharded_training import KEY, NETS, mesh_of

import haiku as hk

R = hk.parallel


def params_on(mesh, rules):
    net = NETS["MLP"]()
    with jax.set_mesh(mesh):
        return R.sharded(hk.transform(net.forward), rules).init(KEY, net.inputs)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.adam(1e-3),
        optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
        optax.multi_transform(
            {"a": optax.adam(1e-3), "b": optax.set_to_zero()},
            lambda params: hk.surgery.labels(params, {"**/b": "b", "**": "a"}),
        ),
    ],
    ids=["adam", "chain", "multi"],
)
def test_an_optimizers_arrays_live_where_their_parameters_live(optimizer):
    params = params_on(mesh_of(data=4, model=2), R.fully_sharded() | R.tensor())
    state = R.follow(optimizer.init)(params)
    plain = optimizer.init(params)
    jax.tree.map(np.testing.assert_array_equal, state, plain)
    structure = jax.tree.structure(params)
    copies = [
        part
        for part in jax.tree.leaves(
            state, is_leaf=lambda x: jax.tree.structure(x) == structure
        )
        if jax.tree.structure(part) == structure
    ]
    for copy in copies:
        places = jax.tree.map(lambda x: x.sharding, copy)
        assert places == jax.tree.map(lambda x: x.sharding, params)
    split = [x for x in jax.tree.leaves(state) if not x.sharding.is_fully_replicated]
    assert split
    shapes = R.eval_shape(R.follow(optimizer.init), params)
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), shapes) == (
        jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state)
    )


def test_other_shapes_and_paths_are_on_every_device():
    params = params_on(mesh_of(data=8), R.fully_sharded())

    def f(params):
        table = params["mlp/~/linear_0"]["w"]
        return {"w": table.T, "other": table, "count": jnp.zeros([])}

    out = R.follow(f)(params)
    assert {x.sharding.spec for x in jax.tree.leaves(out)} == {P()}


def test_eval_shape_says_where_init_would_make_arrays():
    net, rules = NETS["MLP"](), R.fully_sharded() | R.tensor()
    pair = R.sharded(hk.transform_with_state(net.forward), rules)
    with jax.set_mesh(mesh_of(data=4, model=2)):
        shapes = R.eval_shape(pair.init, KEY, net.inputs)
        made = pair.init(KEY, net.inputs)
    described = jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), made)
    assert described == jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), shapes)
    plain = R.eval_shape(pair.init, KEY, net.inputs)
    assert jax.tree.leaves(R.shardings(plain)) == []


def test_the_same_init_under_other_rules_has_other_places():
    net = hk.transform(NETS["MLP"]().forward)
    x = NETS["MLP"]().inputs
    with jax.set_mesh(mesh_of(data=8)):
        first = R.eval_shape(R.sharded(net, R.fully_sharded()).init, KEY, x)
        other = R.eval_shape(R.sharded(net, R.tensor("data")).init, KEY, x)
    assert R.shardings(first) != R.shardings(other)


def test_without_a_mesh_it_calls_the_function():
    calls = []

    def f(params):
        calls.append(params)
        return params

    params = {"linear": {"w": jnp.ones([2])}}
    assert R.follow(f)(params) is params
    assert calls == [params]


def test_shardings_of_other_things_are_left_to_jit():
    mesh = mesh_of(data=8)
    placed = jax.device_put(np.ones([8]), NamedSharding(mesh, P("data")))
    tree = {"a": placed, "b": np.ones([2]), "c": 3, "d": jnp.ones([2])}
    assert R.shardings(tree) == {"a": placed.sharding, "b": None, "c": None, "d": None}
    step = jax.jit(lambda x: x, out_shardings=R.shardings(tree))
    assert step(tree)["a"].sharding == placed.sharding


def test_arrays_on_explicit_axes_are_followed():
    params = params_on(mesh_of(AxisType.Explicit, data=8), R.fully_sharded())
    with jax.set_mesh(mesh_of(AxisType.Explicit, data=8)):
        state = R.follow(optax.adam(1e-3).init)(params)
    table = state[0].mu["mlp/~/linear_0"]["w"]
    assert table.sharding.spec == params["mlp/~/linear_0"]["w"].sharding.spec
    assert "data" in table.sharding.spec


def test_eval_shape_refuses_functions_without_places():
    with pytest.raises(TypeError, match=r"write jax\.eval_shape"):
        R.eval_shape(jnp.sin, 1.0)
