"""Parameters that are made inside control flow (#100, #205, #345)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3)


def shapes(tree):
    return jax.tree.map(jnp.shape, tree)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
def test_branches_make_different_parameters(jitted):
    a, b = (lambda: hk.nets.MLP([4, 3], name="a")), (lambda: hk.Linear(3, name="b"))

    def f(x, pred):
        return hk.cond(pred, a(), b(), x)

    net = hk.transform(f)
    init, apply = (jax.jit(g) if jitted else g for g in net)
    params = init(KEY, X, True)
    assert sorted(params) == ["a/~/linear_0", "a/~/linear_1", "b"]
    assert shapes(params) == shapes(init(KEY, X, False))
    for pred, build in ((True, a), (False, b)):
        alone = hk.transform(lambda x: build()(x))  # noqa: B023
        want = alone.apply(params, None, X)
        np.testing.assert_allclose(apply(params, None, X, pred), want, 1e-5)


def test_branches_draw_with_different_keys():
    init = hk.initializers.RandomNormal()
    branches = [hk.to_module(lambda x: hk.Linear(3, w_init=init)(x))] * 3

    def f(x):
        built = [branch(f"b{i}") for i, branch in enumerate(branches)]
        return hk.switch(1, built, x)

    params = hk.transform(f).init(KEY, X)
    weights = [params[f"b{i}/linear"]["w"] for i in range(3)]
    assert len({w.tobytes() for w in map(np.asarray, weights)}) == 3


def test_branches_share_modules_of_one_name():
    def shared(x):
        return hk.Linear(3, name="shared")(x)

    def f(x):
        more = lambda x: hk.Linear(3, name="more")(shared(x))  # noqa: E731
        return hk.cond(x.sum() > 0, shared, more, x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert sorted(params) == ["more", "shared"]
    want = X @ params["shared"]["w"] + params["shared"]["b"]
    np.testing.assert_allclose(net.apply(params, None, X), want, 1e-5)


def test_branches_make_different_state():
    def counting(name):
        def branch(x):
            n = hk.get_state(name, (), jnp.int32, init=jnp.zeros)
            hk.set_state(name, n + 1)
            return x + n

        return branch

    net = hk.transform_with_state(lambda i: hk.switch(i, [*map(counting, "abc")], 0.0))
    params, state = net.init(None, 0)
    assert state == {"~": {"a": 0, "b": 0, "c": 0}}
    for i in (0, 1, 2, 0):
        _, state = net.apply(params, state, None, jnp.int32(i))
    assert state == {"~": {"a": 2, "b": 1, "c": 1}}


def test_a_branch_inside_a_loop_inside_a_branch():
    def f(x):
        def body(c):
            return hk.cond(
                c.sum() > 0, hk.Linear(3, name="a"), hk.Linear(3, name="b"), c
            )

        loop = lambda x: hk.fori_loop(0, 3, lambda _, c: body(c), x)  # noqa: E731
        return hk.switch(0, [loop, hk.Linear(3, name="c")], x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert sorted(params) == ["a", "b", "c"]
    assert net.apply(params, None, X).shape == X.shape


def test_a_branch_may_hold_a_layer_stack():
    stack = lambda x: hk.layer_stack(2)(lambda x: hk.Linear(3)(x))(x)  # noqa: E731

    def f(x, pred):
        return hk.cond(pred, lambda x: hk.Linear(3)(x), stack, x)

    net = hk.transform(f)
    params = net.init(KEY, X, True)
    assert shapes(params)["__layer_stack_no_per_layer/linear"]["w"] == (2, 3, 3)
    assert shapes(params)["linear"]["w"] == (3, 3)
    want = X
    for i in range(2):
        own = params["__layer_stack_no_per_layer/linear"]
        want = want @ own["w"][i] + own["b"][i]
    np.testing.assert_allclose(net.apply(params, None, X, False), want, 1e-5)


def test_while_loop_makes_the_parameters_of_body_and_condition():
    def cond(c):
        return hk.Linear(1, name="judge")(c[0]).sum() + c[1] < 3

    def body(c):
        n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
        hk.set_state("n", n + 1)
        return hk.Linear(3, name="step")(c[0]), c[1] + 100.0

    net = hk.transform_with_state(lambda x: hk.while_loop(cond, body, (x, 0.0)))
    params, state = net.init(KEY, X)
    assert shapes(params)["step"] == {"w": (3, 3), "b": (3,)}
    assert shapes(params)["judge"] == {"w": (3, 1), "b": (1,)}
    assert state == {"~": {"n": 0}}  # as if it had not run
    (out, total), after = net.apply(params, state, None, X * 0)
    assert (total, after["~"]["n"]) == (100.0, 1)
    np.testing.assert_allclose(out, 0 * X)
    jitted = jax.jit(net.apply)(params, state, None, X * 0)
    jax.tree.map(np.testing.assert_allclose, jitted, ((out, total), after))


@pytest.mark.parametrize("loop", ["scan", "map", "fori_loop"])
def test_loops_without_steps_make_their_parameters(loop):
    def f(xs):
        step = hk.Linear(3)
        if loop == "scan":
            return hk.scan(lambda c, x: (step(c), x), X, xs)[0]
        if loop == "map":
            return hk.map(step, xs)
        return hk.fori_loop(0, len(xs), lambda _, c: step(c), X)

    net = hk.transform_with_state(f)
    params, state = net.init(KEY, jnp.ones((0, 2, 3)))
    assert shapes(params) == {"linear": {"w": (3, 3), "b": (3,)}} and not state
    three, _ = net.apply(params, state, None, jnp.ones((3, 2, 3)))
    assert jnp.isfinite(three).all()


def test_threads_programs_run():
    """Adaptive depth (#100), one decoder per task (#205), and a policy
    with an option chosen at run time (#345)."""

    def adaptive(x):
        def more(c):
            return c[0] < 4, hk.nets.MLP([8, 3], name="ponder")(c[1])

        steps = hk.while_loop(
            lambda c: (c[0] < 4) & (jnp.abs(c[1]).mean() > 1e-3),
            lambda c: (c[0] + 1, more(c)[1]),
            (0, x),
        )
        return steps[1]

    def tasks(x, task):
        hidden = hk.Linear(4)(x)
        heads = [hk.nets.MLP([i, 2], name=f"task_{i}") for i in (3, 5, 7)]
        return hk.switch(task, heads, hidden)

    def option(x):
        logits = hk.Linear(2)(x.mean(0))
        return hk.cond(
            logits[0] > logits[1],
            lambda x: hk.Linear(1, name="left")(x),
            lambda x: hk.Linear(1, name="right")(jnp.tanh(x)),
            x,
        )

    for f, args in ((adaptive, (X,)), (tasks, (X, 2)), (option, (X,))):
        net = hk.without_apply_rng(hk.transform(f))
        params = net.init(KEY, *args)
        out = jax.jit(net.apply)(params, *args)
        assert jnp.isfinite(out).all()
    assert net.init(KEY, X).keys() == {"linear", "left", "right"}
