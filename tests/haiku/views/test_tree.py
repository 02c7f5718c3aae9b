"""The tree of a model before it is run."""

import jax
import jax.numpy as jnp
import pytest

import haiku as hk

X = jax.ShapeDtypeStruct((2, 4), jnp.float32)


class Net(hk.Module):
    def __init__(self, name=None):
        super().__init__(name=name)
        self.first = hk.Linear(3)

    def __call__(self, x, scale=1.0):
        w = hk.get_parameter("w", [], init=jnp.ones)
        return self.first(x) * scale * w

    def encode(self, x):
        return {"code": hk.Linear(2)(x), "x": (x, None)}


def paths(tree):
    return [node.path for node in tree]


def specs(tree, kind):
    """The shapes in a tree, `{module: {name: text}}`."""
    every = {node.path: getattr(node, kind) for node in tree}
    return {
        path: {name: str(array.spec) for name, array in arrays.items()}
        for path, arrays in every.items()
        if arrays
    }


def texts(values):
    """Shapes of parameters or state, in the same form."""
    return jax.tree.map(lambda x: str(hk.experimental.ArraySpec.from_array(x)), values)


def test_text_has_calls_parameters_and_state():
    def f(x):
        net = Net()
        net(x)
        net(x, scale=2.0)
        net.encode(x)
        hk.set_state("calls", jnp.zeros([], jnp.int32))
        return net(x)

    assert str(hk.module_tree(f)(X)) == (
        "net (Net)  26 parameters\n"
        "│ f32[2,4] -> f32[2,3]\n"
        "│ f32[2,4], scale=2.0 -> f32[2,3]\n"
        "│ .encode f32[2,4] -> {code: f32[2,2], x: (f32[2,4], None)}\n"
        "│ w  f32[]\n"
        "├─ ~/linear (Linear)  f32[2,4] -> f32[2,3]  15 parameters\n"
        "│    b  f32[3]\n"
        "│    w  f32[4,3]\n"
        "└─ ~encode/linear (Linear)  f32[2,4] -> f32[2,2]  10 parameters\n"
        "     b  f32[2]\n"
        "     w  f32[4,2]\n"
        "~\n"
        "  calls  s32[]  state\n"
        "26 parameters, 104.00 B; state 4.00 B"
    )
    assert str(hk.module_tree(lambda: 0)()) == "0 parameters, 0.00 B"


BLUEPRINT = hk.Blueprint(hk.nets.MLP, [5, 3])
SAME = {
    "blueprint": BLUEPRINT,
    "function": lambda x: hk.nets.MLP([5, 3])(x),
    "transformed": hk.transform(BLUEPRINT),
    "with state": hk.transform_with_state(BLUEPRINT),
    "without a key": hk.without_apply_rng(hk.transform(BLUEPRINT)),
    "init": hk.transform(BLUEPRINT).init,
    "jitted apply": jax.jit(hk.transform(BLUEPRINT).apply),
    "binding": hk.bind(BLUEPRINT),
    "bound pair": hk.bind(hk.transform(BLUEPRINT)),
    "bound": hk.bind(BLUEPRINT).to({}),
    "multi": hk.multi_transform(lambda: (BLUEPRINT, BLUEPRINT)),
}


@pytest.mark.parametrize("kind", SAME)
def test_everything_that_can_run_has_the_same_tree(kind):
    tree = hk.module_tree(SAME[kind])(X)
    assert paths(tree) == ["mlp", "mlp/~/linear_0", "mlp/~/linear_1"]
    assert [node.param_count for node in tree] == [43, 25, 18]
    wanted = jax.eval_shape(hk.transform(BLUEPRINT).init, jax.random.PRNGKey(0), X)
    assert specs(tree, "params") == texts(wanted) and specs(tree, "state") == {}


def test_the_tree_has_every_parameter_and_state():
    def f(x, is_training):
        x = hk.layer_stack(3)(lambda x: hk.LayerNorm(-1, True, True)(x))(x)
        x, _ = hk.scan(lambda c, _: (hk.Linear(4)(c), None), x, None, length=2)
        inner = hk.transform(lambda x: hk.Linear(4)(x))
        params = hk.lift(inner.init, name="inner")(hk.next_rng_key(), x)
        x = inner.apply(params, None, x)
        alone = hk.transform(lambda x: hk.Embed(3, 4)(jnp.zeros([2], jnp.int32)) + x)
        x = alone.apply(alone.init(jax.random.PRNGKey(0), x), None, x)
        with hk.name_scope("head"):
            x = hk.BatchNorm(True, True, 0.9)(x, is_training)
        return x + hk.get_parameter("bias", [4], init=jnp.zeros)

    tree = hk.module_tree(f)(X, is_training=True)
    params, state = jax.eval_shape(
        lambda key: hk.transform_with_state(f).init(key, jnp.ones([2, 4]), True),
        jax.random.PRNGKey(0),
    )
    assert specs(tree, "params") == texts(params)
    assert specs(tree, "state") == texts(state)
    assert paths(tree) == [
        "__layer_stack_no_per_layer",
        "__layer_stack_no_per_layer/layer_norm",
        "linear",
        "inner/linear",  # and none of `alone`, whose parameters are not the model's
        "head",
        "head/batch_norm",
        "head/batch_norm/~/mean_ema",
        "head/batch_norm/~/var_ema",
        "~",
    ]
    assert tree["head"].kind == "name scope"
    assert tree["~"].kind == ""
    assert tree["head/batch_norm"].name == "batch_norm"
    assert tree["inner/linear"].signatures == ["f32[2,4] -> f32[2,4]"]
    assert sum(node.param_count for node in tree.parts) == tree_size(params)
    with pytest.raises(KeyError, match="no module 'heat': the nearest are head"):
        tree["heat"]


def tree_size(params):
    return hk.data_structures.tree_size(params)


def test_nothing_is_computed():
    def f(x):
        assert isinstance(x, jax.core.Tracer)
        w = hk.get_parameter("w", [4, 10**12], init=hk.initializers.RandomNormal())
        return x @ w

    tree = hk.module_tree(f)(jnp.ones([2, 4]))
    assert tree["~"].params["w"].spec.shape == (4, 10**12)
    assert "4,000,000,000,000 parameters, 16.00 TB" in str(tree)


def test_inside_a_transformed_function_nothing_is_kept():
    def f(x):
        trees.append(hk.module_tree(BLUEPRINT)(x))
        return hk.Linear(3)(x)

    trees = []
    params = hk.transform(f).init(0, jnp.ones([2, 4]))
    assert list(params) == ["linear"]
    assert paths(trees[0]) == ["mlp", "mlp/~/linear_0", "mlp/~/linear_1"]


def test_the_page_has_the_same_modules():
    tree = hk.module_tree(lambda x: hk.Sequential([Net("<b>"[1]), jnp.tanh])(x))(X)
    page = tree.as_html()
    assert page.count('class="hk-group"') == 1 + len(paths(tree))
    assert "f32[2,4] -&gt; f32[2,3]" in page and "FLOPs" not in page
    for text in ("<b>b</b>", "linear", "f32[4,3]", "<b>16</b> parameters"):
        assert text in page
    assert tree._repr_html_().startswith("<iframe")


def test_a_number_has_no_tree():
    with pytest.raises(TypeError, match="takes a function"):
        hk.module_tree(3)


def test_trees_compare_as_outlines_do():
    def tree(size):
        return hk.module_tree(lambda x: hk.nets.MLP([5, size])(x))(X)

    assert not tree(3).compare(tree(3))
    found = tree(3).compare(tree(4))
    assert found.changed == ["mlp", "mlp/~/linear_1"]
    assert found.parts[0].parts[1].changes == {
        "signatures": ("f32[2,5] -> f32[2,3]", "f32[2,5] -> f32[2,4]"),
        "param b": ("f32[3]", "f32[4]"),
        "param w": ("f32[5,3]", "f32[5,4]"),
    }
