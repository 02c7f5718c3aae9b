"""eval_summary and tabulate."""

import builtins
import sys

import jax
import jax.numpy as jnp
import pytest
import tabulate as tabulate_package

import haiku as hk
from haiku.views import table

ex = hk.experimental


class Net(hk.Module):
    """Everything a row can show."""

    def __init__(self, size, name=None):
        super().__init__(name=name)
        self.size = size

    def __call__(self, x, flag=True, *, scale=None):
        count = hk.get_state("count", [], jnp.int32, init=jnp.zeros)
        hk.set_state("count", count + 1)
        y = hk.Linear(self.size)(x)
        return {"y": self.helper(y), "z": [y, 1, None, "text"]}

    def helper(self, x):
        return x

    def nothing(self):
        return None


def f(x):
    net = Net(2)
    net(x, scale=x)
    net.nothing()
    return hk.nets.MLP([3, 1])(x)


X = jnp.ones([4, 5])


def test_the_summary_has_every_call_with_its_specs():
    calls = ex.eval_summary(f)(X)
    paths = [(c.context.module.module_name, c.context.method_name) for c in calls]
    assert paths == [
        ("net", "__call__"),
        ("net/linear", "__call__"),
        ("net", "helper"),
        ("net", "nothing"),
        ("mlp", "__call__"),
        ("mlp/~/linear_0", "__call__"),
        ("mlp/~/linear_1", "__call__"),
    ]
    call, linear, helper, *_ = calls
    spec = ex.ArraySpec((4, 5), jnp.dtype("float32"))
    assert call.args_spec == (spec,) and call.kwargs_spec == {"scale": spec}
    assert str(call.output_spec) == "{'y': f32[4,2], 'z': [f32[4,2], 1, None, 'text']}"
    details = call.module_details
    assert str(details.params) == "{'net/linear/b': f32[2], 'net/linear/w': f32[5,2]}"
    assert str(details.state) == "{'net/count': s32[]}"
    assert linear.call_stack == (linear.module_details, details)
    assert helper.call_stack == (helper.module_details, details)
    assert helper.module_details.method_name == "helper"


def test_details_have_the_parameters_of_a_module():
    @hk.testing.transform_and_run
    def of():
        linear = hk.Linear(2)
        linear(jnp.ones([1, 3]))
        return str(ex.ModuleDetails.of(linear, "__call__").params)

    assert of() == "{'linear/b': f32[2], 'linear/w': f32[3,2]}"


@pytest.mark.parametrize(
    "of",
    [
        lambda f: f,
        hk.transform_with_state,
        lambda f: hk.transform_with_state(f).init,
        lambda f: hk.transform_with_state(f).apply,
        lambda f: jax.jit(hk.transform_with_state(f).apply),
        lambda f: hk.without_apply_rng(hk.transform_with_state(f)),
        lambda f: hk.without_apply_rng(hk.transform_with_state(f)).apply,
        lambda f: hk.without_state(hk.transform_with_state(f)).apply,
    ],
)
def test_every_form_of_a_transformed_function_has_the_same_table(of):
    assert ex.tabulate(of(f))(X) == ex.tabulate(f)(X)


def test_modules_inside_a_jitted_function_that_has_run_are_listed():
    net = hk.transform(lambda x: hk.Linear(1)(x))
    params = net.init(jax.random.key(0), X)
    apply = jax.jit(net.apply)
    apply(params, None, X)
    for _ in range(2):
        (call,) = ex.eval_summary(lambda params, x: apply(params, None, x))(params, X)
        assert (
            str(call.module_details.params)
            == "{'linear/b': f32[1], 'linear/w': f32[5,1]}"
        )


def test_layers_of_a_stack_have_their_parameters():
    class Stacked(hk.Module):
        def __call__(self, x):
            return hk.layer_stack(2)(lambda x: hk.Linear(5)(x))(x)

    calls = ex.eval_summary(lambda x: Stacked()(x))(X)
    assert [str(call.module_details.params) for call in calls[-2:]] == [
        "{'linear/b': f32[5], 'linear/w': f32[5,5]}"
    ] * 2


def test_nothing_is_computed_or_kept():
    def fails(x):
        assert isinstance(x, jax.core.Tracer)
        return hk.Linear(2)(x)

    (call,) = ex.eval_summary(fails)(jax.ShapeDtypeStruct((3, 4), jnp.float32))
    assert str(call.output_spec) == "f32[3,2]"

    @hk.testing.transform_and_run
    def inside():
        assert len(ex.eval_summary(lambda x: hk.Linear(2)(x))(X)) == 1
        return hk.get_params()

    assert not inside()


def test_constructors_are_left_out_and_functions_may_be_empty():
    assert ex.eval_summary(lambda: None)() == []
    assert ex.eval_summary(lambda: Net(1) and None)() == []
    assert ex.tabulate(lambda: None)() == "No modules matching filters."


def test_errors_pass_through():
    def fails(x):
        Net(2)(x)
        return hk.to_module(lambda x: 1 / 0)("fails")(x)

    with pytest.raises(ZeroDivisionError):
        ex.eval_summary(fails)(X)
    with pytest.raises(ValueError, match="hk.transform"):
        hk.get_params()


# The table.

HEADERS = [
    "Module",
    "Config",
    "Module params",
    "Input",
    "Output",
    "Param count",
    "Param bytes",
]


def test_the_whole_table():
    def small(x):
        return hk.nets.MLP([40, 1])(x)

    assert ex.tabulate(
        small, columns=["module", "owned_params", "params_size", "params_bytes"]
    )(X).splitlines() == [
        "+-------------------------+-----------------+---------------+---------------+",
        "| Module                  | Module params   |   Param count |   Param bytes |",
        "+=========================+=================+===============+===============+",
        "| mlp (MLP)               |                 |           281 |       1.12 KB |",
        "+-------------------------+-----------------+---------------+---------------+",
        "| mlp/~/linear_0 (Linear) | w: f32[5,40]    |           240 |      960.00 B |",
        "|  └ mlp (MLP)            | b: f32[40]      |               |               |",
        "+-------------------------+-----------------+---------------+---------------+",
        "| mlp/~/linear_1 (Linear) | w: f32[40,1]    |            41 |      164.00 B |",
        "|  └ mlp (MLP)            | b: f32[1]       |               |               |",
        "+-------------------------+-----------------+---------------+---------------+",
    ]


def column(name, f=f, **kwargs):
    table = ex.tabulate(
        f, columns=(name,), tabulate_kwargs={"tablefmt": "plain"}, **kwargs
    )
    return table(X).splitlines()[1:]


def test_columns_have_their_cells():
    assert column("config")[:2] == ["Net(size=2)", "Linear(output_size=2)"]
    assert column("input")[:3] == ["f32[4,5]", "scale=f32[4,5]", "f32[4,5]"]
    assert column("output")[1] == "f32[4,2]"
    assert column("module")[3:5] == ["net (Net.helper)", " └ net (Net)"]


def test_owned_params_are_sorted_by_size_then_name():
    def owns():
        for name, size in (("a", 1), ("b", 2), ("c", 2), ("d", 3)):
            hk.get_parameter(name, [size], init=jnp.zeros)
        return 0

    rows = column("owned_params", lambda x: hk.to_module(owns)("m")())
    assert rows == ["d: f32[3]", "b: f32[2]", "c: f32[2]", "a: f32[1]"]


def test_none_is_the_default_of_columns_and_filters():
    first = ex.tabulate(f)(X).splitlines()[1]
    assert [text.strip() for text in first.strip("|").split("|")] == HEADERS
    assert ex.tabulate(f, columns=None, filters=None, tabulate_kwargs=None)(
        X
    ) == ex.tabulate(f)(X)


def test_filters_must_all_hold():
    def g(x):
        hk.to_module(lambda: None)("quiet")()
        hk.to_module(lambda: 0)("bare")()
        return hk.Linear(1)(x)

    def names(filters):
        return [row.partition(" ")[0] for row in column("module", g, filters=filters)]

    assert names(()) == ["quiet", "bare", "linear"]
    assert names(("has_output",)) == ["bare", "linear"]
    assert names(("has_params",)) == ["linear"]
    assert names(("has_output", "has_params")) == ["linear"]


@pytest.mark.parametrize("kind", ["column", "filter"])
def test_unknown_names_are_errors(kind):
    with pytest.raises(ValueError, match=rf"Invalid {kind}\(s\) \['nonsense'\], valid"):
        ex.tabulate(f, **{f"{kind}s": ("nonsense",)})


# Writing it, with the tabulate package and without.


@pytest.fixture
def without_package(monkeypatch):
    real = builtins.__import__

    def no_tabulate(name, *args, **kwargs):
        if name == "tabulate":
            raise ModuleNotFoundError("No module named 'tabulate'", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "tabulate", raising=False)
    monkeypatch.setattr(builtins, "__import__", no_tabulate)


ROWS = [["a", "1,000"], ["long\n and longer", "2"]]


@pytest.mark.parametrize("tablefmt", ["grid", "plain"])
def test_the_text_is_the_same_without_the_package(tablefmt):
    ours = {"grid": table.grid, "plain": table.plain}[tablefmt]
    theirs = tabulate_package.tabulate(
        ROWS, headers=["H", "Header"], tablefmt=tablefmt, colalign=("left", "right")
    )
    theirs = "\n".join(line.rstrip() for line in theirs.splitlines())
    assert ours(ROWS, ["H", "Header"], ["left", "right"]) == theirs


def test_the_whole_table_is_the_same_without_the_package(without_package, request):
    ours = ex.tabulate(f)(X)
    request.getfixturevalue("monkeypatch").undo()
    assert ours == ex.tabulate(f)(X)


@pytest.mark.parametrize(
    "kwargs", [{"tablefmt": "html"}, {}, {"tablefmt": "grid", "showindex": True}]
)
def test_other_formats_need_the_package(without_package, kwargs):
    with pytest.raises(ModuleNotFoundError, match=r"renga-jax\[views\]"):
        ex.tabulate(f, tabulate_kwargs=kwargs)(X)


def test_options_of_the_package_are_passed_on():
    assert "<table>" in ex.tabulate(f, tabulate_kwargs={"tablefmt": "html"})(X)
    indexed = ex.tabulate(f, columns=["module"], tabulate_kwargs={"showindex": True})(X)
    assert indexed.splitlines()[2].split()[:2] == ["0", "net"]
    with pytest.raises(TypeError, match="dictionary of options"):
        ex.tabulate(f, tabulate_kwargs="grid")(X)
