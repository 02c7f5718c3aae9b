"""JAX's transformations inside: what goes through them, and what they leave behind."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)
X = jnp.arange(8.0).reshape(2, 4) / 8


def count(name="n"):
    n = hk.get_state(name, (), jnp.int32, init=jnp.zeros)
    hk.set_state(name, n + 1)
    return n


def noise(x):
    return x + jax.random.normal(hk.next_rng_key(), x.shape)


def layer(x):
    """Parameters, state and keys in one."""
    n = count()
    return noise(jnp.tanh(hk.Linear(x.shape[-1])(x))) * (n + 1)


def run(f, *args, key=KEY, jit=True):
    """`(params, initial state, output, state)` of a program."""
    net = hk.transform_with_state(f)
    params, state = net.init(key, *args)
    out, after = (jax.jit(net.apply) if jit else net.apply)(params, state, key, *args)
    return params, state, out, after


def assert_close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, 1e-5, 1e-5), a, b)


@pytest.mark.parametrize("make_key", [jax.random.PRNGKey, jax.random.key])
@pytest.mark.parametrize(
    "around",
    [
        lambda f: hk.remat(f),
        lambda f: lambda x: hk.cond(x.sum() > -99, f, f, x),
        lambda f: lambda x: hk.switch(1, [f, f, f], x),
        lambda f: lambda x: hk.scan(lambda c, x: (c, f(x)), 0, x[None])[1][0],
        lambda f: lambda x: hk.map(f, x[None])[0],
        lambda f: lambda x: hk.fori_loop(0, 1, lambda i, x: f(x), x),
        lambda f: lambda x: hk.vmap(f, split_rng=False)(x[None])[0],
        lambda f: (
            lambda x: hk.value_and_grad(
                lambda x: (lambda y: (y.sum(), y))(f(x)), has_aux=True
            )(x)[0][1]
        ),
    ],
    ids=[
        "remat",
        "cond",
        "switch",
        "scan",
        "map",
        "fori_loop",
        "vmap",
        "value_and_grad",
    ],
)
def test_one_call_is_the_call_itself(around, make_key):
    def plain(x):
        module = hk.to_module(layer)("layer")
        y = module(x)
        return y, noise(y), count("outside")

    def lifted(x):
        module = hk.to_module(layer)("layer")
        y = around(module)(x)
        return y, noise(y), count("outside")

    assert_close(run(plain, X, key=make_key(1)), run(lifted, X, key=make_key(1)))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2])
def test_scan_is_a_python_loop(reverse, unroll):
    xs = jnp.arange(20.0).reshape(5, 4) / 20

    def step(module):
        def f(carry, x):
            carry = module(carry) + x
            return carry, {"y": carry.sum(), "n": hk.get_state("n")}

        return f

    def loop(xs):
        f, carry, ys = step(hk.to_module(layer)("layer")), jnp.zeros(4), []
        count()
        for x in xs[::-1] if reverse else xs:
            carry, y = f(carry, x)
            ys.append(y)
        ys = ys[::-1] if reverse else ys
        return carry, jax.tree.map(lambda *ys: jnp.stack(ys), *ys), noise(carry)

    def scan(xs):
        f = step(hk.to_module(layer)("layer"))
        count()
        carry, ys = hk.scan(f, jnp.zeros(4), xs, reverse=reverse, unroll=unroll)
        return carry, ys, noise(carry)

    assert_close(run(loop, xs), run(scan, xs))


def test_scan_without_steps_still_makes_parameters():
    def f(x):
        carry, ys = hk.scan(lambda c, x: (layer(c), x), jnp.zeros(4), x[:0])
        return carry, ys, count("after")

    params, state, (carry, ys, _), after = run(f, X)
    assert params["linear"]["w"].shape == (4, 4)
    assert state["~"] == {"n": 0, "after": 0}
    assert (carry == 0).all()
    assert ys.shape == (0, 4)
    assert after["~"] == {"n": 0, "after": 1}


def test_scan_with_length_alone():
    def f():
        return hk.scan(lambda c, _: (c + count(), None), 0, None, length=4)

    assert run(f)[2] == (0 + 1 + 2 + 3, None)


def test_map_runs_one_after_the_other():
    params, _, out, after = run(lambda x: hk.map(hk.Linear(3), x), X)
    assert_close(out, X @ params["linear"]["w"])
    assert after == {}


@pytest.mark.parametrize(("lower", "upper"), [(0, 4), (2, 5), (3, 4)])
@pytest.mark.parametrize("traced", [False, True])
def test_fori_loop_is_a_python_loop(lower, upper, traced):
    def body(module):
        return lambda i, x: module(x) + i

    def loop(x, lower, upper):
        del lower, upper
        step = body(hk.to_module(layer)("layer"))
        for i in range(*bounds):
            x = step(i, x)
        return x, noise(x)

    def fori(x, lower, upper):
        lower, upper = (lower, upper) if traced else bounds
        x = hk.fori_loop(lower, upper, body(hk.to_module(layer)("layer")), x)
        return x, noise(x)

    bounds = lower, upper
    assert_close(run(loop, X, *bounds), run(fori, X, *bounds))


def test_fori_loop_without_steps():
    def f(x):
        return hk.fori_loop(3, 3, lambda i, x: layer(x), x)

    params, state, out, after = run(f, X)
    assert "linear" in params
    assert (state, after) == ({"~": {"n": 0}},) * 2
    assert_close(out, X)


def test_while_loop_sees_the_state_as_it_is():
    def f():
        count()
        if hk.running_init():
            return 0
        return hk.while_loop(
            lambda x: hk.get_state("n") < 5, lambda x: x + 10 * count(), 0
        )

    _, _, out, after = run(f)
    assert out == 10 * (1 + 2 + 3 + 4)
    assert after == {"~": {"n": 5}}


def test_while_loop_carries_keys():
    def f(x):
        if hk.running_init():
            return x, x
        _, y = hk.while_loop(
            lambda c: c[0] < 3, lambda c: (c[0] + 1, noise(c[1])), (0, x)
        )
        return y, noise(x)

    def loop(x):
        if hk.running_init():
            return x, x
        y = x
        for _ in range(3):
            y = noise(y)
        return y, noise(x)

    assert_close(run(f, X), run(loop, X))


def test_cond_forms():
    def f(x, pred):
        a = hk.cond(pred, lambda: 1.0, lambda: 2.0)
        b = hk.cond(pred, lambda x: x.sum(), lambda x: -x.sum(), operand=x)
        c = hk.cond(pred, x, lambda x: x + 1, x + 5, lambda x: x * 2)
        d = hk.cond(pred, lambda x, y: x, lambda x, y: y, 1, 2)
        return a, b, c, d

    net = hk.transform(f)
    assert_close(net.apply({}, None, X, True), (1.0, X.sum(), X + 1, 1))
    assert_close(net.apply({}, None, X, False), (2.0, -X.sum(), (X + 5) * 2, 2))


def test_branches_may_use_different_numbers_of_keys_and_states():
    def f(i):
        hk.get_state("a", (), init=jnp.zeros), hk.get_state("b", (), init=jnp.zeros)

        def first():
            hk.set_state("a", 1.0)
            return jnp.zeros(2)

        def second():
            hk.set_state("b", 2.0)
            return noise(noise(jnp.zeros(2)))

        def third():
            hk.reserve_rng_keys(9)
            return noise(jnp.zeros(2))

        hk.next_rng_key()
        return hk.switch(i, [first, second, third]), noise(jnp.zeros(2))

    net = hk.transform_with_state(f)
    state = net.init(KEY, 0)[1]
    for size in (1, 3):
        with hk.config.context(rng_reserve_size=size):
            outs = [net.apply({}, state, KEY, i) for i in range(3)]
        assert outs[0][1] == {"~": {"a": 1, "b": 0}}
        assert outs[1][1] == {"~": {"a": 0, "b": 2}}
        drawn = [np.asarray(x) for out, _ in outs for x in out if x.any()]
        assert len({x.tobytes() for x in drawn}) >= 4


@pytest.mark.parametrize("n", [1, 2, 4])
def test_branches_that_are_the_same_object_are_traced_once(n):
    seen = []

    def f(x):
        seen.append(x)
        return x

    hk.transform(lambda: hk.switch(0, [f] * n, 1.0)).apply({}, None)
    assert len(seen) == 1


def test_grad_reaches_through_modules():
    def f(x):
        return hk.grad(lambda x: (hk.Linear(3)(x) ** 2).sum())(x)

    params, _, out, _ = run(f, X)
    w, b = params["linear"]["w"], params["linear"]["b"]
    assert_close(out, jax.grad(lambda x: ((x @ w + b) ** 2).sum())(X))


def test_grad_options():
    marker = object()

    def f(x, y):
        both = hk.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, y)
        gradient, aux = hk.grad(lambda x: (x.sum(), marker), has_aux=True)(x)
        assert aux is marker
        (value, aux), _ = hk.value_and_grad(lambda x: (x.sum(), marker), has_aux=True)(
            x
        )
        assert aux is marker
        holomorphic = hk.grad(lambda z: z * z, holomorphic=True)(1 + 2j)
        return both, gradient, value, holomorphic

    both, gradient, value, holomorphic = hk.transform(f).apply({}, None, X, X + 1)
    assert_close(both, (X + 1, X))
    assert_close((gradient, value, holomorphic), (jnp.ones_like(X), X.sum(), 2 + 4j))


def test_names_are_shared_by_remat_and_forked_by_the_others():
    def names_after(around):
        def f(x):
            around(lambda x: hk.Linear(4)(x).sum())(x)
            return hk.Linear(4)(x)

        return list(hk.transform(f).init(KEY, X))

    assert names_after(lambda f: hk.remat(f)) == ["linear", "linear_1"]
    for around in (
        lambda f: hk.grad(f),
        lambda f: lambda x: hk.cond(True, f, f, x),
        lambda f: lambda x: hk.scan(lambda c, _: (c, f(x)), 0, None, 3),
        lambda f: lambda x: hk.vmap(f, in_axes=None, axis_size=2, split_rng=False)(x),
    ):
        assert names_after(around) == ["linear"]


def test_remat_recomputes_and_takes_policies():
    def loss(around):
        def f(x):
            return around(hk.nets.MLP([8, 8, 1]))(x).sum()

        net = hk.transform(f)
        params = net.init(KEY, X)
        grad = jax.grad(lambda p: net.apply(p, None, X))
        return grad(params), str(jax.make_jaxpr(grad)(params))

    plain, plain_text = loss(lambda f: f)
    for policy in (None, jax.checkpoint_policies.dots_saveable):
        grads, text = loss(lambda f, p=policy: hk.remat(f, policy=p))
        assert_close(grads, plain)
        assert "checkpoint" in text or "remat" in text
    assert "remat" not in plain_text

    def static(x):
        return hk.remat(lambda x, n: x * n if n == 3 else x, static_argnums=1)(x, 3)

    assert_close(hk.transform(static).apply({}, None, X), X * 3)


def test_eval_shape_has_no_side_effects():
    def f(x):
        shape = hk.eval_shape(lambda x: layer(x)[0], x)
        fast = hk.experimental.fast_eval_shape(lambda x: layer(x)[0], x)
        assert (
            (shape.shape, shape.dtype)
            == (fast.shape, fast.dtype)
            == ((4,), jnp.float32)
        )
        assert hk.get_params() == hk.get_current_state() == {}
        keys.append(hk.next_rng_key())

    keys = []
    assert hk.transform_with_state(f).init(KEY, X) == ({}, {})
    assert jnp.array_equal(keys[0], jax.random.split(KEY)[1])
    assert hk.experimental.fast_eval_shape(lambda x: x[0], X).shape == (4,)


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


def test_lifted_functions_under_leak_checking():
    def f(x):
        module = hk.to_module(layer)("layer")
        x = hk.remat(module)(x)
        x = hk.scan(lambda c, _: (module(c), None), x, None, 3)[0]
        x = hk.cond(x.sum() > 0, module, module, x)
        x = hk.vmap(hk.Linear(4), split_rng=False)(x)
        return hk.layer_stack(2)(lambda x: hk.Linear(4)(x))(x)

    net = hk.transform_with_state(f)
    with jax.checking_leaks():
        params, state = jax.jit(net.init)(KEY, X)
        out, _ = jax.jit(net.apply)(params, state, KEY, X)
    assert out.shape == X.shape


def test_remat_policies_by_name():
    from jax.ad_checkpoint import checkpoint_name

    def sines(policy):
        """How many sines the gradient's program computes, of two that were named."""

        def f(x):
            def body(x):
                x = checkpoint_name(jnp.sin(x), "first")
                return checkpoint_name(jnp.sin(x), "second")

            return jnp.sum(hk.remat(body, policy=policy)(x))

        net = hk.without_apply_rng(hk.transform(f))
        text = str(jax.make_jaxpr(jax.grad(lambda x: net.apply({}, x)))(jnp.ones([2])))
        return text.count(" sin ")

    def policy(name):
        return getattr(jax.checkpoint_policies, name)

    for name in ("everything_saveable", "nothing_saveable", "dots_saveable"):
        assert sines(name) == sines(policy(name))
    assert sines(["first"]) == sines(policy("save_only_these_names")("first"))
    assert sines(["first"]) < sines([])
    for wrong, message in {
        "first": r"by name there are 'everything_saveable'.* pass a list: \['first'\]",
        "save_only_these_names": "by name there are",
        3: "policy=3: pass a function",
    }.items():
        with pytest.raises(ValueError, match=message):
            sines(wrong)


def test_state_that_differs_names_the_way_to_keep_it():
    def f(xs):
        return hk.vmap(lambda x: hk.set_state("s", x), split_rng=False)(xs)

    with pytest.raises(ValueError, match=r"~/s.*state_axis=0"):
        hk.transform_with_state(f).init(None, jnp.ones(3))


@pytest.mark.parametrize("choose", ["cond", "switch"])
def test_branches_of_other_structure_are_a_type_error(choose):
    """At init and apply, whatever they are made of."""
    linear = lambda x: hk.Linear(2)(x)  # noqa: E731
    for one, other in (
        (lambda x: (x, x), lambda x: x),
        (lambda x: x, lambda x: x[0]),
        (linear, lambda x: (linear(x), 1.0)),
        (linear, lambda x: {"mlp": hk.nets.MLP([2])(x)}),
    ):

        def f(x, one=one, other=other):
            if choose == "cond":
                return hk.cond(x.sum() > 0, one, other, x)
            return hk.switch(0, [one, other], x)

        both = hk.transform(lambda x, a=one, b=other: (a(x), b(x)))
        params = both.init(jax.random.key(0), jnp.ones(3))
        params["linear"] = {"w": jnp.ones((3, 2)), "b": jnp.ones(2)}
        with pytest.raises(TypeError, match="must"):
            hk.transform(f).init(jax.random.key(0), jnp.ones(3))
        with pytest.raises(TypeError, match="must"):
            hk.transform(f).apply(params, None, jnp.ones(3))


def test_a_loop_of_one_step_without_jit():
    """As views run it: the step that `init` runs first leaves none for the loop."""

    def f(xs):
        return hk.scan(lambda c, x: (c + hk.Linear(2)(x).sum(), x), 0.0, xs)

    xs = jnp.ones((1, 3))
    net = hk.transform(f)
    with jax.disable_jit():
        params = net.init(jax.random.key(0), xs)
        assert net.apply(params, None, xs)[1].shape == (1, 3)
        assert net.init(jax.random.key(0), xs[:0])["linear"]["w"].shape == (3, 2)
        assert net.apply(params, None, xs[:0])[1].shape == (0, 3)


def test_a_symbolic_length_gives_the_parameters_and_keys_of_a_length():
    """`init` skips the first step of its loop where it can't leave it out."""

    def f(xs):
        def step(carry, x):
            noise = jax.random.normal(hk.next_rng_key(), x.shape)
            return carry + 1, hk.Linear(2, w_init=normal)(x + noise)

        normal = hk.initializers.RandomNormal()
        for reverse in (False, True):
            _, xs = hk.scan(step, 0, xs, reverse=reverse)
        return xs

    net = hk.transform(f)
    key, xs = jax.random.PRNGKey(0), jnp.arange(8.0).reshape(4, 2)
    symbolic = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("t"), 2), xs.dtype)
    init = jax.export.export(jax.jit(net.init))(key, symbolic)
    params = init.call(key, xs)
    close = lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6)  # noqa: E731
    jax.tree.map(close, params, net.init(key, xs))
    apply = jax.export.export(jax.jit(net.apply))(params, key, symbolic)
    close(apply.call(params, key, xs), net.apply(params, key, xs))


def test_a_scan_over_scalars_says_so():
    with pytest.raises(ValueError, match=r"scalar among shapes \[\(3,\), \(\)\]"):
        hk.testing.transform_and_run(
            lambda: hk.scan(lambda c, x: (c, x), 0, (jnp.ones(3), 1.0))
        )()
