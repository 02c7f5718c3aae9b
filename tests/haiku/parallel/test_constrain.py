"""`constrain`: arrays inside a net, split as the rules in force say."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from sharded_training import KEY, mesh_of

import haiku as hk

R = hk.parallel
X = np.arange(64, dtype=np.float32).reshape(8, 8)


def constrained(rules, *names, x=X, wrap=lambda f: f):
    """An array that went through `constrain` in the `apply` of a sharded net."""
    net = R.sharded(hk.transform(wrap(lambda x: R.constrain(x, *names))), rules)
    out = jax.jit(net.apply)({}, None, x)
    np.testing.assert_array_equal(out, x)
    return out.sharding.spec


def test_it_splits_by_the_rules_and_the_leftmost_axis_takes_a_mesh_axis():
    rules = R.data() | R.tensor() | R.sequence()
    with jax.set_mesh(mesh_of(data=2, model=4)):
        assert constrained(rules, "batch", "mlp") == P("data", "model")
        assert constrained(rules, "length", "mlp") == P("model")
        assert constrained(rules, None, "mlp") == P(None, "model")
        assert constrained(rules, "batch", "unknown") == P("data")
        assert constrained(rules, ("batch", "model"), None) == P(("data", "model"))
        one = np.ones([1, 8], np.float32)
        assert constrained(rules, "batch", "mlp", x=one) == P(None, "model")


def test_explicit_axes_are_split_too():
    with jax.set_mesh(mesh_of(AxisType.Explicit, data=8)):
        assert constrained(R.data(), "batch", None) == P("data", None)


def test_axes_that_a_shard_map_took_are_left_out():
    def wrap(f):
        def inside(x):
            return jax.shard_map(
                f, in_specs=P("data"), out_specs=P("data"), axis_names={"data"}
            )(x)

        return inside

    rules = R.data() | R.tensor()
    with jax.set_mesh(mesh_of(data=2, model=4)):
        assert constrained(rules, "batch", "mlp", wrap=wrap) == P("data", "model")


def test_under_vmap_and_grad_names_are_those_of_one_example():
    def f(x):
        scale = hk.get_parameter("scale", [8], init=jnp.ones)
        return jnp.sum(R.constrain(scale * x, "mlp") ** 2)

    net = R.sharded(hk.transform(f), R.tensor())
    with jax.set_mesh(mesh_of(model=8)):
        params = net.init(KEY, X[0])

        def loss(params, x):
            return jnp.sum(jax.vmap(net.apply, (None, None, 0))(params, None, x))

        grads = jax.jit(jax.grad(loss))(params, X)
    np.testing.assert_allclose(grads["~"]["scale"], 2 * np.sum(X**2, 0), rtol=1e-6)


def test_elsewhere_it_is_its_input():
    x = jnp.ones([3])
    assert R.constrain(x, "batch", "whatever") is x
    with jax.set_mesh(mesh_of(data=8)):
        assert R.constrain(x, "batch") is x
    net = R.sharded(hk.transform(lambda x: R.constrain(x, "batch")), R.data())
    assert net.apply({}, None, x) is x


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("batch",), r"got 1 names, \('batch',\), for an array of shape \(8, 8\)"),
        (("mlp", None), r"has 8 along axis 0, 'mlp'.*Make it 9, or leave it whole"),
        ((("mlp", "x"), None), "Make it 9, or write None in its place"),
    ],
)
def test_what_does_not_fit_is_an_error(names, message):
    rules = R.data() | R.Rules({"mlp": "three"})
    with jax.set_mesh(mesh_of(data=2, three=3)):
        assert constrained(rules, None, "batch") == P(None, "data")
        with pytest.raises(ValueError, match=message):
            constrained(rules, *names)
