"""`hk.layer_stack` against the same layers one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)


X = jnp.arange(8.0).reshape(2, 4) / 8


linear = hk.transform(lambda x: hk.Linear(4)(x))


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-5), a, b)


@hk.transform_with_state
def inner():
    hk.get_parameter("w", (), init=jnp.ones)
    hk.Linear(2)(X)
    n = hk.get_state("n", (), init=jnp.zeros)
    hk.set_state("n", n + 1)
    return n


def block(x):
    n = hk.get_state("n", (), init=jnp.zeros)
    hk.set_state("n", n + x.sum())
    return x + jnp.tanh(hk.Linear(x.shape[-1])(x))


@pytest.mark.parametrize("unroll", [1, 3])
@pytest.mark.parametrize("reverse", [False, True])
def test_layer_stack_is_the_layers_one_after_the_other(unroll, reverse):
    def f(x):
        return hk.layer_stack(3, unroll=unroll, name="blocks")(block)(
            x, reverse=reverse
        )

    net = hk.transform_with_state(f)
    params, state = net.init(KEY, X)
    assert jax.tree.map(jnp.shape, params) == {
        "blocks/linear": {"w": (3, 4, 4), "b": (3, 4)}
    }
    out, after = net.apply(params, state, None, X)
    single, x, states = hk.transform_with_state(block), X, {}
    for i in (2, 1, 0) if reverse else (0, 1, 2):
        p = {"linear": jax.tree.map(lambda v, i=i: v[i], params["blocks/linear"])}
        s = {"~": {"n": state["blocks/~"]["n"][i]}}
        x, s = single.apply(p, s, None, x)
        states[i] = s["~"]["n"]
    assert_close(out, x)
    assert_close(after["blocks/~"]["n"], jnp.stack([states[i] for i in range(3)]))


def test_layers_differ_and_gradients_reach_each():
    net = hk.transform(lambda x: hk.layer_stack(3)(lambda x: hk.Linear(4)(x))(x))
    params = net.init(KEY, X)
    w = params["__layer_stack_no_per_layer/linear"]["w"]
    assert not jnp.array_equal(w[0], w[1])
    grads = jax.grad(lambda p: net.apply(p, None, X).sum())(params)
    assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
    assert all(g.any() for g in grads["__layer_stack_no_per_layer/linear"]["w"])


def test_per_layer_inputs_go_to_their_layers_also_in_reverse():
    def f(x, scales, reverse):
        def layer(x, scale):
            return x * scale + 1, x.sum()

        return hk.layer_stack(3, with_per_layer_inputs=True)(layer)(
            x, scales, reverse=reverse
        )

    scales = jnp.array([2.0, 3.0, 5.0])
    net = hk.transform(f)
    out, sums = net.apply({}, None, jnp.ones(()), scales, False)
    assert (out, sums.tolist()) == (((1 * 2 + 1) * 3 + 1) * 5 + 1, [1, 3, 10])
    out, sums = net.apply({}, None, jnp.ones(()), scales, True)
    assert (out, sums.tolist()) == (((1 * 5 + 1) * 3 + 1) * 2 + 1, [19, 6, 1])


def test_a_stack_passes_several_values_and_reverse():
    seen = []

    def layer(x, y, reverse):
        seen.append(reverse)
        return y, x + 1

    def f(x, y):
        return hk.layer_stack(2, pass_reverse_to_layer_fn=True)(layer)(
            x, y, reverse=True
        )

    assert_close(hk.transform(f).apply({}, None, 1.0, 5.0), (2.0, 6.0))
    assert seen == [True]


def test_stacks_nest():
    def f(x):
        inner = hk.layer_stack(3)(lambda x: hk.Linear(4)(x))
        return hk.layer_stack(2, name="outer")(inner)(x)

    params = hk.transform(f).init(KEY, X)
    path = "outer/__layer_stack_no_per_layer/linear"
    assert jax.tree.map(jnp.shape, params) == {
        path: {"w": (2, 3, 4, 4), "b": (2, 3, 4)}
    }


def test_random_keys_differ_between_layers_and_runs():
    def layer(x):
        return x, jax.random.normal(hk.next_rng_key())

    net = hk.transform(
        lambda x: hk.layer_stack(5, with_per_layer_inputs=True)(layer)(x)[1]
    )
    assert net.init(KEY, X) == {}
    a, b = net.apply({}, 1, X), net.apply({}, 2, X)
    assert len(set(np.concatenate([a, b]).tolist())) == 10
    without = hk.transform(lambda x: hk.layer_stack(2)(lambda x: x + 1)(x))
    assert_close(without.apply({}, None, X), X + 2)


def test_init_is_the_reference_s_three_passes():
    # Where a layer draws keys, or asks whether init runs, later layers are made from
    # what `apply` gives; values below are the reference's rule, written out.
    def layer(x):
        hk.get_parameter("seen", (2,), init=lambda *_: x)
        return jax.random.normal(hk.next_rng_key(), (2,))

    def f(x):
        hk.layer_stack(2, name="s")(layer)(x)

    params = hk.transform(f).init(KEY, jnp.zeros(2))
    first = jax.random.split(KEY)[1]
    _, _, apply_key = jax.random.split(first, 3)
    drawn = jax.random.normal(jax.random.split(apply_key)[1], (2,))
    assert_close(params["s/~"]["seen"], jnp.stack([jnp.zeros(2), drawn]))

    def by_mode(x):
        hk.get_parameter("seen", (), init=lambda *_: x)
        return x + (100 if hk.running_init() else 1)

    net = hk.transform(lambda x: hk.layer_stack(3, name="s")(by_mode)(x))
    assert net.init(None, 0.0)["s/~"]["seen"].tolist() == [0, 1, 2]


def test_parameters_are_reused_within_one_module():
    class Twice(hk.Module):
        def __call__(self, x):
            return hk.layer_stack(5)(lambda x: hk.Linear(4, with_bias=False)(x))(x)

    def f(x):
        twice = Twice()
        return twice(twice(x))

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert hk.data_structures.tree_size(params) == 5 * 4 * 4
    w = params["twice/__layer_stack_no_per_layer/linear"]["w"]
    expected = X
    for i in [*range(5), *range(5)]:
        expected = expected @ w[i]
    assert_close(net.apply(params, None, X), expected)


class ByNumber:
    """layer_{i} for layer i."""

    def stacked_to_flat(self, stacked_module_name, scan_idx):
        return stacked_module_name.replace("layer", f"layer_{scan_idx}")

    def flat_to_stacked(self, unstacked_module_name):
        head, _, index = unstacked_module_name.rpartition("layer_")
        return (head + "layer", int(index)) if index.isdigit() else None


def test_transparent_stacks_store_layers_one_by_one():
    def layer(x):
        n = hk.get_state("n", (), init=jnp.zeros)
        hk.set_state("n", n + 1)
        return hk.Linear(4)(x)

    def f(x):
        x = hk.Linear(4, name="before")(x)
        stack = hk.layer_stack(2, transparent=True, transparency_map=ByNumber())
        return stack(lambda x: hk.to_module(layer)("layer")(x))(x)

    net = hk.transform_with_state(f)
    with pytest.raises(ValueError, match="found layers|no parameter"):
        net.apply({"layer_0": {"w": X}}, {}, None, X)

    def linear_layers(x):
        stack = hk.layer_stack(2, transparent=True, transparency_map=ByNumber())
        return stack(lambda x: hk.Linear(4, name="layer")(x))(
            hk.Linear(4, name="before")(x)
        )

    net = hk.transform(linear_layers)
    params = net.init(KEY, X)
    assert list(params) == ["before", "layer_0", "layer_1"]
    assert params["layer_1"]["w"].shape == (4, 4)
    x = X
    for path in params:
        x = x @ params[path]["w"] + params[path]["b"]
    assert_close(net.apply(params, None, X), x)
    with pytest.raises(ValueError, match="found layers \\[0\\] of layer"):
        net.apply({k: v for k, v in params.items() if k != "layer_1"}, None, X)
    assert isinstance(ByNumber(), hk.LayerStackTransparencyMapping)


def test_after_a_loop_the_stack_of_one_step_stays():
    """That of the first step after `scan`, of the last one after `fori_loop`."""

    class Stacked(hk.Module):
        def __call__(self, x):
            return hk.experimental.layer_stack(2)(lambda x: hk.Linear(3)(x))(x)

    def init(kind, steps):
        def f(x):
            module = Stacked()
            if kind == "scan":
                return hk.scan(lambda c, _: (module(c), None), x, None, steps)[0]
            return hk.fori_loop(0, steps, lambda _, c: module(c), x)

        params = hk.transform(f).init(jax.random.key(0), jnp.ones([3]))
        return jax.tree.leaves(params)[1]

    first = init("scan", 1)
    np.testing.assert_array_equal(init("scan", 3), first)
    np.testing.assert_array_equal(init("fori", 1), first)
    assert not np.allclose(init("fori", 3), first)
