"""`pipelined_stack`: the numbers of `layer_stack`, and the schedule of GPipe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sharded_training import KEY, mesh_of

import haiku as hk
from haiku.parallel.program_text import read_program

R = hk.parallel
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(16, 8)).astype(np.float32)
WEIGHTS = RANDOM.normal(size=X.shape).astype(np.float32)


def layer(x):
    return x + jnp.tanh(hk.Linear(x.shape[-1])(hk.LayerNorm(-1, True, True)(x)))


PLAIN = hk.transform(lambda x: hk.layer_stack(8)(layer)(x))


def value_and_grads(net, params, x):
    def loss(params, x):
        return jnp.sum(WEIGHTS * net.apply(params, None, x))

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1))), (params, x)


@pytest.mark.parametrize(
    ("sizes", "microbatches"),
    [
        ({"pipe": 4, "data": 2}, 4),
        pytest.param({"pipe": 8}, 2, marks=pytest.mark.tables),
        pytest.param({"pipe": 2}, 1, marks=pytest.mark.tables),
    ],
)
def test_it_equals_a_layer_stack(sizes, microbatches):
    rules = R.pipeline() | R.data()
    net = hk.transform(lambda x: R.pipelined_stack(8, microbatches)(layer)(x))
    wanted_params = PLAIN.init(KEY, X)
    f, args = value_and_grads(PLAIN, wanted_params, X)
    wanted = f(*args)
    with jax.set_mesh(mesh_of(**sizes)):
        net = R.sharded(net, rules)
        params = net.init(KEY, X)
        f, args = value_and_grads(net, params, R.global_batch(X, rules))
        found = f(*args)
        program = f.lower(*args).compile().as_text()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6), params, wanted_params
    )
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        found[1],
        wanted[1],
    )
    stages = sizes["pipe"]
    for x in jax.tree.leaves(params):
        assert x.sharding.spec == P("pipe")
        assert {s.data.shape[0] for s in x.addressable_shards} == {8 // stages}
    sent = {c.kind: c.count for c in read_program(program)[0]}["collective-permute"]
    assert sent == 2 * (microbatches + stages - 1)  # forward and backward


def test_the_plan_says_how_long_devices_wait():
    net = hk.transform(lambda x: R.pipelined_stack(8, 6)(layer)(x))
    found = R.plan(net, R.pipeline(), mesh_of(pipe=4), X[:12])
    assert found.bubble == pytest.approx(3 / 9)
    assert "waiting in the pipeline" in str(found)
    assert "33.3% of the time" in str(found)


def test_without_its_axis_it_is_a_layer_stack():
    net = hk.transform(lambda x: R.pipelined_stack(8, 4)(layer)(x))
    params = net.init(KEY, X)
    jax.tree.map(np.testing.assert_array_equal, params, PLAIN.init(KEY, X))
    np.testing.assert_array_equal(
        net.apply(params, None, X), PLAIN.apply(params, None, X)
    )


def test_layers_that_draw_have_other_keys_for_each_part():
    def noisy(x):
        return x + jax.random.normal(hk.next_rng_key(), x.shape)

    net = hk.transform(lambda x: R.pipelined_stack(2, 4)(noisy)(x))
    with jax.set_mesh(mesh_of(pipe=2)):
        out = jax.jit(net.apply)({}, KEY, np.zeros([8, 64], np.float32))
    assert len(np.unique(out)) == out.size
    assert abs(np.var(out) - 2) < 0.5


@pytest.mark.parametrize(
    ("layers", "microbatches", "rows", "message"),
    [
        (6, 2, 8, "has 6 layers, which the mesh axis 'pipe' of 4 devices"),
        (8, 3, 8, r"microbatches=3 parts, but got an array of shape \(8, 8\)"),
        (8, 0, 8, "at least 1 part, got microbatches=0"),
    ],
)
def test_what_does_not_fit_is_an_error(layers, microbatches, rows, message):
    net = hk.transform(lambda x: R.pipelined_stack(layers, microbatches)(layer)(x))
    with (
        jax.set_mesh(mesh_of(pipe=4)),
        pytest.raises(ValueError, match=message),
    ):
        params = net.init(KEY, X[:rows])
        net.apply(params, None, X[:rows])


def test_layers_with_state_are_refused():
    def counting(x):
        hk.set_state("n", hk.get_state("n", [], init=jnp.zeros) + 1)
        return x

    net = hk.transform_with_state(lambda x: R.pipelined_stack(4, 2)(counting)(x))
    with (
        jax.set_mesh(mesh_of(pipe=4)),
        pytest.raises(ValueError, match=r"layers that keep state: \['~'\]"),
    ):
        params, state = net.init(KEY, X)
        net.apply(params, state, None, X)
