"""`hk.replace_parameters`: tied parameters, and computed ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from call_dtypes import dtypes_of_calls

import haiku as hk

KEY = jax.random.key(0)
X = jnp.arange(6.0).reshape(2, 3) / 6


def call(layer, x, **own):
    """Calls a layer with some of its parameters replaced."""
    with hk.replace_parameters(own, inside=layer):
        return layer(x)


def shapes(params):
    return {
        f"{m}/{n}": jnp.shape(value)
        for m, n, value in hk.data_structures.traverse(params)
    }


# Tied embeddings: the program of thread #128.

VOCABULARY, SIZE = 7, 4


def language_model(tokens, tie=True):
    x = hk.Embed(VOCABULARY, SIZE, name="embed")(tokens)
    x = jnp.tanh(hk.Linear(SIZE)(x))
    logits = hk.Linear(VOCABULARY, name="logits")
    if not tie:
        return logits(x)
    with hk.replace_parameters({"logits/w": ("embed/embeddings", jnp.transpose)}):
        return logits(x)


TOKENS = jnp.array([[1, 2, 3], [4, 5, 6]])


def test_an_embedding_is_the_output_projection():
    tied = hk.without_apply_rng(hk.transform(language_model))
    params = tied.init(KEY, TOKENS)
    assert "w" not in params["logits"] and params["logits"]["b"].shape == (7,)
    untied = hk.without_apply_rng(hk.transform(lambda t: language_model(t, False)))
    embeddings = params["embed"]["embeddings"]
    both = {**params, "logits": {**params["logits"], "w": embeddings.T}}
    out = tied.apply(params, TOKENS)
    np.testing.assert_array_equal(out, untied.apply(both, TOKENS))
    np.testing.assert_allclose(out, jax.jit(tied.apply)(params, TOKENS), rtol=1e-5)

    # One array, so its gradient is the sum of both uses'.
    grads = jax.jit(jax.grad(lambda p: jnp.sum(tied.apply(p, TOKENS) ** 2)))(params)
    each = jax.jit(jax.grad(lambda p: jnp.sum(untied.apply(p, TOKENS) ** 2)))(both)
    summed = each["embed"]["embeddings"] + each["logits"]["w"].T
    np.testing.assert_allclose(grads["embed"]["embeddings"], summed, rtol=1e-4)


def test_tied_embeddings_learn():
    net = hk.without_apply_rng(hk.transform(language_model))

    def loss(params):
        scores = jax.nn.log_softmax(net.apply(params, TOKENS))
        return -jnp.mean(jnp.take_along_axis(scores, TOKENS[..., None], -1))

    params = net.init(KEY, TOKENS)
    step = jax.jit(
        lambda p: jax.tree.map(lambda x, g: x - 0.5 * g, p, jax.grad(loss)(p))
    )
    first = loss(params)
    for _ in range(60):
        params = step(params)
    assert loss(params) < 0.1 * first


# Modules that share parameters: the program of thread #80.


class Tower(hk.Module):
    def __init__(self, name=None):
        super().__init__(name)
        self.inner = hk.nets.MLP([5, 3])

    def __call__(self, x):
        return self.inner(x) * hk.get_parameter("scale", [], init=jnp.ones)


def two_towers(x, y):
    left, right = Tower("left"), Tower("right")
    with hk.replace_parameters({"right/~/mlp/**": "left/~/mlp/**"}):
        return left(x), right(y)


@pytest.mark.parametrize("order", ["source first", "source last"])
def test_two_towers_share_a_subtree(order):
    def f(x, y):
        if order == "source first":
            return two_towers(x, y)
        left, right = Tower("left"), Tower("right")
        with hk.replace_parameters({"right/~/mlp/**": "left/~/mlp/**"}):
            out = right(y)
            return left(x), out

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X, X)
    assert sorted(params) == [
        "left",
        "left/~/mlp/~/linear_0",
        "left/~/mlp/~/linear_1",
        "right",
    ]
    a, b = net.apply(params, X, X)
    np.testing.assert_array_equal(a, b)
    assert "scale" in params["left"] and "scale" in params["right"]


def test_an_autoencoder_with_transposed_weights():
    class AutoEncoder(hk.Module):
        def __call__(self, x):
            code = jnp.tanh(hk.Linear(2, name="encoder")(x))
            with hk.replace_parameters({"decoder/w": ("encoder/w", jnp.transpose)}):
                return hk.Linear(3, name="decoder")(code)

    # Paths count from the module, wherever it stands.
    def f(x):
        with hk.name_scope("somewhere"):
            return AutoEncoder()(x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert shapes(params) == {
        "somewhere/auto_encoder/encoder/w": (3, 2),
        "somewhere/auto_encoder/encoder/b": (2,),
        "somewhere/auto_encoder/decoder/b": (3,),
    }
    encoder = params["somewhere/auto_encoder/encoder"]
    want = jnp.tanh(X @ encoder["w"] + encoder["b"]) @ encoder["w"].T
    np.testing.assert_allclose(net.apply(params, None, X), want, rtol=1e-5)


def test_ties_inside_a_stack_and_out_of_it():
    def f(x, plain=False):
        outer = hk.Linear(3, name="outer")(x)

        def layer(x):
            with hk.replace_parameters({"second/w": "first/w"}):
                x = jnp.tanh(hk.Linear(3, name="first")(x))
                x = hk.Linear(3, name="second")(x)
            return hk.Linear(3, name="shared")(x)

        with hk.replace_parameters({"stack/shared/w": "outer/w"}):
            return hk.layer_stack(3, name="stack")(layer)(outer)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert shapes(params) == {
        "outer/w": (3, 3),
        "outer/b": (3,),
        "stack/first/w": (3, 3, 3),
        "stack/first/b": (3, 3),
        "stack/second/b": (3, 3),
        "stack/shared/b": (3, 3),
    }
    x = X @ params["outer"]["w"]
    for w in params["stack/first"]["w"]:
        x = jnp.tanh(x @ w) @ w @ params["outer"]["w"]
    np.testing.assert_allclose(net.apply(params, X), x, rtol=1e-5, atol=1e-6)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X) ** 2)))(params)
    assert shapes(grads) == shapes(params)
    assert all(jnp.any(g != 0) for g in jax.tree.leaves(grads))


def test_ties_inside_an_ensemble_and_out_of_it():
    def f(x):
        a = hk.Linear(3, with_bias=False, name="a")(x)

        def member(x):
            with hk.replace_parameters({"inner/w": "own/w"}):
                x = hk.Linear(3, with_bias=False, name="own")(x)
                x = hk.Linear(3, with_bias=False, name="inner")(x)
            return hk.Linear(3, name="outer")(x)

        with hk.replace_parameters({"outer/w": "a/w"}):
            return hk.ensemble(member, 3)(a)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert shapes(params) == {"a/w": (3, 3), "own/w": (3, 3, 3), "outer/b": (3, 3)}
    w = params["a"]["w"]
    want = [X @ w @ own @ own @ w for own in params["own"]["w"]]
    np.testing.assert_allclose(net.apply(params, X), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "loop", ["cond", "scan", "fori_loop", "grad", "jit", "remat", "vmap"]
)
def test_ties_inside_transformations(loop):
    def body(x):
        with hk.replace_parameters({"b/w": ("a/w", lambda w: 2 * w)}):
            x = hk.Linear(3, with_bias=False, name="a")(x)
            return hk.Linear(3, with_bias=False, name="b")(x)

    def f(x):
        if loop == "scan":
            return hk.scan(lambda c, _: (body(c), None), x, None, length=2)[0]
        if loop == "fori_loop":
            return hk.fori_loop(0, 2, lambda _, x: body(x), x)
        if loop == "grad":
            return hk.grad(lambda x: jnp.sum(body(x)))(x)
        if loop == "vmap":
            return hk.vmap(body, split_rng=False)(x)
        if loop == "cond":
            return hk.cond(x[0, 0] >= 0, body, lambda x: x, x)
        return getattr(hk, loop)(body)(x)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert shapes(params) == {"a/w": (3, 3)}
    w = params["a"]["w"]
    two = 2 * w @ w
    want = {"scan": X @ two @ two, "fori_loop": X @ two @ two}.get(loop, X @ two)
    if loop == "grad":
        want = jnp.broadcast_to(jnp.sum(two, 1), X.shape)
    np.testing.assert_allclose(jax.jit(net.apply)(params, X), want, rtol=1e-4)


def test_ties_of_ties_and_around_ties():
    double = lambda w: 2 * w  # noqa: E731

    def f(x):
        with hk.replace_parameters({"c/w": ("b/w", double), "b/w": ("a/w", double)}):
            a = hk.Linear(3, with_bias=False, name="a")(x)
            hk.Linear(3, with_bias=False, name="b")(x)
            c = hk.Linear(3, with_bias=False, name="c")(x)
            with hk.replace_parameters({"d/w": "b/w"}):
                return a, c, hk.Linear(3, with_bias=False, name="d")(x)

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert shapes(params) == {"a/w": (3, 3)}
    a, c, d = net.apply(params, None, X)
    np.testing.assert_allclose(c, 4 * a, rtol=1e-6)
    np.testing.assert_allclose(d, 2 * a, rtol=1e-6)


def test_the_pattern_may_find_the_source():
    def f(x):
        with hk.replace_parameters({"**/w": "/first/w"}):
            for name in ("first", "second", "third"):
                x = hk.Linear(3, name=name)(x)
        return x

    params = hk.transform(f).init(KEY, X)
    assert [path for path in shapes(params) if path.endswith("w")] == ["first/w"]


def test_tied_parameters_follow_the_policy_around():
    class Net(hk.Module):
        def __call__(self, x):
            with hk.replace_parameters({"b/w": "a/w"}):
                return hk.Linear(3, name="b")(hk.Linear(3, name="a")(x))

    with hk.mixed_precision.push_policy(Net, "p=f32,c=bf16,o=bf16"):
        net = hk.transform(lambda x: Net()(x))
        params = net.init(KEY, X)
        calls = dtypes_of_calls(net, X)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"float32"}
    assert [call.compute for call in calls] == [("bf16",)] * 3


# Given weights.


def test_a_hypernetwork_makes_the_weights_of_a_stock_layer():
    def f(x, z):
        hyper = hk.Linear(3 * 2 + 2, name="hyper")(z)
        layer = hk.Linear(2, name="main")
        return call(layer, x, w=hyper[:6].reshape(3, 2), b=hyper[6:])

    z = jnp.ones([4])
    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X, z)
    assert sorted(params) == ["hyper"]
    made = z @ params["hyper"]["w"] + params["hyper"]["b"]
    want = X @ made[:6].reshape(3, 2) + made[6:]
    np.testing.assert_allclose(jax.jit(net.apply)(params, X, z), want, rtol=1e-5)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X, z) ** 2)))(params)
    assert jnp.all(jnp.any(grads["hyper"]["w"] != 0, axis=0))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: hk.Conv1D(2, 3, name="n"),
        lambda: hk.LayerNorm(-1, True, True, name="n"),
        lambda: hk.nets.MLP([4, 2], name="n"),
        lambda: hk.MultiHeadAttention(
            2, 4, w_init=hk.initializers.VarianceScaling(), name="n"
        ),
        lambda: hk.GRU(4, name="n"),
        lambda: hk.BatchNorm(True, True, 0.9, name="n"),
    ],
    ids=["conv", "layer norm", "mlp", "attention", "gru", "batch norm"],
)
def test_every_weight_of_a_stock_layer_can_be_replaced(layer):
    x = jax.random.normal(KEY, [2, 5, 3])

    def call(module):
        if isinstance(module, hk.MultiHeadAttention):
            return module(x, x, x)
        if isinstance(module, hk.GRU):
            return module(x[:, 0], module.initial_state(2))
        if isinstance(module, hk.BatchNorm):
            return module(x, True)
        return module(x)

    plain = hk.transform_with_state(lambda: call(layer()))
    params, state = jax.jit(plain.init)(KEY)

    def f():
        module = layer()
        weights = {
            f"/{m}/{n}": value for m, n, value in hk.data_structures.traverse(params)
        }
        with hk.replace_parameters(weights):
            return call(module)

    given = hk.transform_with_state(f)
    none, given_state = jax.jit(given.init)(KEY)
    assert none == {}
    jax.tree.map(np.testing.assert_array_equal, state, given_state)
    want = jax.jit(plain.apply)(params, state, None)
    got = jax.jit(given.apply)({}, state, None)
    close = lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6)  # noqa: E731
    jax.tree.map(close, want, got)


def test_weight_norm_replaces_a_weight():
    """w = g v / |v|, for a stock layer."""

    def f(x):
        v = hk.get_parameter("v", [3, 2], init=hk.initializers.RandomNormal())
        g = hk.get_parameter("g", [2], init=jnp.ones)
        w = g * v / jnp.linalg.norm(v, axis=0)
        return call(hk.Linear(2), x, w=w)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert shapes(params) == {"linear/b": (2,), "~/g": (2,), "~/v": (3, 2)}
    out = net.apply(params, X)
    scaled = {**params, "~": {**params["~"], "v": 5 * params["~"]["v"]}}
    np.testing.assert_allclose(out, net.apply(scaled, X), rtol=1e-5)


def test_a_function_adds_low_rank_updates_to_a_whole_network():
    """A function in place of an array: what is stored, and what is used."""

    def low_rank(w):
        init = hk.initializers.RandomNormal()
        a = hk.get_parameter("lora_a", [w.shape[0], 1], init=init)
        b = hk.get_parameter("lora_b", [1, w.shape[1]], init=jnp.zeros)
        return w + a @ b

    mlp = lambda x: hk.nets.MLP([4, 2])(x)  # noqa: E731

    def f(x):
        with hk.replace_parameters({"mlp/**/w": low_rank}):
            return mlp(x)

    net = hk.transform(f)
    params = jax.jit(net.init)(KEY, X)
    frozen, trained = hk.surgery.split(params, "**/w", "**/b")
    assert hk.surgery.paths(trained) == [
        f"mlp/~/linear_{i}/lora_{x}" for i in (0, 1) for x in "ab"
    ]
    # With b = 0 it is the network as it was.
    np.testing.assert_array_equal(
        net.apply(params, None, X), hk.transform(mlp).apply(frozen, None, X)
    )
    loss = lambda t: jnp.sum(  # noqa: E731
        net.apply(hk.surgery.merge(frozen, t), None, X) ** 2
    )
    grads = jax.jit(jax.grad(loss))(trained)
    assert jnp.any(grads["mlp/~/linear_1"]["lora_b"] != 0)


def test_a_module_may_be_the_function():
    def f(x):
        with hk.replace_parameters({"linear/w": hk.SpectralNorm(n_steps=30)}):
            return hk.Linear(3, with_bias=False)(x)

    net = hk.transform_with_state(f)
    params, state = net.init(KEY, X)
    out, _ = net.apply(params, state, None, X)
    w = params["linear"]["w"]
    want = X @ w / jnp.linalg.norm(w, 2)
    np.testing.assert_allclose(out, want, rtol=1e-3)


def test_each_example_may_have_its_own_weights():
    def f(ws, xs):
        layer = hk.Linear(2)
        one = lambda w, x: call(layer, x, w=w)  # noqa: E731
        return hk.vmap(one, split_rng=False)(ws, xs)

    ws = jax.random.normal(KEY, [5, 3, 2])
    xs = jax.random.normal(KEY, [5, 3])
    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, ws, xs)
    assert shapes(params) == {"linear/b": (2,)}
    got = jax.jit(net.apply)(params, ws, xs)
    np.testing.assert_allclose(got, jnp.einsum("bi,bio->bo", xs, ws), rtol=1e-5)


def test_arrays_replace_parameters_inside_stacks_and_loops():
    w = jnp.eye(3) * 0.5

    def f(x):
        with hk.replace_parameters({"stack/linear/w": w}):
            x = hk.layer_stack(2, name="stack")(lambda x: hk.Linear(3)(x))(x)
        with hk.replace_parameters({"looped/w": w}):
            return hk.scan(
                lambda c, _: (hk.Linear(3, name="looped")(c), None), x, None, 2
            )[0]

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert shapes(params) == {"looped/b": (3,), "stack/linear/b": (2, 3)}
    np.testing.assert_allclose(net.apply(params, X), X / 16, rtol=1e-6)


def test_the_innermost_block_counts_and_ends():
    def f(x):
        layer = hk.Linear(3, with_bias=False)
        with hk.replace_parameters({"linear/w": jnp.zeros([3, 3])}):
            zero = layer(x)
            one = call(layer, x, w=np.eye(3, dtype=np.float32))
        return zero, one, layer(x)

    net = hk.transform(f)
    params = net.init(KEY, X)  # Outside the block the layer makes its own.
    zero, one, own = net.apply(params, None, X)
    assert not zero.any() and jnp.array_equal(one, X)
    np.testing.assert_allclose(own, X @ params["linear"]["w"], rtol=1e-6)


def test_blueprints_and_inner_functions_are_replaced_too():
    layer = hk.Blueprint(hk.Linear, 3, with_bias=False)

    def f(x):
        inner = hk.transform(lambda x: hk.Linear(3, name="a")(layer(x)))
        with hk.replace_parameters(
            {"a/w": "linear/w"}
        ):  # The inner function's own paths.
            params = hk.lift(inner.init, name="inner")(hk.next_rng_key(), x)
            out = inner.apply(params, None, x)
        return out, call(layer, x, w=jnp.eye(3))

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert shapes(params) == {"inner/a/b": (3,), "inner/linear/w": (3, 3)}
    w = params["inner/linear"]["w"]
    out, same = net.apply(params, KEY, X)
    np.testing.assert_allclose(out, X @ w @ w, rtol=1e-5)
    np.testing.assert_array_equal(same, X)


def test_a_recurrent_core_is_tied():
    def f(xs):
        xs = hk.Linear(3, name="project")(xs)
        core = hk.VanillaRNN(3, name="core")
        with hk.replace_parameters({"core/linear/w": "project/w"}):
            return hk.dynamic_unroll(core, xs, core.initial_state(None))[0]

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    assert "w" not in params["core/linear"]
    untied = {**params, "core/linear": {**params["core/linear"], **params["project"]}}
    untied["core/linear"]["b"] = params["core/linear"]["b"]
    plain = hk.without_apply_rng(hk.transform(_untied))
    np.testing.assert_allclose(net.apply(params, X), plain.apply(untied, X), rtol=1e-5)
    grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X))))(params)
    each = jax.jit(jax.grad(lambda p: jnp.sum(plain.apply(p, X))))(untied)
    summed = each["project"]["w"] + each["core/linear"]["w"]
    np.testing.assert_allclose(grads["project"]["w"], summed, rtol=1e-4, atol=1e-6)


def _untied(xs):
    xs = hk.Linear(3, name="project")(xs)
    core = hk.VanillaRNN(3, name="core")
    return hk.dynamic_unroll(core, xs, core.initial_state(None))[0]


def test_paths_name_methods_of_modules():
    class Net(hk.Module):
        def encode(self, x):
            return hk.Linear(2, with_bias=False, name="code")(x)

    def f(x):
        net = Net()
        weights = {"~encode/code/w": jnp.ones([3, 2])}
        with hk.replace_parameters(weights, inside=net):
            return net.encode(x)

    out = hk.transform(f).apply({}, None, X)
    np.testing.assert_allclose(out[:, 0], jnp.sum(X, 1), rtol=1e-6)


# What errors say.


def run(replacements, x=X):
    def f():
        with hk.replace_parameters(replacements):
            return hk.Linear(2, name="a")(x), hk.Linear(3, name="b")(x)

    return hk.transform(f).init(KEY)


@pytest.mark.parametrize(
    ("replacements", "says"),
    [
        ({"c/w": X}, r"no parameter like 'c/w'.* It used .*a/w"),
        ({"a/w": jnp.ones([2, 3])}, "Transposed it would fit"),
        ({"a/w": jnp.ones([9, 3, 2])}, r"in `hk\.vmap`"),
        ({"a/w": jnp.ones([1])}, r"a/w is replaced by f32\[1\].*\[3, 2"),
        ({"a/w": ["list"]}, "'a/w' is list"),
        ({"a/w": ("a/b", 3)}, "'a/w' is tuple"),
        ({"a/w": lambda w: w[0]}, r"the function makes f32\[2\]"),
        ({"a//w": 1}, "'a//w' is.*pattern"),
        ({}, "at least one path"),
        ([X], "mapping from paths"),
        ("a/b", "mapping from paths"),
        ({"b/w": "a/w"}, r"b/w is replaced by a/w, f32\[3,2\].*\[3, 3\]"),
        ({"c/w": "a/w"}, "no parameter like 'c/w'"),
        ({"a/b": ("z/b", jnp.negative)}, "call the module that owns it"),
        ({"a/b": "c/b", "c/b": "a/b"}, "circle: a/b -> c/b -> a/b"),
        ({"a/b": "*/b"}, "can't be made of"),
        ({"a/w": ("b/w", jnp.transpose)}, "call the module that owns it"),
    ],
)
def test_errors_say_what_to_write(replacements, says):
    with pytest.raises((ValueError, TypeError), match=f"(?s){says}"):
        run(replacements)


def test_errors_outside_and_inside_of_blocks():
    outside = r"must be used as part of an `hk.transform`"
    with pytest.raises(ValueError, match=outside), hk.replace_parameters({"a/w": X}):
        pass
    # A block that ends with an error raises that error, not that paths are unused.
    with pytest.raises(KeyError):
        run({"c/w": X}, _Raises())

    def f(x):
        with hk.replace_parameters({"b/w": "a/w"}):
            return hk.Linear(3, with_bias=False, name="b")(x)

    with pytest.raises(ValueError, match="(?s)by a/w, .*near.*are c/w.*Pass"):
        hk.transform(f).apply({"c": {"w": X}}, None, X)


class _Raises:
    @property
    def shape(self):
        raise KeyError("x")
