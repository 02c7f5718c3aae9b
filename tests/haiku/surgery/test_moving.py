"""`hk.surgery.rename` and `map_like`."""

import jax
import jax.numpy as jnp
import optax
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk

sg = hk.surgery


NAMES = st.sampled_from(["a", "b", "enc", "dec", "linear", "linear_1", "~"])


PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


TREES = st.dictionaries(
    PATHS,
    st.dictionaries(st.sampled_from("wbg"), st.integers(0, 99), min_size=1),
    min_size=1,
)


def unrolled(layers=3):
    def f(x):
        for _ in range(layers):
            x = jax.nn.relu(hk.Linear(4, name="block")(x))
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


X = jnp.arange(8.0).reshape(2, 4)


@given(TREES)
@settings(max_examples=60, deadline=None)
def test_a_rename_can_be_undone(tree):
    there = sg.rename(tree, {"**/{name}": "outer/**/x_{name}"})
    assert set(there) == {f"outer/{module}" for module in tree}
    assert sg.rename(there, {"outer/**/x_{name}": "**/{name}"}) == tree


def test_two_paths_can_change_places():
    tree = {"a": {"w": 1}, "b": {"w": 2}}
    assert sg.rename(tree, {"a/w": "b/w", "b/w": "a/w"}) == {
        "a": {"w": 2},
        "b": {"w": 1},
    }


def loss(params):
    return jnp.mean(unrolled().apply(params, X) ** 2)


def test_an_optimizers_state_goes_with_the_parameters():
    params = unrolled().init(jax.random.key(0), X)
    optimizer = optax.chain(
        optax.masked(optax.adam(1e-2), lambda p: sg.mask(p, "**")), optax.trace(0.9)
    )
    state = optimizer.init(params)
    _, state = optimizer.update(jax.grad(loss)(params), state, params)

    def surgery(tree):
        return sg.stack(tree, "block{_i}/*", "stack/block/*")

    moved = sg.map_like(surgery, state, params)
    wanted = jax.eval_shape(optimizer.init, surgery(params))
    assert jax.tree.structure(moved) == jax.tree.structure(wanted)
    same = jax.tree.map(lambda a, b: a.shape == b.shape, moved, wanted)
    assert all(jax.tree.leaves(same))
    grads = surgery(jax.grad(loss)(params))
    updates, _ = optimizer.update(grads, moved, surgery(params))
    unmoved, _ = optimizer.update(jax.grad(loss)(params), state, params)
    assert not sg.diff(surgery(unmoved), updates, rtol=1e-6)


def test_renaming_for_fine_tuning():
    """A checkpoint of one model, loaded into another with a new head."""
    old = unrolled().init(jax.random.key(0), X)
    net = hk.transform(lambda x: hk.nets.MLP([4, 4, 4, 7], name="net")(x))
    fresh = net.init(jax.random.key(1), X)
    body, _ = sg.split(old, "block*/*")
    body = sg.rename(
        body, {"block/*": "net/~/linear_0/*", "block_{i}/*": "net/~/linear_{i}/*"}
    )
    params = sg.merge(body, sg.select(fresh, "net/~/linear_3/*"))
    assert not [c for c in sg.diff(fresh, params).changed if c.shape]
    assert net.apply(params, None, X).shape == (2, 7)
