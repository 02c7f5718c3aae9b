"""to_dot and abstract_to_dot."""

import html
import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

X = jnp.ones([2, 5])


class Graph:
    """What is in a drawing: labels of nodes, the boxes they stand in, and arrows."""

    def __init__(self, dot):
        self.labels, self.boxes, self.arrows, self.titles = {}, {}, [], []
        around = []
        for line in dot.splitlines():
            if line.startswith("subgraph"):
                around.append("")
            elif line == "}" and around:
                around.pop()
            elif label := re.fullmatch(r"label = <<b>(.*?)</b>(.*)>;", line):
                if around:
                    around[-1] = label[1] + label[2]
                    self.titles.append(around[-1])
            elif node := re.match(
                r"(n\d+) \[label=<<b>(.*?)</b>(.*?)>, fillcolor", line
            ):
                self.labels[node[1]] = html.unescape(node[2])
                self.boxes[node[1]] = tuple(around)
            elif arrow := re.fullmatch(r"(n\d+) -> (n\d+);", line):
                self.arrows.append(arrow.groups())
        for a, b in self.arrows:
            assert a in self.labels and b in self.labels, "an arrow from nowhere"
        if shutil.which("dot"):
            subprocess.run(
                ["dot", "-Tplain"], input=dot.encode(), check=True, capture_output=True
            )

    def edges(self):
        return {(self.labels[a], self.labels[b]) for a, b in self.arrows}

    def box_of(self, label):
        (name,) = (n for n, text in self.labels.items() if text == label)
        return self.boxes[name]


def draw(f, *args, **kwargs):
    dot = hk.to_dot(f)(*args, **kwargs)
    assert hk.experimental.abstract_to_dot(f)(*args, **kwargs) == dot
    return Graph(dot)


def test_a_network_is_drawn_in_boxes_of_its_modules():
    net = hk.transform(lambda x: hk.nets.MLP([4, 3])(x))
    params = jax.eval_shape(net.init, jax.random.key(0), X)
    spec = jax.ShapeDtypeStruct(X.shape, X.dtype)
    graph = draw(net.apply, params, None, spec)
    assert graph.titles == ["mlp  MLP", "linear_0  Linear", "linear_1  Linear"]
    assert {
        ("x", "dot_general"),
        ("w", "dot_general"),
        ("add", "relu"),
        ("add", "output"),
    } <= graph.edges()
    assert graph.box_of("relu") == ("mlp  MLP",)
    assert graph.box_of("x") == graph.box_of("output") == ()
    assert sorted(graph.labels.values()).count("w") == 2
    weights = [graph.boxes[n] for n, label in graph.labels.items() if label == "w"]
    assert weights == [
        ("mlp  MLP", "linear_0  Linear"),
        ("mlp  MLP", "linear_1  Linear"),
    ]


def test_a_core_is_drawn_by_its_forward_operations():
    """Not by what its gradient computes again."""

    def f(x):
        lstm, gru = hk.LSTM(3), hk.GRU(3)
        x, _ = lstm(x, lstm.initial_state(2))
        return gru(x, gru.initial_state(2))[0]

    net = hk.transform(f)
    params = net.init(jax.random.key(0), X)
    dot = hk.to_dot(net.apply)(params, None, X)
    assert "remat" not in dot and "haiku_" not in dot
    assert dot.count("<b>tanh</b>") == 3


def test_a_function_drawn_twice_gives_the_same_graph():
    net = hk.transform(lambda x: hk.Linear(1)(x))
    params = net.init(jax.random.key(0), X)
    jitted = jax.jit(net.apply)
    first = hk.to_dot(jitted)(params, None, X)
    assert "Linear" in first and hk.to_dot(jitted)(params, None, X) == first


def test_arguments_have_names():
    def f(a, state, *, b=2.0):
        return a + state["x"]["y"] + b

    graph = draw(f, X, {"x": {"y": X}}, b=X)
    assert {"a", "state: x/y", "b"} <= set(graph.labels.values())
    assert "args[0]" in draw(lambda *args: args[0] + 1, X).labels.values()
    assert "v: 0" in draw(lambda v: v[0] + 1, [X, X]).labels.values()


def test_unused_arguments_are_left_out():
    graph = draw(lambda a, b: a + 1, X, X)
    assert "a" in graph.labels.values() and "b" not in graph.labels.values()


def test_outputs_have_paths():
    graph = draw(lambda a: {"x": a, "y": (a + 1, 3.0)}, X)
    assert {"output['x']", "output['y'][0]"} <= set(graph.labels.values())
    assert ("a", "output['x']") in graph.edges()


def test_a_constant_is_a_node():
    table = jnp.arange(5.0)
    graph = draw(lambda x: x + table, X)
    assert ("constant", "add") in graph.edges() or (
        "constant",
        "broadcast_in_dim",
    ) in graph.edges()


def test_a_constant_of_a_jitted_function_is_in_its_box():
    table = jnp.arange(5.0)
    graph = draw(lambda x: jax.jit(lambda x: jnp.sin(x) * table)(x), X)
    assert graph.box_of("constant") == ("&lt;lambda&gt;",)
    assert any(a == "constant" for a, _ in graph.edges())


def test_arguments_without_a_signature_are_numbered():
    assert {"args[0]", "args[1]"} <= set(draw(Unsigned(), X, X).labels.values())


class Unsigned:
    __signature__ = "none"

    def __call__(self, x, y):
        return x + y


def test_unused_results_are_left_out():
    graph = draw(lambda x: jax.lax.top_k(x, 1)[0], X)
    assert ("top_k", "output") in graph.edges()


def test_a_function_without_operations_has_an_empty_graph():
    assert draw(lambda: None).labels == {}


def test_loops_and_branches_are_boxes():
    def f(x):
        x = jax.lax.scan(lambda c, _: (jnp.tanh(c), None), x, None, length=3)[0]
        x = jax.lax.while_loop(lambda c: c.sum() < 0, lambda c: jnp.exp(c) + 1, x)
        return jax.lax.cond(x.sum() > 0, lambda c: jnp.sin(c) + 1, lambda c: c, x)

    graph = draw(f, X)
    assert graph.titles == ["scan length=3 unroll=1", "while", "branch 0", "branch 1"]
    assert {
        ("x", "tanh"),
        ("tanh", "exp"),
        ("sin", "add"),
        ("add", "cond"),
    } <= graph.edges()
    # The branch that does nothing hands on what it got.
    assert sum(label == "cond" for label in graph.labels.values()) == 1


def test_branches_that_do_nothing_are_one_node():
    graph = draw(lambda x: jax.lax.cond(x.sum() > 0, lambda c: c, lambda c: c, x), X)
    assert graph.titles == []


def test_calls_within_calls_are_connected():
    inner = jax.jit(lambda x: jnp.sin(x) + 1)
    outer = jax.jit(lambda x: inner(x) * 2)
    graph = draw(lambda x: outer(jax.checkpoint(lambda y: jnp.cos(y) * 3)(x)), X)
    assert graph.titles[0] == "remat"
    assert ("mul", "sin") in graph.edges() and ("add", "mul") in graph.edges()


def test_modules_inside_a_jitted_function_have_boxes():
    def f(x):
        mlp = hk.nets.MLP([2, 1])
        return mlp(x) if hk.running_init() else jax.jit(lambda x: mlp(x))(x)

    net = hk.transform(f)
    params = net.init(jax.random.key(0), X)
    assert "mlp  MLP" in draw(net.apply, params, None, X).titles


def test_gradients_have_boxes_and_named_outputs():
    net = hk.transform(lambda x: hk.Linear(1)(x).sum())
    params = net.init(jax.random.key(0), X)
    graph = draw(jax.grad(net.apply), params, None, X)
    assert any("transpose" in title for title in graph.titles)
    assert {"output['linear']['b']", "output['linear']['w']"} <= set(
        graph.labels.values()
    )


def test_inside_a_transformed_function_nothing_is_kept():
    def f():
        graph = draw(lambda x: hk.Linear(3)(x), X)
        assert graph.titles[0] == "linear  Linear"
        assert not hk.get_params() and hk.Linear(3).name == "linear"

    assert not hk.transform(f).init(jax.random.key(0))


def test_text_is_escaped():
    def f(x):
        with jax.named_scope("<a&b>"):
            return x + 1

    assert "&lt;a&amp;b&gt;" in hk.to_dot(f)(X)


@pytest.mark.parametrize("to_dot", [hk.to_dot, hk.experimental.abstract_to_dot])
def test_a_number_is_not_a_function(to_dot):
    with pytest.raises(TypeError, match="takes a function, got int: 3"):
        to_dot(3)
