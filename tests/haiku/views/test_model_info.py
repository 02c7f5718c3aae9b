"""jaxpr_info: what a function computes, module by module."""

import functools
import html.parser

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

info = hk.experimental.jaxpr_info
X = jnp.ones([2, 5])


def text(f, *args, **kwargs):
    return info.format_module(info.make_model_info(f, **kwargs)(*args))


def net(f):
    f = hk.without_apply_rng(hk.transform_with_state(f))
    return f.apply, *f.init(jax.random.key(0), X)


def mlp(x):
    return hk.nets.MLP([300, 100])(x)


def test_text_lists_modules_operations_and_sizes():
    f, params, state = net(mlp)
    assert text(f, params, state, X).splitlines() == [
        "apply_fn",
        "  mlp 31.9 kparams",
        "    linear_0 1.8 kparams",
        "      dot_general in f32[2,5], f32[5,300], out f32[2,300]",
        "      broadcast_in_dim in f32[300], out f32[2,300]",
        "      add in f32[2,300], f32[2,300], out f32[2,300]",
        "    custom_jvp",
        "      relu",
        "        max in f32[2,300], f32[], out f32[2,300]",
        "    linear_1 30.1 kparams",
        "      dot_general in f32[2,300], f32[300,100], out f32[2,100]",
        "      broadcast_in_dim in f32[100], out f32[2,100]",
        "      add in f32[2,100], f32[2,100], out f32[2,100]",
    ]
    bare = text(f, params, state, X, include_module_info=False, name="mine")
    assert bare.splitlines()[:3] == ["mine", "  mlp", "    linear_0"]
    assert info.format_module(info.Module("m"), depth=2) == "    m\n"


def test_modules_have_their_parameters_and_state():
    f, params, state = net(lambda x: hk.BatchNorm(True, True, 0.9)(mlp(x), True))
    module = info.make_model_info(f)(params, state, X)
    groups = {e.submodule.name: e.submodule for e in module.expressions if e.submodule}
    assert groups["mlp"].param_info == {
        "./linear_0/b": "f32[300]",
        "./linear_0/w": "f32[5,300]",
        "./linear_1/b": "f32[100]",
        "./linear_1/w": "f32[300,100]",
    }
    norm = groups["batch_norm"]
    assert norm.total_param_size == 200 and norm.total_state_size == 402
    assert norm.state_info["./mean_ema/average"] == "f32[1,100]"
    assert "batch_norm 200 params 402 state" in info.format_module(module)


def test_layers_made_elsewhere_have_their_sizes():
    f, params, state = net(lambda x: hk.Sequential([hk.Linear(3), jax.nn.relu])(x))
    module = info.make_model_info(f)(params, state, X)
    (sequential,) = (e.submodule for e in module.expressions)
    assert sequential.param_info == {"linear/b": "f32[3]", "linear/w": "f32[5,3]"}
    assert sequential.expressions[0].submodule.param_info == {
        "./b": "f32[3]",
        "./w": "f32[5,3]",
    }


@pytest.mark.parametrize("jitted", [False, True])
def test_a_function_that_jax_traced_before_has_its_modules(jitted):
    f, params, state = net(mlp)
    f = jax.jit(f) if jitted else f
    f(params, state, X)
    first = text(f, params, state, X)
    assert "linear_0 1.8 kparams" in first and text(f, params, state, X) == first


def one(eqn, expression):
    return 1


def test_flops_are_summed_and_loops_multiplied():
    def loops(x):
        x = jax.lax.scan(lambda c, _: (jnp.tanh(c) + 1, None), x, None, length=3)[0]
        return jax.lax.while_loop(lambda c: c.sum() < 0, lambda c: c + 1, x)

    assert text(loops, X, compute_flops=one).splitlines() == [
        "loops 7 flops",
        "  scan length=3 unroll=1 2 flops",
        "    tanh 1 flops in f32[2,5], out f32[2,5]",
        "    add 1 flops in f32[2,5], f32[], out f32[2,5]",
        "  while 1 flops",
        "    add 1 flops in f32[2,5], f32[], out f32[2,5]",
    ]


def test_calls_are_groups_with_names():
    @jax.custom_vjp
    def double(x):
        return x * 2

    double.defvjp(lambda x: (x * 2, None), lambda _, g: (g * 2,))

    def calls(x):
        x = jax.checkpoint(jnp.sin)(double(x))
        return jax.jit(functools.partial(jnp.add, 1))(x), jax.lax.cond(
            x.sum() > 0, jnp.cos, jnp.sin, x
        )

    lines = text(calls, X, compute_flops=lambda *_: None).splitlines()
    assert lines[1:5] == [
        "  custom_vjp",
        "    mul in f32[2,5], f32[], out f32[2,5]",
        "  remat",
        "    sin in f32[2,5], out f32[2,5]",
    ]
    assert lines[-1] == "  cond in int32[], f32[2,5], out f32[2,5]"


@pytest.mark.parametrize(
    "f, args, expected",
    [
        (jnp.dot, (jnp.ones([2, 3]), jnp.ones([3, 5])), 2 * 2 * 3 * 5),
        (jnp.sum, (jnp.ones([4, 3]),), 12),
        (jnp.sin, (jnp.ones([4, 3]),), 12),
        (jnp.transpose, (jnp.ones([4, 3]),), 0),
        (lambda x: x + 1, (jnp.ones([4], int),), 0),
        (lambda x: jnp.sum(x), (jnp.ones([4], int),), 0),
        (jnp.argmax, (jnp.ones([4, 3]),), 12),
    ],
)
def test_flops_of_single_operations(f, args, expected):
    assert (
        info.make_model_info(f, compute_flops=hk.views.flops)(*args).flops
    ) == expected


def test_flops_of_a_convolution():
    f, params, state = net(
        lambda x: hk.Conv2D(8, 3, with_bias=False)(x[None, ..., None])
    )
    module = info.make_model_info(f, compute_flops=hk.views.flops)(params, state, X)
    assert module.flops == 2 * (2 * 5 * 8) * (3 * 3 * 1)


def test_large_numbers_are_short():
    counts = {
        1000: "1000 ",
        1001: "1.001 k",
        1234567: "1.235 M",
        5 * 10**15: "5 P",
        5 * 10**18: "5000 P",
    }
    for count, number in counts.items():
        module = info.Module(
            "m", flops=count, total_param_size=count, total_state_size=count
        )
        assert (
            info.format_module(module)
            == f"m {number}flops {number}params {number}state\n"
        )


def test_expressions_have_names_options_and_scopes():
    def f(x, y):
        with jax.named_scope("outer"):
            z = jnp.concatenate([x] * 12)
        return jax.lax.dot(x, y, precision="highest"), z

    module = info.make_model_info(f)(X, X.T)
    scope, dot = module.expressions
    assert scope.primitive == "name_scope" and scope.submodule.name == "outer"
    joined = scope.submodule.expressions[0]
    assert (joined.primitive, joined.invars, joined.name_stack) == (
        "concatenate",
        "12 inputs",
        ["outer"],
    )
    assert (dot.primitive, dot.invars, dot.outvars, dot.first_outvar) == (
        "dot_general",
        "a b",
        "d",
        "d",
    )
    assert "precision" in dot.params and dot.flops is None


def test_gradients_and_keys_are_listed():
    def f(x, key):
        return (jax.random.normal(key, x.shape) * x).sum()

    lines = text(jax.grad(f), X, jax.random.key(0)).splitlines()
    assert lines[0] == "f" and any("key<fry>[]" in line for line in lines)


def test_axis_env_names_the_axes():
    lines = text(lambda x: jax.lax.psum(x, "i"), X, axis_env=[("i", 2)])
    assert "psum" in lines


def test_the_whole_is_named_after_the_function():
    class Callable:
        def __call__(self, x):
            return x

    def mine(x):
        return x

    assert text(functools.partial(mine), X) == "mine\n"
    assert text(Callable(), X) == "Callable\n"


def test_inside_a_transformed_function_nothing_is_kept():
    def f():
        assert "  linear 18 params\n" in text(lambda x: hk.Linear(3)(x), X)
        assert not hk.get_params() and hk.Linear(3).name == "linear"

    assert not hk.transform(f).init(jax.random.key(0))


def test_a_number_is_not_a_function():
    with pytest.raises(TypeError, match="takes a function, got int: 3"):
        info.make_model_info(3)


# The page.


class Outline(html.parser.HTMLParser):
    """Checks that tags match; collects text by class."""

    VOID = ("meta", "input")

    def __init__(self, page):
        super().__init__()
        self.open, self.texts, self.attributes = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_has_modules_sizes_and_shapes():
    f, params, state = net(mlp)
    module = info.make_model_info(f, compute_flops=hk.views.flops, name="<mine>")(
        params, state, X
    )
    page = Outline(info.as_html_page(module))
    assert {
        "<mine>",
        "mlp",
        "linear_0",
        "31.9 k ",
        "./linear_0/w",
        "f32[5,300]",
    } <= set(page.texts)
    # It stands alone.
    assert not [a for _, a in page.attributes if {"src", "href"} & set(a)]
    assert "url(" not in info.css() and "http" not in info.js()


def test_operations_below_min_flop_are_left_out():
    f, params, state = net(mlp)
    module = info.make_model_info(f, compute_flops=hk.views.flops)(params, state, X)
    few = Outline(info.as_html(module, min_flop=5000)).texts
    every = Outline(info.as_html(module, min_flop=0)).texts
    assert "dot_general" in few and "broadcast_in_dim" not in few
    assert "broadcast_in_dim" in every
    assert "1 smaller operation" in few or "2 smaller operations" in few
    uncounted = info.make_model_info(f)(params, state, X)
    assert "broadcast_in_dim" in Outline(info.as_html(uncounted)).texts


def test_a_group_shows_its_outputs_and_is_marked_as_last():
    module = info.Module(
        "m", expressions=[info.Expression("p", "a", "b", details="<f>")]
    )
    plain = info.as_html(module)
    assert "&lt;f&gt;" in plain and "hk-last" not in plain and "open" in plain
    shown = info.as_html(module, outvars="x y", last=True)
    assert "x y" in shown and "hk-last" in shown
