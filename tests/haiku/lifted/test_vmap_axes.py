"""`hk.vmap`: axes, keys, collectives and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lifted_programs import KEY, X, assert_close, noise

import haiku as hk


def test_vmap_axes_keys_and_collectives():
    def f(x):
        batch = hk.vmap(
            lambda a, b, *, c: (a + b + c, jax.lax.pmean(a.sum(), "i")),
            in_axes=(1, None),
            out_axes=(1, 0),
            axis_name="i",
            split_rng=False,
        )(x, x[:, 0], c=jnp.arange(4.0))
        listed = hk.vmap(lambda a: a * 2, in_axes=[0], split_rng=False)(x)
        nested = hk.vmap(
            lambda pair: pair["a"] + pair["b"],
            in_axes=({"a": 0, "b": None},),
            split_rng=True,
        )({"a": x, "b": x[0]})
        return batch, listed, nested

    (added, mean), listed, nested = hk.transform(f).apply({}, KEY, X)
    assert_close(added, X + X[:, :1] + jnp.arange(4.0))
    assert_close(mean, jnp.full(4, X.sum() / 4))
    assert_close((listed, nested), (X * 2, X + X[0]))


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
def test_vmap_gives_each_example_keys_of_its_own(make_key):
    def f(split):
        same = hk.vmap(lambda _: jax.random.normal(hk.next_rng_key()), split_rng=split)(
            jnp.arange(3)
        )
        sized = hk.vmap(lambda: noise(jnp.zeros(())), axis_size=3, split_rng=split)()
        return jnp.concatenate([same, sized, noise(jnp.zeros(2))])

    for split, distinct in ((True, 8), (False, 4)):
        drawn = hk.transform(lambda s=split: f(s)).apply({}, make_key(2))
        assert len(set(np.asarray(drawn).tolist())) == distinct


def test_vmap_without_split_rng_where_others_code_can_not_be_changed():
    hk.vmap.require_split_rng = False
    try:
        f = hk.vmap(hk.next_rng_key, axis_size=2)
    finally:
        hk.vmap.require_split_rng = True
    a, b = hk.transform(f).apply({}, KEY)
    assert jnp.array_equal(a, b)


def test_errors_of_vmap_that_are_jaxs_own_stay():
    def sizes(x):
        hk.vmap(lambda a, b: a, in_axes=(0, 1), split_rng=True)(x, x)

    with pytest.raises(ValueError, match="inconsistent sizes"):
        hk.transform(sizes).apply({}, KEY, X)
    with pytest.raises(ValueError, match="out_axes"):
        hk.transform(
            lambda x: hk.vmap(lambda a: a, out_axes=None, split_rng=True)(x)
        ).apply({}, KEY, X)


def test_state_that_differs_names_the_way_to_keep_it():
    def f(xs):
        return hk.vmap(lambda x: hk.set_state("s", x), split_rng=False)(xs)

    with pytest.raises(ValueError, match=r"~/s.*state_axis=0"):
        hk.transform_with_state(f).init(None, jnp.ones(3))
