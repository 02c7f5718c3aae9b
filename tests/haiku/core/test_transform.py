"""transform and its kin: what init and apply take, return and leave alone."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks

import haiku as hk

KEY = jax.random.PRNGKey(0)
X = jnp.ones((2, 4))


def counting(x):
    w = hk.get_parameter("w", x.shape[-1:], init=jnp.ones)
    n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
    hk.set_state("n", n + 1)
    return x * w, n


def test_a_whole_program_runs():
    # The reference's first example, word for word.
    def softmax_cross_entropy(logits, labels):
        one_hot = hk.one_hot(labels, logits.shape[-1])
        return -jnp.sum(jax.nn.log_softmax(logits) * one_hot, axis=-1)

    def loss_fn(images, labels):
        model = hk.Sequential(
            [
                hk.Linear(1000),
                jax.nn.relu,
                hk.Linear(100),
                jax.nn.relu,
                hk.Linear(10),
            ]
        )
        logits = model(images)
        return jnp.mean(softmax_cross_entropy(logits, labels))

    loss_obj = hk.transform(loss_fn)

    images, labels = jnp.ones((4, 784)), jnp.arange(4)
    params = loss_obj.init(KEY, images, labels)
    assert {p: v["w"].shape for p, v in params.items()} == {
        "linear": (784, 1000),
        "linear_1": (1000, 100),
        "linear_2": (100, 10),
    }
    loss, grads = jax.value_and_grad(loss_obj.apply)(params, None, images, labels)
    assert 2 < loss < 4
    after = jax.tree.map(lambda p, g: p - 0.01 * g, params, grads)
    assert loss_obj.apply(after, None, images, labels) < loss


def test_state_goes_in_and_out():
    net = hk.transform_with_state(counting)
    params, state = net.init(None, X)
    assert state == {"~": {"n": 0}}
    for i in range(3):
        (_, n), state = net.apply(params, state, None, X)
        assert (n, state) == (i, {"~": {"n": i + 1}})


def test_parameters_are_plain_dicts_in_creation_order():
    net = hk.transform_with_state(
        lambda x: hk.BatchNorm(True, True, 0.9)(hk.Linear(3)(x), True)
    )
    params, state = net.init(KEY, X)
    assert list(params) == ["linear", "batch_norm"]
    assert list(params["linear"]) == ["w", "b"]
    for values in (params, state, net.apply(params, state, None, X)[1]):
        assert type(values) is dict
        assert {type(named) for named in values.values()} == {dict}


def test_inputs_are_not_changed():
    params, state = {"~": {"w": jnp.ones(4)}}, {"~": {"n": jnp.int32(5)}}
    before = jax.tree.map(lambda x: x, (params, state))
    _, out = hk.transform_with_state(counting).apply(params, state, None, X)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, before, (params, state)))
    assert out is not state
    assert out["~"]["n"] == 6


def test_functions_read_their_values_inside_a_run():
    seen = []

    def look():
        seen.append((hk.get_params(), hk.get_initial_state(), hk.get_current_state()))

    def f(x):
        look()
        counting(x)
        look()
        hk.get_params().clear()

    net = hk.transform_with_state(f)
    params, state = net.init(None, X)
    assert seen[0] == ({}, {}, {})
    assert seen[1][1:] == ({"~": {"n": 0}}, {"~": {"n": 1}})
    assert seen[1][0]["~"]["w"] is params["~"]["w"]
    seen.clear()
    net.apply(params, state, None, X)
    assert seen[0][1:] == ({"~": {"n": 0}}, {"~": {"n": 0}})
    assert seen[1][1:] == ({"~": {"n": 0}}, {"~": {"n": 1}})


def test_same_parameter_is_the_same_array():
    def f():
        first = hk.get_parameter("w", (), init=jnp.ones)
        assert hk.get_parameter("w", ()) is first
        return first

    net = hk.transform(f)
    params = net.init(None)
    assert net.apply(params, None) is params["~"]["w"]


def test_other_arrays_are_parameters_too():
    net = hk.transform(lambda x: hk.Linear(3)(x))
    params = net.init(KEY, X)
    expected = net.apply(params, None, X)
    numpy = jax.tree.map(np.asarray, params)
    np.testing.assert_array_equal(net.apply(numpy, None, np.asarray(X)), expected)
    frozen = hk.data_structures.to_immutable_dict(params)
    np.testing.assert_array_equal(net.apply(frozen, None, X), expected)
    shapes = jax.eval_shape(net.apply, jax.eval_shape(net.init, KEY, X), None, X)
    assert shapes.shape == expected.shape


def test_apply_may_make_new_state():
    net = hk.transform_with_state(lambda: hk.set_state("s", 1))
    assert net.apply({}, {}, None) == (None, {"~": {"s": 1}})
    assert net.apply(None, None, None) == (None, {"~": {"s": 1}})


def test_state_is_added_to_and_removed_from_signatures():
    net = hk.with_empty_state(hk.transform(lambda x: hk.Linear(3)(x)))
    params, state = net.init(KEY, X)
    out, state = net.apply(params, state, None, X)
    assert (out.shape, state) == ((2, 3), {})
    assert isinstance(net, hk.TransformedWithState)
    back = hk.without_state(net)
    assert isinstance(back, hk.Transformed)
    assert jnp.array_equal(back.apply(back.init(KEY, X), None, X), out)


def test_without_apply_rng_takes_no_key():
    net = hk.without_apply_rng(hk.transform(lambda x, y=0: hk.Linear(3)(x) + y))
    params = net.init(KEY, X)
    expected = net.apply(params, X, y=1)
    assert jnp.array_equal(net.apply(params=params, x=X, y=1), expected)
    assert isinstance(net, hk.Transformed)
    stateful = hk.without_apply_rng(hk.transform_with_state(counting))
    params, state = stateful.init(None, X)
    assert stateful.apply(params, state, X)[1] == {"~": {"n": 1}}
    assert stateful.apply(params=params, state=state, x=X)[1] == {"~": {"n": 1}}


def test_signatures_show_the_functions_arguments():
    def f(x, *, scale: float = 2) -> float:
        return x * scale

    def names(function):
        return list(inspect.signature(function).parameters)

    net, stateful = hk.transform(f), hk.transform_with_state(f)
    assert names(net.init) == ["rng", "x", "scale"]
    assert names(net.apply) == ["params", "rng", "x", "scale"]
    assert names(stateful.apply) == ["params", "state", "rng", "x", "scale"]
    assert names(hk.without_apply_rng(net).apply) == ["params", "x", "scale"]
    assert names(hk.with_empty_state(net).apply) == [
        "params",
        "state",
        "rng",
        "x",
        "scale",
    ]
    assert inspect.signature(net.apply).return_annotation is float
    assert inspect.signature(stateful.apply).return_annotation == tuple[float, hk.State]
    # A function's own `rng` is reached by position.
    clashing = hk.transform(lambda rng, x: x + 1)
    assert clashing.apply({}, None, 5, 2) == 3
    assert names(clashing.apply) == ["params", "rng", "rng_", "x"]
    keyword = hk.transform(lambda *, rng: rng)
    assert callable(keyword.apply)
    builtin = hk.transform(min)
    assert builtin.apply({}, None, 1, 2) == 1


def test_running_init_is_true_in_init_alone():
    net = hk.transform(lambda: seen.append(hk.running_init()))
    seen = []
    net.init(None)
    net.apply({}, None)
    assert seen == [True, False]


def test_methods_and_nested_functions_transform():
    class Agent:
        def __init__(self):
            self.net = hk.transform(self.forward)

        def forward(self, x):
            inner = hk.transform(lambda x: hk.Linear(3)(x))
            params = inner.init(KEY, x)
            assert "linear" not in hk.get_params()
            return inner.apply(params, None, x) + hk.Linear(3, name="outer")(x)

    agent = Agent()
    params = agent.net.init(KEY, X)
    assert list(params) == ["outer"]
    assert agent.net.apply(params, None, X).shape == (2, 3)


def test_multi_transform_shares_parameters():
    def f():
        encoder, decoder = hk.Linear(2, name="encoder"), hk.Linear(4, name="decoder")

        def init(x):
            return decoder(encoder(x))

        return init, {"encode": encoder, "decode": decoder}

    net = hk.multi_transform(f)
    params = net.init(KEY, X)
    assert list(params) == ["encoder", "decoder"]
    code = net.apply["encode"](params, None, X)
    assert net.apply["decode"](params, None, code).shape == (2, 4)
    whole = hk.transform(lambda x: f()[0](x))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, params, whole.init(KEY, X)))
    without = hk.without_apply_rng(net)
    assert isinstance(without, hk.MultiTransformed)
    assert jnp.array_equal(without.apply["encode"](params, X), code)


def test_multi_transform_shares_state():
    def f():
        def count():
            n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
            hk.set_state("n", n + 1)
            return n

        return count, (count, lambda: hk.get_state("n"))

    net = hk.multi_transform_with_state(f)
    params, state = net.init(None)
    count, read = net.apply
    n, state = count(params, state, None)
    assert (n, state) == (0, {"~": {"n": 1}})
    assert read(params, state, None)[0] == 1
    without = hk.without_apply_rng(net)
    assert isinstance(without, hk.MultiTransformedWithState)
    assert without.apply[1](params, state)[0] == 1
    assert hk.multi_transform(lambda: (lambda: None, ())).apply == ()


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
def test_init_and_apply_go_through_jax_transformations(make_key):
    net = hk.transform(
        lambda x: jax.nn.relu(hk.Linear(3)(x)) * jax.random.uniform(hk.next_rng_key())
    )
    key = make_key(1)
    params = jax.jit(net.init)(key, X)
    eager = net.init(key, X)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, params, eager))
    out = net.apply(params, key, X)
    with checking_leaks():
        jitted = jax.jit(net.apply)(params, key, X)
    np.testing.assert_allclose(jitted, out, 1e-6, 1e-6)
    mapped = jax.vmap(net.apply, (None, None, 0))(params, key, X)
    np.testing.assert_allclose(mapped, out, 1e-6, 1e-6)
    grads = jax.grad(lambda p: net.apply(p, key, X).sum())(params)
    assert jax.tree.map(jnp.shape, grads) == jax.tree.map(jnp.shape, params)
    per_key = jax.vmap(net.init, (0, None))(jax.random.split(key, 5), X)
    assert per_key["linear"]["w"].shape == (5, 4, 3)
    scanned = jax.lax.scan(lambda c, x: (c, net.apply(params, key, x)), 0, X)[1]
    np.testing.assert_allclose(scanned, out, 1e-6, 1e-6)


@pytest.mark.parametrize("number", [2, 2.5, True])
@pytest.mark.parametrize("around", ["alone", "remat", "jit"])
def test_initializers_that_return_numbers(number, around):
    def scaled(x):
        return x * hk.get_parameter("w", [], jnp.float32, init=lambda *_: number)

    def f(x):
        return {"alone": lambda f: f, "remat": hk.remat, "jit": hk.jit}[around](scaled)(
            x
        )

    net = hk.transform(f)
    params = net.init(None, jnp.ones(3))
    w = params["~"]["w"]
    assert w.shape == () and w.dtype == jnp.float32 and w == number
    np.testing.assert_array_equal(net.apply(params, None, jnp.ones(3)), [number] * 3)
    # A tree of numbers, as JSON gives it.
    plain = {"~": {"w": number}}
    np.testing.assert_array_equal(net.apply(plain, None, jnp.ones(3)), [number] * 3)


def test_a_number_is_a_parameter_of_no_axes():
    f = hk.transform(lambda: hk.get_parameter("w", [1], init=lambda *_: 2))
    with pytest.raises(ValueError, match=r"~/w has shape \[\].*shape \[1\]"):
        f.init(None)
