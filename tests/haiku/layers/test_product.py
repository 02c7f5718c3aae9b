"""The product of every layer with weights takes leading axes as one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from haiku._layers.product import product

RANDOM = np.random.default_rng(0)
W = jnp.asarray(RANDOM.standard_normal((4, 5)), jnp.float32)


def rows(*leading):
    return jnp.asarray(RANDOM.standard_normal((*leading, 4)), jnp.float32)


def loss(f):
    return lambda x, w: jnp.sum(jnp.sin(f(x, w)))


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (2, 1, 3), (2, 0), (0, 0, 2)])
def test_values_and_derivatives_are_those_of_dot(leading):
    x = rows(*leading)
    np.testing.assert_allclose(product(x, W), jnp.dot(x, W), 1e-6, 1e-6)
    for derivative in (jax.grad, jax.hessian):
        got, want = (derivative(loss(f), (0, 1))(x, W) for f in (product, jnp.dot))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-5), got, want
        )


def test_a_matrix_without_rows_or_columns():
    assert product(jnp.ones([2, 3, 0]), jnp.ones([0, 5])).shape == (2, 3, 5)
    assert product(rows(2, 3), jnp.ones([4, 0])).shape == (2, 3, 0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_mapped_over_an_axis(axis):
    x = jnp.moveaxis(rows(6, 2, 3), 0, axis)
    got = jax.vmap(product, (axis, None))(x, W)
    np.testing.assert_allclose(got, jnp.dot(jnp.moveaxis(x, axis, 0), W), 1e-6, 1e-6)


def gradient_of_the_matrix(*leading):
    program = jax.jit(jax.grad(loss(product), 1)).lower(rows(*leading), W).as_text()
    return [
        x for x in program.splitlines() if "dot_general" in x and "x4x5xf32" not in x
    ]


def test_the_gradient_of_the_matrix_is_one_product_of_all_rows():
    products = gradient_of_the_matrix(2, 3)
    assert products and all("6x" in x and "2x3x" not in x for x in products)


def test_on_a_mesh_the_axes_stay_apart():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(AxisType.Auto,))
    with jax.set_mesh(mesh):
        products = gradient_of_the_matrix(2, 3)
    assert products and all("2x3x" in x for x in products)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("spec", [P("data"), P("data", "seq"), P(None, "seq")])
def test_what_is_split_without_a_mesh_around_it_stays_so(spec, kind):
    mesh = jax.make_mesh((2, 2), ("data", "seq"), axis_types=(kind, kind))
    x = jax.device_put(rows(4, 6), NamedSharding(mesh, spec))
    for f in (product, jax.jit(product)):
        y = f(x, W)
        np.testing.assert_allclose(y, jnp.dot(np.asarray(x), W), 1e-6, 1e-6)
        assert y.sharding.is_equivalent_to(x.sharding, 3)


def test_sizes_that_are_symbols():
    batch, length = jax.export.symbolic_shape("b, t")
    x = jax.ShapeDtypeStruct((batch, length, 4), jnp.float32)
    exported = jax.export.export(jax.jit(lambda x: product(x, W)))(x)
    x = rows(3, 7)
    np.testing.assert_allclose(exported.call(x), jnp.dot(x, W), 1e-6, 1e-6)
