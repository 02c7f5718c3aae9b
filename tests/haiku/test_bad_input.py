"""Bad input gets an error: what was given, what was wanted, and what to write."""

import threading

import jax
import jax.numpy as jnp
import pytest

import haiku as hk
from haiku._core.runs.frame import frames

KEY = jax.random.PRNGKey(0)
X = jnp.ones((2, 4))
linear = hk.transform(lambda x: hk.Linear(3)(x))
noise = hk.transform(lambda: jax.random.normal(hk.next_rng_key()))


@pytest.fixture(autouse=True)
def no_frame_is_left():
    yield
    assert frames.get() == ()


def raises(error, *fragments):
    """`pytest.raises` that wants each fragment in the message."""
    return pytest.raises(
        error, match="(?s)" + "".join(f"(?=.*{fragment})" for fragment in fragments)
    )


# ---- Outside of a transformed function -----------------------------------------------


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (hk.next_rng_key, "hk.next_rng_key"),
        (lambda: hk.next_rng_keys(2), "hk.next_rng_keys"),
        (hk.maybe_next_rng_key, "hk.maybe_next_rng_key"),
        (lambda: hk.reserve_rng_keys(2), "hk.reserve_rng_keys"),
        (lambda: hk.with_rng(KEY), "hk.with_rng"),
        (hk.maybe_get_rng_sequence_state, "hk.maybe_get_rng_sequence_state"),
        (lambda: hk.replace_rng_sequence_state((KEY, ())), "hk.replace_rng_sequence_"),
        (lambda: hk.get_parameter("w", (), init=jnp.ones), "hk.get_parameter"),
        (lambda: hk.get_state("s"), "hk.get_state"),
        (lambda: hk.set_state("s", 1), "hk.set_state"),
        (hk.get_params, "hk.get_params"),
        (hk.get_initial_state, "hk.get_initial_state"),
        (hk.get_current_state, "hk.get_current_state"),
        (hk.running_init, "hk.running_init"),
        (hk.current_name, "hk.current_name"),
        (lambda: hk.name_scope("a"), "hk.name_scope"),
        (lambda: hk.custom_getter(print), "hk.custom_getter"),
        (lambda: hk.custom_creator(print), "hk.custom_creator"),
        (lambda: hk.custom_setter(print), "hk.custom_setter"),
        (lambda: hk.grad(jnp.sum)(X), "`hk.grad`"),
        (lambda: hk.remat(jnp.sum), "hk.remat"),
        (lambda: hk.eval_shape(jnp.sum, X), "hk.eval_shape"),
        (lambda: hk.cond(True, jnp.sum, jnp.sum, X), "hk.cond"),
        (lambda: hk.switch(0, [jnp.sum], X), "hk.switch"),
        (lambda: hk.scan(lambda c, x: (c, x), 0, X), "hk.scan"),
        (lambda: hk.map(jnp.sum, X), "hk.map"),
        (lambda: hk.fori_loop(0, 2, lambda i, x: x, X), "hk.fori_loop"),
        (lambda: hk.while_loop(jnp.all, jnp.sum, X), "hk.while_loop"),
        (lambda: hk.vmap(jnp.sum, split_rng=False)(X), "hk.vmap"),
        (lambda: hk.layer_stack(2)(jnp.sum)(X), "hk.layer_stack"),
        (lambda: hk.lift(linear.init), "hk.lift"),
        (lambda: hk.transparent_lift(linear.init), "hk.transparent_lift"),
        (lambda: hk.lift_with_state(linear.init), "hk.lift_with_state"),
        (lambda: hk.experimental.optimize_rng_use(jnp.sum)(X), "optimize_rng_use"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_outside_of_a_transformed_function(f, name):
    with raises(
        ValueError, name, "must be used as part of an `hk.transform`", "net.init"
    ):
        f()


def test_module_built_outside_of_a_transformed_function():
    with raises(
        ValueError, "initialized inside an `hk.transform`", "Linear", "net.apply"
    ):
        hk.Linear(3)


def test_module_used_after_its_run():
    kept = []
    hk.transform(lambda: kept.append(hk.Linear(3))).init(KEY)
    with raises(ValueError, r"Linear.__call__", "must be used as part of"):
        kept[0](X)


# ---- Keys ----------------------------------------------------------------------------


def test_apply_without_a_key():
    with raises(
        ValueError, "must pass a non-None PRNGKey to apply", r"apply\(params, jax"
    ):
        noise.apply({}, None)
    with raises(ValueError, "must pass a non-None PRNGKey to init", r"init\(jax"):
        noise.init(None)


@pytest.mark.parametrize(
    ("rng", "given"),
    [
        ("nonsense", "str 'nonsense'"),
        (3.5, "float 3.5"),
        (True, "bool True"),
        (X, r"float32\[2,4\]"),
        (jax.random.split(KEY, 3), r"uint32\[3,2\]"),
        (jax.random.split(jax.random.key(0), 3), r"key<fry>\[3\]"),
        ([1, 2], r"list \[1, 2\]"),
    ],
    ids=str,
)
def test_a_key_that_is_no_key(rng, given):
    with_state = hk.transform_with_state(lambda: hk.next_rng_key())
    with raises(ValueError, "Init must be called with an RNG as the first", given):
        noise.init(rng)
    with raises(ValueError, "Apply must be called with an RNG as the second", given):
        noise.apply({}, rng)
    with raises(ValueError, "as the third", given, "jax.random.key"):
        with_state.apply({}, {}, rng)
    with raises(ValueError, "not a JAX PRNGKey", given):
        hk.PRNGSequence(rng)


# ---- Parameters ----------------------------------------------------------------------


def test_missing_parameter_names_path_shapes_and_nearest():
    params = {"liner": {"w": jnp.ones((4, 3)), "b": jnp.ones(3)}}
    with raises(
        ValueError,
        r"no parameter linear/w \[4, 3\]",
        "must be created as part of `init`",
        r"nearest one is liner/w \[4, 3\]",
    ):
        linear.apply(params, None, X)
    with raises(ValueError, "linear/w", "No parameters were given"):
        linear.apply({}, None, X)


def test_wrongly_shaped_parameter_names_path_and_both_shapes():
    params = linear.init(KEY, X)
    with raises(ValueError, "linear/w", r"shape \[4, 3\]", r"match shape \[5, 3\]"):
        linear.apply(params, None, jnp.ones((2, 5)))
    params["linear"]["w"] = 1.0
    with raises(ValueError, "linear/w", "has no shape", r"\[4, 3\]"):
        linear.apply(params, None, X)


def test_surplus_parameters_are_ignored():
    params = {**linear.init(KEY, X), "other": {"w": jnp.ones(7)}}
    assert linear.apply(params, None, X).shape == (2, 3)


@pytest.mark.parametrize(
    ("params", "given"),
    [
        ("z", "str 'z'"),
        ({"linear": jnp.ones(2)}, r"'linear' holds float32\[2\]"),
        (({}, {}), "params, state = init"),
    ],
)
def test_params_that_are_no_params(params, given):
    with raises(TypeError, "params argument does not appear valid", given):
        linear.apply(params, None, X)
    with raises(TypeError, "state argument does not appear valid"):
        hk.transform_with_state(lambda: None).apply({}, "z", None)


def test_parameter_without_initialiser():
    with raises(ValueError, "Initializer must be specified", "~/w", "init=jnp.zeros"):
        hk.transform(lambda: hk.get_parameter("w", [2])).init(KEY)


def test_do_not_store_is_no_array():
    with raises(ValueError, "DO_NOT_STORE", "original_init"):
        hk.DO_NOT_STORE.shape  # noqa: B018 - reading it is the test


# ---- State ---------------------------------------------------------------------------


def test_forgotten_state():
    norm = hk.transform(lambda x: hk.BatchNorm(True, True, 0.9)(x, True))
    with raises(ValueError, "batch_norm/~/mean_ema", "use hk.transform_with_state"):
        norm.init(KEY, X)
    count = hk.transform_with_state(lambda: hk.get_state("count"))
    with raises(
        ValueError, "State ~/count doesn't exist", "set an init function", "other/n"
    ):
        count.apply({}, {"other": {"n": 1}}, None)
    shapeless = hk.transform_with_state(lambda: hk.get_state("s", init=jnp.zeros))
    with raises(ValueError, "~/s", "provide shape and dtype"):
        shapeless.init(None)
    with raises(ValueError, "with_empty_state", "not empty", "count"):
        hk.with_empty_state(linear).apply({}, {"count": {}}, None, X)


# ---- Branches and loops --------------------------------------------------------------


def only_at_apply(f):
    def run(x):
        return hk.Linear(4)(x) if hk.running_init() else f(hk.Linear(4, name="new"), x)

    net = hk.transform(run)
    return lambda: net.apply(net.init(KEY, X), None, X)


@pytest.mark.parametrize(
    ("f", "what"),
    [
        (lambda m, x: hk.cond(True, m, lambda x: x, x), "hk.cond"),
        (lambda m, x: hk.switch(0, [m, lambda x: x], x), "hk.switch"),
        (lambda m, x: hk.scan(lambda c, _: (m(c), None), x, None, 3)[0], "hk.scan"),
        (lambda m, x: hk.fori_loop(0, 3, lambda i, c: m(c), x), "hk.fori_loop"),
        (lambda m, x: hk.while_loop(lambda c: False, m, x), "hk.while_loop"),
    ],
    ids=["cond", "switch", "scan", "fori_loop", "while_loop"],
)
def test_new_parameter_in_branch_or_loop_at_apply(f, what):
    with raises(ValueError, "no parameter new/w", what, "hk.running_init"):
        only_at_apply(f)()


def test_parameter_that_a_later_step_makes():
    def f(x):
        steps = []

        def body(c, _):
            steps.append(0)
            return hk.Linear(4, name=f"step{len(steps)}")(c), None

        return hk.scan(body, x, None, 3)

    with raises(
        ValueError, "step2/w", "new in a later step of hk.scan", "before the loop"
    ):
        hk.transform(f).init(KEY, X)


def test_state_that_a_step_makes_at_apply():
    def f(x):
        if not hk.running_init():
            hk.scan(lambda c, x: (c, hk.set_state("s", x)), 0, x)

    with raises(ValueError, "~/s", "new inside hk.scan"):
        hk.transform_with_state(f).apply({}, {}, None, X)


def test_side_effects_of_the_condition_of_while_loop():
    def f(effect):
        return hk.while_loop(lambda x: effect() is None, lambda x: x, 0)

    loop = hk.transform_with_state(f)
    for effect in (lambda: hk.set_state("s", jnp.ones(())), lambda: hk.next_rng_key()):
        with raises(
            ValueError, "does not support hk.set_state", "cond_fun", "body_fun"
        ):
            loop.apply({}, {"~": {"s": jnp.zeros(())}}, KEY, effect)


def test_scan_lengths():
    scan = lambda *args, **kwargs: hk.transform(  # noqa: E731
        lambda: hk.scan(lambda c, x: (c, x), *args, **kwargs)
    ).apply({}, None)
    with raises(ValueError, "needs `xs` with arrays or `length`"):
        scan(0, None)
    with raises(ValueError, "different lengths", r"\[2, 3\]", "length=None"):
        scan(0, (jnp.ones(2), jnp.ones(3)))


# ---- Plain JAX transformations -------------------------------------------------------

LEAKY = {
    "jax.jit": (lambda f: jax.jit(f)(X), "put `jax.jit` around `init` or `apply`"),
    "jax.remat": (lambda f: jax.checkpoint(f)(X), "write `hk.remat`"),
    "jax.lax.scan": (
        lambda f: jax.lax.scan(lambda c, x: (c, f(x)), 0, X[None]),
        "write `hk.scan`",
    ),
    "jax.lax.map": (lambda f: jax.lax.map(f, X[None]), "write `hk.map`"),
    "jax.lax.cond": (lambda f: jax.lax.cond(X[0, 0] > 0, f, f, X), "write `hk.cond`"),
    "jax.lax.switch": (lambda f: jax.lax.switch(0, [f, f], X), "write `hk.switch`"),
    "jax.lax.while_loop": (
        lambda f: jax.lax.while_loop(
            lambda c: c[0] < 2, lambda c: (c[0] + 1, f(X)), (0, X)
        ),
        "write `hk.while_loop`",
    ),
    "jax.lax.fori_loop": (
        lambda f: jax.lax.fori_loop(0, 2, lambda i, x: f(x), X),
        "write `hk.fori_loop`",
    ),
    "jax.eval_shape": (lambda f: jax.eval_shape(f, X), "write `hk.eval_shape`"),
}


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted init"])
@pytest.mark.parametrize("transformation", LEAKY)
def test_parameter_made_inside_a_plain_transformation(transformation, jitted):
    run, advice = LEAKY[transformation]
    init = hk.transform(lambda: run(hk.Linear(4))).init
    with raises(ValueError, "linear/[wb]", f"inside {transformation}", advice):
        (jax.jit(init) if jitted else init)(KEY)


@pytest.mark.parametrize("transformation", LEAKY)
def test_state_made_inside_a_plain_transformation(transformation):
    run, advice = LEAKY[transformation]

    def f():
        def effect(x):
            hk.set_state("s", x * 2)
            return x

        run(effect)

    with raises(ValueError, "state ~/s", f"inside {transformation}", advice):
        hk.transform_with_state(f).init(KEY)


@pytest.mark.parametrize("transformation", LEAKY)
def test_key_asked_for_inside_a_plain_transformation_and_outside(transformation):
    run, advice = LEAKY[transformation]

    def f():
        run(lambda x: x + jax.random.normal(hk.next_rng_key(), x.shape))
        return hk.next_rng_key()

    for call in (hk.transform(f).init, lambda key: hk.transform(f).apply({}, key)):
        with raises(
            jax.errors.UnexpectedTracerError,
            f"inside {transformation}",
            "Haiku",
            advice,
        ):
            call(KEY)


def test_mapped_values_stored_inside_plain_vmap_and_grad():
    def stored(transformation):
        def f(x):
            transformation(lambda a: hk.set_state("s", a * 2) or jnp.sum(a))(x)

        return hk.transform_with_state(f)

    for transformation, name in ((jax.vmap, "jax.vmap"), (jax.grad, "jax.grad")):
        with raises(ValueError, "state ~/s", f"inside {name}", "write `hk."):
            stored(transformation).init(None, X[0] if name == "jax.vmap" else X)


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
@pytest.mark.parametrize(
    "around",
    [
        lambda f: jax.vmap(f)(X),
        lambda f: jax.grad(lambda x: f(x).sum())(X),
        lambda f: jax.value_and_grad(lambda x: f(x).sum())(X),
        lambda f: jax.vmap(jax.grad(lambda x: f(x).sum()))(X),
    ],
    ids=["vmap", "grad", "value_and_grad", "vmap of grad"],
)
def test_plain_vmap_and_grad_stay_accepted_at_init(around, jitted):
    net = hk.transform(lambda: (around(hk.Linear(3)), hk.next_rng_key()))
    init = jax.jit(net.init) if jitted else net.init
    params = init(KEY)
    assert params["linear"]["w"].shape == (4, 3)
    apply = jax.jit(net.apply) if jitted else net.apply
    assert jax.tree.leaves(apply(params, KEY))


@pytest.mark.parametrize("jitted", [False, True], ids=["eager", "jitted"])
@pytest.mark.parametrize(
    "around",
    [
        lambda f: jax.jit(f)(X),
        lambda f: jax.checkpoint(f)(X),
        lambda f: jax.lax.scan(lambda c, x: (c, f(x)), 0, X[None]),
        lambda f: jax.lax.cond(True, f, f, X),
        lambda f: jax.lax.map(f, X[None]),
    ],
    ids=["jit", "remat", "scan", "cond", "map"],
)
def test_plain_transformations_stay_accepted_at_apply(around, jitted):
    params = linear.init(KEY, X)
    net = hk.transform(lambda: around(hk.Linear(3)))
    out = (jax.jit(net.apply) if jitted else net.apply)(params, None)
    assert jax.tree.leaves(out)


def test_check_jax_usage_is_stricter():
    net = hk.transform(lambda: jax.vmap(hk.Linear(3))(X))
    with (
        hk.config.context(check_jax_usage=True),
        raises(ValueError, "hk.get_parameter", "jax.vmap", "`hk.vmap`", "check_jax_us"),
    ):
        net.init(KEY)
    net.init(KEY)


# ---- Names and modules ---------------------------------------------------------------


def run_init(f):
    return hk.transform(f).init(KEY)


def test_duplicate_names():
    def f():
        hk.Linear(3, name="a")
        hk.Linear(3, name="a")
        hk.Linear(3, name="a_1")

    with raises(ValueError, "'a_1' is not unique", "share its parameters"):
        run_init(f)


@pytest.mark.parametrize("name", ["1bad", "a-b", "", "a/b", "é", "a b"])
def test_invalid_names(name):
    with raises(ValueError, "is not a valid module name", "Python identifier"):
        run_init(lambda: hk.Linear(3, name=name))


def test_name_that_is_no_string():
    with raises(TypeError, "Expected a string name", "build the module first"):
        run_init(lambda: hk.Module(name=X))


def test_name_scopes():
    with raises(ValueError, "must not start with /", "'foo'"):
        run_init(lambda: hk.name_scope("/foo"))

    def twice():
        scope = hk.name_scope("foo")
        for _ in range(2):
            with scope:
                pass

    with raises(ValueError, "name_scope is not reusable", "force_name"):
        run_init(twice)


def test_module_without_super():
    class NoSuper(hk.Module):
        def __init__(self):
            pass

    class Late(hk.Module):
        def __init__(self):
            self.inner = hk.Linear(3)
            super().__init__()

    with raises(
        ValueError, "without calling the super constructor", "NoSuper.__init__"
    ):
        run_init(NoSuper)
    with raises(ValueError, "must be called before you create", "Late.__init__"):
        run_init(Late)


def test_reuse_of_a_module_across_transforms():
    kept = []

    def builds(x):
        kept.append(hk.Linear(3))
        return kept[0](x)

    def uses(x):
        return kept[0](x)

    params = hk.transform(builds).init(KEY, X)
    with raises(ValueError, "Linear 'linear'", "`builds`", "`uses`", "multi_transform"):
        hk.transform(uses).init(KEY, X)
    with raises(ValueError, "Linear 'linear'", "`builds`", "`uses`"):
        hk.transform(uses).apply(params, None, X)


def test_module_kept_between_init_and_apply_stays_accepted():
    kept = []

    def f(x):
        if not kept:
            kept.append(hk.Linear(3))
        return kept[0](x)

    net = hk.transform(f)
    assert net.apply(net.init(KEY, X), None, X).shape == (2, 3)


# ---- Functions to transform----------------------------------------------------------


@pytest.mark.parametrize("transform", [hk.transform, hk.transform_with_state])
def test_transform_of_what_is_no_function(transform):
    with raises(TypeError, "takes a function, got int 3", "not a callable"):
        transform(3)
    with raises(TypeError, "takes a function, got NoneType None"):
        transform(None)
    with raises(ValueError, r"jitted", r"jax.jit\(hk.transform\(f\).apply\)"):
        transform(jax.jit(lambda x: x))

    def nested():
        transform(hk.Linear(3))

    with raises(TypeError, r"the module Linear\(output_size=3\)", r"lambda x: Linear"):
        run_init(nested)


def test_transform_options():
    with raises(ValueError, "apply_rng=True alone", "hk.without_apply_rng"):
        hk.transform(lambda: None, apply_rng=False)
    with raises(ValueError, "hk.without_apply_rng", "got int"):
        hk.without_apply_rng(3)
    with raises(TypeError, "'state'", "pass it by position"):
        hk.transform(lambda state: state).apply({}, None, state=3)
    with raises(TypeError, "'rng'", "pass it by position"):
        hk.without_apply_rng(hk.transform(lambda rng: rng)).apply({}, rng=3)
    with raises(TypeError, r"must return a pair \(init, functions\)", "int 3"):
        hk.multi_transform(lambda: 3)
    with raises(TypeError, "pytree of functions", "int 3"):
        hk.multi_transform(lambda: (lambda: None, [3]))


# ---- Lifted functions' own options ---------------------------------------------------


def test_options_of_lifted_functions():
    with raises(TypeError, "hk.vmap needs `split_rng`", "split_rng=True"):
        run_init(lambda: hk.vmap(jnp.sum))
    with raises(ValueError, "sum must have at least one non-None", "axis_size"):
        run_init(lambda: hk.vmap(jnp.sum, in_axes=None, split_rng=False))
    with raises(
        ValueError, "split_rng to True during init", r"linear/\w", "running_init"
    ):
        run_init(lambda: hk.vmap(hk.Linear(3), split_rng=True)(X))
    with raises(ValueError, "state that differs", "~/s", "pmean"):
        hk.transform_with_state(
            lambda: hk.vmap(lambda x: hk.set_state("s", x), split_rng=False)(X)
        ).init(None)
    with raises(ValueError, "no `concrete` any more", "static_argnums"):
        run_init(lambda: hk.remat(jnp.sum, concrete=True))
    with raises(ValueError, "if you pass `operand`", "positionally"):
        run_init(lambda: hk.cond(True, jnp.sum, jnp.sum, X, operand=X))
    with raises(TypeError, "`true_fun` of hk.cond is not a function"):
        run_init(lambda: hk.cond(True, 3, jnp.sum, X))
    with raises(TypeError, r"`branches\[1\]` of hk.switch is not a function"):
        run_init(lambda: hk.switch(0, [jnp.sum, 3], X))
    with raises(ValueError, "RNG reserve size", "got 0"):
        hk.config.set(rng_reserve_size=0)
    with raises(TypeError, "hk.intercept_methods", "takes a function, got int 3"):
        hk.intercept_methods(3).__enter__()


def test_layer_stack_options():
    stack = lambda f, *args, **kwargs: run_init(  # noqa: E731
        lambda: hk.layer_stack(2, **kwargs)(f)(*args)
    )
    with raises(ValueError, "should not have any `varargs`"):
        stack(lambda *xs: xs, X)
    with raises(ValueError, "transparency_map must be provided"):
        stack(lambda x: x, X, transparent=True)
    with raises(ValueError, "first axis must be num_layers, 2", r"\(3,\)"):
        stack(lambda x, y: (x, y), X, jnp.ones(3), with_per_layer_inputs=True)
    with raises(ValueError, "at least the value to begin with"):
        stack(lambda: 0, with_per_layer_inputs=True)
    with raises(TypeError, r"pair \(value, output", "value, None"):
        stack(lambda x: x, X, with_per_layer_inputs=True)
    with raises(ValueError, "at least 0 layers, got -1"):
        hk.layer_stack(-1)

    def closes_over():
        outside = hk.Linear(4, name="outside")
        return hk.layer_stack(2)(lambda x: outside(x))(X)

    with raises(ValueError, "close over a module", "'outside'", "inside that function"):
        run_init(closes_over)


def test_lift_options():
    with_state = hk.transform_with_state(lambda: hk.get_state("s", (), init=jnp.zeros))
    with raises(ValueError, "uses state", "hk.lift_with_state"):
        run_init(lambda: hk.lift(with_state.init)(None))

    def twice():
        lifted = hk.lift(linear.init)
        lifted(KEY, X)
        lifted(KEY, X)

    with raises(ValueError, "Key 'lifted/linear' already exists", "allow_reuse=True"):
        run_init(twice)

    def updater():
        return hk.lift_with_state(with_state.init)[1]

    with raises(ValueError, "StateUpdater.*must be used", "ignore_update"):
        run_init(updater)

    def used_twice():
        u = updater()
        u.ignore_update()
        u.update({})

    with raises(ValueError, "must only be used once"):
        run_init(used_twice)

    def elsewhere():
        u = updater()
        hk.transform(lambda: u.update({})).init(None)

    with raises(ValueError, "within the same call to init/apply"):
        run_init(elsewhere)


# ---- Afterwards ----------------------------------------------------------------------


def fails(x):
    with hk.name_scope("scope"), hk.custom_getter(lambda n, v, c: n(v)):
        module = hk.nets.MLP([3])
        hk.scan(lambda c, x: (c, module(x)), 0, x[None])
        raise RuntimeError("on purpose")


def test_after_an_error_the_next_call_works():
    before = linear.init(KEY, X)
    for call in (
        lambda: hk.transform(fails).init(KEY, X),
        lambda: jax.jit(hk.transform(fails).init)(KEY, X),
    ):
        with pytest.raises(RuntimeError, match="on purpose"):
            call()
        assert frames.get() == ()
        after = linear.init(KEY, X)
        assert jax.tree.all(jax.tree.map(jnp.array_equal, before, after))


def test_after_an_error_inside_the_function_the_rest_works():
    def f(x):
        with pytest.raises(RuntimeError), hk.name_scope("scope"):
            raise RuntimeError
        with pytest.raises(ZeroDivisionError):
            hk.remat(lambda x: 1 / 0)(x)
        return hk.Linear(3)(x)

    assert list(hk.transform(f).init(KEY, X)) == ["linear"]


def test_threads_have_frames_of_their_own():
    entered, checked = threading.Event(), threading.Event()
    seen = []

    def other():
        entered.wait()
        try:
            hk.Linear(3)
        except ValueError as error:
            seen.append(error)
        params = linear.init(KEY, X)
        seen.append(list(params))
        checked.set()

    def f(x):
        entered.set()
        checked.wait()
        return hk.Linear(3, name="mine")(x)

    thread = threading.Thread(target=other)
    thread.start()
    params = hk.transform(f).init(KEY, X)
    thread.join()
    assert list(params) == ["mine"]
    assert isinstance(seen[0], ValueError)
    assert seen[1] == ["linear"]
