"""A model as a tree of modules: as text, as a web page, and in Treescope."""

import html.parser
import re
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku.views.page import SCRIPT, STYLE

X = jnp.ones([8, 28])
outline = hk.views.outline


def model(x, is_training):
    x = hk.nets.MLP([30, 10], name="net")(x)
    x = hk.BatchNorm(True, True, 0.9)(x, is_training)
    shared = hk.Linear(10)
    x = hk.Sequential([shared, jax.nn.relu, shared])(x)
    return x * hk.get_parameter("gain", [10], init=jnp.ones)


def given():
    return hk.transform_with_state(model).init(jax.random.key(0), X, True)


def by_path(found):
    return {part.path: part for _, part in found.walk()}


def test_modules_own_their_arrays_and_costs_add_up():
    found = outline(model)(X, True)
    assert [(depth, part.name, part.kind) for depth, part in found.walk()] == [
        (0, "model", ""),
        (1, "net", "MLP"),
        (2, "linear_0", "Linear"),
        (2, "linear_1", "Linear"),
        (1, "batch_norm", "BatchNorm"),
        (2, "mean_ema", "ExponentialMovingAverage"),
        (2, "var_ema", "ExponentialMovingAverage"),
        (1, "sequential", "Sequential"),
        (2, "linear", "Linear"),
    ]
    parts = by_path(found)
    assert {k: str(a) for k, a in parts["net/~/linear_0"].params.items()} == {
        "w": "f32[28,30]",
        "b": "f32[30]",
    }
    assert set(parts["batch_norm/~/mean_ema"].state) == {"counter", "hidden", "average"}
    assert parts["linear"].calls == 2 and parts["linear"].param_count == 110
    assert parts["batch_norm"].inputs == "f32[8,10], True"
    assert set(found.params) == {"~/gain"}
    params, _ = given()
    assert found.param_count == hk.data_structures.tree_size(params)
    assert found.param_bytes == hk.data_structures.tree_bytes(params)
    # Costs inside and its own are the whole.
    for _, part in found.walk():
        assert part.flops == part.own_flops + sum(p.flops for p in part.parts)


def test_modules_of_inner_functions_have_their_parameters():
    def f(x):
        x = hk.layer_stack(3)(lambda x: hk.nets.MLP([16, 28], name="mlp")(x))(x)
        inner = hk.transform(lambda x: hk.Linear(4, name="inside")(x))
        params = hk.lift(inner.init, name="lifted")(hk.next_rng_key(), x)
        return inner.apply(params, None, x)

    found = outline(f)(X)
    parts = by_path(found)
    assert str(parts["mlp/~/linear_0"].params["w"]) == "f32[3,28,16]"
    assert parts["mlp/~/linear_1"].calls == 3
    assert str(parts["inside"].params["w"]) == "f32[28,4]"
    assert found.params == {}


def test_text_has_a_row_for_each_module():
    lines = str(outline(model)(X, True)).splitlines()
    assert lines[0].split() == ["module", "output", "params", "flops"]
    assert lines[2].split() == ["net", "(MLP)", "f32[8,10]", "1,180", "18.8", "k"]
    assert lines[3].startswith("    linear_0 (Linear)")
    assert "linear (Linear) x2" in lines[-1]


def test_given_values_have_statistics():
    params, state = given()
    params["net/~/linear_1"]["w"] = params["net/~/linear_1"]["w"].at[0, 0].set(np.nan)
    found = by_path(outline(model, params, state)(X, True))
    b = found["net/~/linear_0"].params["b"].values
    assert (b.mean, b.std, b.zeros, b.not_finite) == (0, 0, 30, 0)
    w = found["net/~/linear_0"].params["w"].values
    exact = np.asarray(params["net/~/linear_0"]["w"], np.float64)
    np.testing.assert_allclose((w.mean, w.std), (exact.mean(), exact.std()), rtol=1e-6)
    assert sum(w.histogram) == 28 * 30 and w.low == exact.min()
    broken = found["net/~/linear_1"].params["w"].values
    assert broken.not_finite == 1 and np.isfinite(broken.mean)
    assert "1 not finite" in str(broken)
    assert by_path(outline(model)(X, True))["net/~/linear_0"].params["b"].values is None


def test_inside_jit_there_are_no_values():
    @jax.jit
    def f(params, x):
        found = outline(lambda x: hk.Linear(3)(x), params)(x)
        assert found.params == {} and found.parts[0].params["w"].values is None
        return x

    f(hk.transform(lambda x: hk.Linear(3)(x)).init(jax.random.key(0), X), X)


@pytest.mark.parametrize("kind", ["blueprint", "bound", "transformed", "packed"])
def test_every_kind_of_model_has_an_outline(kind):
    blueprint = hk.Blueprint(hk.nets.MLP, [30, 10])
    net = hk.transform(blueprint)
    params = net.init(jax.random.key(0), X)
    found = {
        "blueprint": lambda: outline(blueprint, params),
        "bound": lambda: outline(hk.bind(blueprint).to(params)),
        "transformed": lambda: outline(net, params),
        "packed": lambda: outline(net, hk.data_structures.pack(params)),
    }[kind]()(X)
    assert found.param_count == 1180
    assert found.parts[0].parts[0].params["w"].values.std > 0
    if kind in ("blueprint", "bound"):
        assert found.name == "MLP"


def test_functions_that_apply_a_model_themselves():
    net = hk.transform(lambda x: hk.nets.MLP([30, 10])(x))
    params = net.init(jax.random.key(0), X)

    def loss(params, x):
        both = net.apply(params, None, x) + net.apply(params, None, 2 * x)
        return jnp.mean(both**2)

    found = outline(loss)(params, X)
    assert found.parts[0].calls == 2 and found.param_count == 1180
    assert str(by_path(found)["mlp/~/linear_0"].params["w"]) == "f32[28,30]"


def test_several_functions_are_one_outline():
    def build():
        encode, decode = hk.Linear(3, name="encode"), hk.Linear(28, name="decode")
        return lambda x: decode(encode(x)), (encode, decode)

    net = hk.multi_transform(build)
    for found in (outline(net)(X), outline(hk.bind(net).init(0, X))(X)):
        assert [part.name for part in found.parts] == ["encode", "decode"]
    assert [part.name for part in outline(net.apply[1])(X[:, :3]).parts] == ["decode"]


def test_parameters_without_a_function_have_an_outline():
    params, state = given()
    found = hk.views.Outline.of_params(params, state)
    assert found.param_count == hk.data_structures.tree_size(params)
    parts = by_path(found)
    assert parts["net/~/linear_0"].params["w"].values.std > 0
    assert parts["net"].parts[0].name == "linear_0" and parts["~"].params
    assert set(parts["batch_norm/~/mean_ema"].state) == {"counter", "hidden", "average"}
    shapes = jax.eval_shape(lambda: params)
    assert hk.views.Outline.of_params(shapes).param_count == found.param_count
    assert hk.views.Outline.of_params({}).param_count == 0


def test_no_module_has_the_parameters_of_another():
    """Whose path ends alike: of modules that only hold others, or have none."""
    ends = {"a/b": {"w": jnp.ones(2)}, "x/a": {"w": jnp.ones(3)}}
    parts = by_path(hk.views.Outline.of_params(ends))
    assert {p: part.param_count for p, part in parts.items() if p} == {
        "a": 2,
        "a/b": 2,
        "x": 3,
        "x/a": 3,
    }

    def f(x):
        x = hk.Flatten(name="block")(x)
        with hk.name_scope("head"):
            return hk.Linear(2, name="block")(x)

    parts = by_path(outline(f)(X))
    assert not parts["block"].params and set(parts["head/block"].params) == {"w", "b"}


# ---- The page ------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """Checks that tags match; collects modules, texts and attributes."""

    VOID = ("meta", "input", "rect")

    def __init__(self, page):
        super().__init__()
        self.open, self.modules, self.nesting = [], [], []
        self.texts, self.tags = [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append((tag, attrs))
        is_module = "hk-group" in attrs.get("class", "")
        if is_module:
            self.nesting.append(sum(self.modules))
        if tag not in self.VOID:
            self.open.append(tag)
            self.modules.append(is_module)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.modules.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data.strip())


def test_the_page_has_every_module_with_its_shares():
    params, state = given()
    found = outline(model, params, state, time=True)(X, True)
    page = Page(found.as_html())
    # Modules lie in each other as in the model.
    assert page.nesting == [depth for depth, _ in found.walk()]
    text = " ".join(page.texts)
    for words in ("linear_0", "BatchNorm", "f32[28,30]", "1,180", "2 calls", "std"):
        assert words in text
    assert "Histogram: mean" in text and "measured" in text
    # A bar for each thing counted, of each array that many of the numbers.
    shares = re.findall(r"width:([\d.]+)%", found.as_html())
    assert len(shares) == 3 * len(list(found.walk()))
    assert all(0 <= float(share) <= 100 for share in shares)
    of_params = re.findall(r'title="([\d.]+) % of params"', found.as_html())
    assert [float(share) for share in of_params] == [
        round(100 * part.param_count / found.param_count, 1) for _, part in found.walk()
    ]
    assert found._repr_html_().startswith("<iframe srcdoc=")


def test_the_page_stands_alone():
    found = outline(model)(X, True).as_html()
    assert not re.search(r"https?:|src=|href=|@import|url\(|fetch\(|XMLHttp", found)
    assert "light-dark(" in STYLE and "max-width: 45rem" in STYLE
    meta = [attrs for tag, attrs in Page(found).tags if tag == "meta"]
    assert any(attrs.get("name") == "viewport" for attrs in meta)
    # What the script looks for is there.
    ids = {attrs["id"] for _, attrs in Page(found).tags if "id" in attrs}
    assert set(re.findall(r'getElementById\("([\w-]+)"\)', SCRIPT)) == ids
    # It is read without a script: large models start folded, by the page itself.
    modules = [a for _, a in Page(found).tags if "hk-group" in a.get("class", "")]
    assert 0 < sum("open" in attrs for attrs in modules) < len(modules)


def test_names_are_escaped():
    def f(x):
        with hk.name_scope("a"):
            return hk.Linear(2)(x)

    f.__name__ = "<b>&'\""
    found = outline(f)(X)
    page = found.as_html()
    assert "<b>&'" not in page and "<b>&'\"" in Page(page).texts
    assert found.parts[0].path == "a/linear"


# ---- Treescope -----------------------------------------------------------------------


def shown(value):
    treescope = pytest.importorskip("treescope")
    with warnings.catch_warnings():
        # It looks at every public name of NumPy, those that warn included.
        warnings.simplefilter("ignore", DeprecationWarning)
        assert len(treescope.render_to_html(value)) > 1000
        return treescope.render_to_text(value)


def test_treescope_shows_a_blueprint():
    text = shown(hk.Blueprint(hk.Sequential, [hk.Blueprint(hk.Linear, 3), jax.nn.relu]))
    text = re.sub(r"\s+", " ", text)
    assert "0x" not in text and "Blueprint(Linear, 3), jax.nn.relu" in text
    assert text.replace("( ", "(").startswith("Blueprint(Sequential, [")


def test_treescope_shows_a_bound_model_by_module():
    bound = hk.bind(hk.nets.MLP, [8, 3]).init(0, X)
    lines = [line.strip() for line in shown(bound).splitlines()]
    assert lines[0] == "Bound(" and "Blueprint(MLP, [8, 3])," in lines
    # Modules are inside each other; Treescope tells each array's numbers.
    inside = [line.partition(":")[0] for line in lines if ":" in line]
    assert {"mlp", "linear_0", "w", "b"} <= set(inside)
    assert any(line.startswith("w: <jax.Array float32(28, 8)") for line in lines)
    # A model whose leaves are something else can be shown too.
    assert "Bound(" in shown(jax.tree.map(lambda x: None, bound))
    assert "Bound(" in shown(jax.tree.map(lambda x: x.shape, bound))


def test_treescope_shows_an_outline():
    params, state = given()
    text = shown(outline(model, params, state)(X, True))
    assert "net (MLP)  f32[8,10]  1,180 params  18.8 kflops {" in text
    assert "w: f32[28,30]  mean" in text
    assert "params {" in shown(hk.views.Outline.of_params(params))


def test_outlines_work_without_treescope(monkeypatch):
    monkeypatch.setitem(sys.modules, "treescope", None)
    found = outline(hk.bind(hk.Linear, 3).init(0, X))(X)
    assert "linear (Linear)" in repr(found) and "<details" in found.as_html()


def test_a_function_may_return_other_objects():
    class Identity(hk.Module):
        def __call__(self, x):
            return x

    def f(x):
        return Identity(), Identity()(x), "text", 3

    outline = hk.views.outline(f)(jnp.ones([2]))
    assert "f32[2]" in outline.output and "'text', 3" in outline.output
    calls = hk.experimental.eval_summary(f)(jnp.ones([2]))
    assert [call.module_details.module.name for call in calls] == ["identity_1"]
    assert hk.experimental.eval_summary(lambda: Identity())() == []
