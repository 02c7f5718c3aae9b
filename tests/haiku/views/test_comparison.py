"""What differs between two models: modules, shapes, sizes, costs."""

import html.parser
import re

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

X = jnp.ones([8, 28])


def outline(*layers):
    def model(x):
        for layer in layers:
            x = layer()(x)
        return x

    return hk.views.outline(model)(X)


def linear(size, name=None, **options):
    return lambda: hk.Linear(size, name=name, **options)


def norm(name=None):
    return lambda: hk.LayerNorm(-1, True, True, name=name)


def relu():
    return jax.nn.relu


def compare(a, b):
    return outline(*a).compare(outline(*b))


def test_the_same_model():
    layers = linear(3), relu, norm()
    told = compare(layers, layers)
    assert not told and told.added == told.removed == told.changed == []
    # Rows: 8 x (2 x 28 x 3 + 3), and what a relu and a norm add.
    assert re.fullmatch(r"no module differs; 93 parameters, [\d.]+ kFLOPs", str(told))


def test_added_and_removed():
    told = compare([linear(3), norm()], [linear(3), linear(3)])
    assert told and told.added == ["linear_1"] and told.removed == ["layer_norm"]
    assert told.changed == []
    assert [part.status for part in told.parts] == ["", "removed", "added"]
    assert str(told).splitlines()[2] == "+ linear_1 (Linear)  12 params, 168 flops"
    assert str(told).splitlines()[1].startswith("- layer_norm (LayerNorm)  6 params")
    assert "1 added, 1 removed; 93 -> 99 parameters" in str(told)


def test_changed():
    told = compare([linear(3), linear(2)], [linear(5, with_bias=False), linear(2)])
    assert told.changed == ["linear", "linear_1"]
    first, second = told.parts
    assert first.changes == {
        "config": ("Linear(output_size=3)", "Linear(output_size=5, with_bias=False)"),
        "output": ("f32[8,3]", "f32[8,5]"),
        "param w": ("f32[28,3]", "f32[28,5]"),
        "param b": ("f32[3]", "none"),
    }
    assert second.changes == {
        "input": ("f32[8,3]", "f32[8,5]"),
        "param w": ("f32[3,2]", "f32[5,2]"),
    }
    text = str(told)
    assert "~ linear (Linear)\n" in text and "    params: 87 -> 140\n" in text
    assert "    flops: 1.368 k -> 2.24 k\n" in text


def test_another_class():
    told = compare([norm("x")], [linear(28, "x")])
    assert told.changed == ["x"] and not told.added
    assert told.parts[0].changes["class"] == ("LayerNorm", "Linear")


def test_renamed():
    told = compare([linear(3, "old"), norm()], [linear(3, "new"), norm()])
    assert told.changed == ["new"] and not told.added and not told.removed
    assert told.parts[0].changes == {"name": ("old", "new")}
    # Of another shape it is another module.
    told = compare([linear(3, "old")], [linear(4, "new")])
    assert (told.added, told.removed) == (["new"], ["old"])


def test_state_dtypes_and_functions_made_anew():
    def norm(rate, dtype):
        def f(x):
            x = hk.BatchNorm(True, True, rate)(x.astype(dtype), True)
            return hk.nets.MLP([2], activation=lambda x: x, name="net")(x)

        return hk.views.outline(f)(X)

    assert not norm(0.9, jnp.float32).compare(norm(0.9, jnp.float32))
    told = norm(0.9, jnp.float32).compare(norm(0.5, jnp.bfloat16))
    changes = {part.there.path: part.changes for part in told.walk()}
    assert changes["batch_norm"]["param scale"] == ("f32[1,28]", "bf16[1,28]")
    assert "decay=0.5" in changes["batch_norm/~/mean_ema"]["config"][1]


def test_parameters():
    net = hk.transform(lambda x: hk.nets.MLP([30, 10], name="net")(x))
    deeper = hk.transform(lambda x: hk.nets.MLP([30, 20, 5], name="net")(x))
    before = net.init(jax.random.key(0), X)
    after = jax.eval_shape(deeper.init, jax.random.key(0), X)
    of_params = hk.views.Outline.of_params
    told = of_params(before).compare(of_params(after))
    assert told.added == ["net/~/linear_2"] and told.changed == ["net/~/linear_1"]
    other = jax.tree.map(lambda p: p + 1, before)
    assert not of_params(before).compare(of_params(other))
    # An outline of a function may be compared with one of parameters.
    assert hk.views.outline(net)(X).compare(of_params(after)).added == told.added


def test_something_else():
    with pytest.raises(TypeError, match=r"got function: write .*outline\(f\)\(x\)"):
        outline(linear(3)).compare(lambda x: x)


class Marks(html.parser.HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "details":
            self.open.append(dict(attrs)["class"].split()[1:])

    def handle_data(self, data):
        if self.open and self.lasttag == "b" and data.strip():
            self.found.append((data, *self.open[-1]))


def test_page():
    told = compare([linear(3), norm()], [linear(4), linear(3)])
    page = told.as_html()
    found = dict(item for item in Marks(page).found if len(item) == 2)
    assert found == {
        "linear": "changed",
        "layer_norm": "removed",
        "linear_1": "added",
    } | {key: "changed" for key in ("<lambda>", "sequential") if key in found}
    assert "output: f32[8,3] -&gt; f32[8,4]" in page
    assert "1 added, 1 removed" in page
