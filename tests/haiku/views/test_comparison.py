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


def test_a_model_does_not_differ_from_itself():
    layers = linear(3), relu, norm()
    found = compare(layers, layers)
    assert not found and found.added == found.removed == found.changed == []
    # Rows: 8 x (2 x 28 x 3 + 3), and what a relu and a norm add.
    assert re.fullmatch(r"no module differs; 93 parameters, [\d.]+ kFLOPs", str(found))


def test_added_and_removed_modules_are_listed():
    found = compare([linear(3), norm()], [linear(3), linear(3)])
    assert found and found.added == ["linear_1"] and found.removed == ["layer_norm"]
    assert found.changed == []
    assert [part.status for part in found.parts] == ["", "removed", "added"]
    assert str(found).splitlines()[2] == "+ linear_1 (Linear)  12 params, 168 flops"
    assert str(found).splitlines()[1].startswith("- layer_norm (LayerNorm)  6 params")
    assert "1 added, 1 removed; 93 -> 99 parameters" in str(found)


def test_changes_of_config_shapes_and_arrays_are_listed():
    found = compare([linear(3), linear(2)], [linear(5, with_bias=False), linear(2)])
    assert found.changed == ["linear", "linear_1"]
    first, second = found.parts
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
    text = str(found)
    assert "~ linear (Linear)\n" in text and "    params: 87 -> 140\n" in text
    assert "    flops: 1.368 k -> 2.24 k\n" in text


def test_another_class_under_the_same_name_is_a_change():
    found = compare([norm("x")], [linear(28, "x")])
    assert found.changed == ["x"] and not found.added
    assert found.parts[0].changes["class"] == ("LayerNorm", "Linear")


def test_a_module_of_the_same_form_is_renamed():
    found = compare([linear(3, "old"), norm()], [linear(3, "new"), norm()])
    assert found.changed == ["new"] and not found.added and not found.removed
    assert found.parts[0].changes == {"name": ("old", "new")}
    # Of another shape it is another module.
    found = compare([linear(3, "old")], [linear(4, "new")])
    assert (found.added, found.removed) == (["new"], ["old"])


def test_dtypes_and_options_differ_and_functions_made_anew_do_not():
    def norm(rate, dtype):
        def f(x):
            x = hk.BatchNorm(True, True, rate)(x.astype(dtype), True)
            return hk.nets.MLP([2], activation=lambda x: x, name="net")(x)

        return hk.views.outline(f)(X)

    assert not norm(0.9, jnp.float32).compare(norm(0.9, jnp.float32))
    found = norm(0.9, jnp.float32).compare(norm(0.5, jnp.bfloat16))
    changes = {part.there.path: part.changes for part in found.walk()}
    assert changes["batch_norm"]["param scale"] == ("f32[1,28]", "bf16[1,28]")
    assert "decay=0.5" in changes["batch_norm/~/mean_ema"]["config"][1]


def test_parameters_compare_without_their_function():
    net = hk.transform(lambda x: hk.nets.MLP([30, 10], name="net")(x))
    deeper = hk.transform(lambda x: hk.nets.MLP([30, 20, 5], name="net")(x))
    before = net.init(jax.random.key(0), X)
    after = jax.eval_shape(deeper.init, jax.random.key(0), X)
    of_params = hk.views.Outline.of_params
    found = of_params(before).compare(of_params(after))
    assert found.added == ["net/~/linear_2"] and found.changed == ["net/~/linear_1"]
    other = jax.tree.map(lambda p: p + 1, before)
    assert not of_params(before).compare(of_params(other))
    # An outline of a function may be compared with one of parameters.
    assert hk.views.outline(net)(X).compare(of_params(after)).added == found.added


def test_anything_but_an_outline_is_an_error():
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


def test_the_page_marks_what_differs():
    found = compare([linear(3), norm()], [linear(4), linear(3)])
    page = found.as_html()
    found = dict(item for item in Marks(page).found if len(item) == 2)
    assert found == {
        "linear": "changed",
        "layer_norm": "removed",
        "linear_1": "added",
    } | {key: "changed" for key in ("<lambda>", "sequential") if key in found}
    assert "output: f32[8,3] -&gt; f32[8,4]" in page
    assert "1 added, 1 removed" in page
