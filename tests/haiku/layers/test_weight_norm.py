"""`hk.WeightNorm` beside PyTorch's parametrization, and around every kind of module."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from layer_values import VALUES, numbers

import haiku as hk

X = jnp.asarray(numbers(2, 5, 4))
PATHS = hk.surgery.paths


def weight(shape):
    """A module that returns its weight, whose values are `numbers`."""

    class Weight(hk.Module):
        def __call__(self):
            return hk.get_parameter("w", shape, init=lambda s, d: numbers(*s))

    return Weight


@pytest.mark.parametrize("case", VALUES["weight_norms"], ids=lambda c: str(c["shape"]))
def test_numbers_are_pytorchs(case):
    shape = case["shape"]
    layer = hk.Blueprint(weight(shape))
    model = hk.bind(hk.WeightNorm, layer, axis=case["axis"]).init(0)
    np.testing.assert_allclose(model(), numbers(*shape), rtol=1e-6)
    own = model.params["weight"]
    begin = np.asarray(case["begin"])
    np.testing.assert_allclose(own["w_magnitude"].ravel(), begin, rtol=1e-6)
    magnitude = jnp.asarray(case["magnitude"]).reshape(own["w_magnitude"].shape)
    params = {"weight": {**own, "w_magnitude": magnitude}}
    np.testing.assert_allclose(model.to(params)(), case["w"], rtol=1e-5, atol=1e-6)
    loss = lambda p: jnp.sum(model.to(p)() * numbers(*shape)[::-1])  # noqa: E731
    gradient = jax.grad(loss)(params)["weight"]
    np.testing.assert_allclose(gradient["w"], case["gradient"], rtol=1e-4, atol=1e-5)
    want = case["magnitude_gradient"]
    np.testing.assert_allclose(gradient["w_magnitude"].ravel(), want, atol=1e-5)


MODULES = {
    "Linear": lambda: hk.Linear(3),
    "Conv1D": lambda: hk.Conv1D(3, 2),
    "MLP": lambda: hk.nets.MLP([3, 2]),
    "GatedMLP": lambda: hk.GatedMLP(3),
    "a stack": lambda: hk.layer_stack(2)(lambda x: hk.Linear(4)(x)),
    "remat": lambda: hk.remat(lambda x: hk.Linear(4)(x)),
    "a loop": lambda: (
        lambda x: hk.dynamic_unroll(
            hk.GRU(3), jnp.swapaxes(x, 0, 1), jnp.zeros([2, 3])
        )[0]
    ),
}
PATTERNS = {"a loop": "**/w_*", "a stack": "**/linear/w"}


@pytest.mark.parametrize("name", MODULES)
def test_nothing_changes_at_first_and_scale_does_not_count(name):
    make, pattern = MODULES[name], PATTERNS.get(name, "**/w")
    plain = hk.bind(lambda x: make()(x)).init(0, X)
    model = hk.bind(lambda x: hk.WeightNorm(make(), pattern)(x)).init(0, X)
    of_wrapped = {
        # A stack is a module of the wrapper's.
        path.removeprefix("weight_norm/"): own
        for path, own in model.params.items()
    }
    magnitudes = PATHS(of_wrapped, "**/*_magnitude")
    assert magnitudes == [p + "_magnitude" for p in PATHS(plain.params, pattern)]
    paths = PATHS(plain.params)
    assert sorted([*paths, *magnitudes]) == PATHS(of_wrapped)
    for path in paths:
        module, _, key = path.rpartition("/")
        np.testing.assert_array_equal(
            of_wrapped[module][key], plain.params[module][key]
        )
    np.testing.assert_allclose(run(model, X), run(plain, X), rtol=1e-5, atol=1e-6)
    scaled = jax.tree.map(lambda p: p, model.params)
    for own in scaled.values():
        for key in own:
            if key + "_magnitude" in own:
                own[key] = 3 * own[key]
    np.testing.assert_allclose(
        run(model.to(scaled), X), run(plain, X), rtol=1e-5, atol=1e-6
    )
    gradient = jax.grad(lambda m: jnp.sum(run(m, X) ** 2))(model).params
    for path in magnitudes:
        module, _, key = path.rpartition("/")
        module = module if module in gradient else f"weight_norm/{module}"
        assert jnp.abs(gradient[module][key]).max() > 0


def test_a_blueprint_and_other_arguments():
    layer = hk.Blueprint(hk.BatchNorm, True, True, 0.9)
    net = hk.Blueprint(hk.Sequential, [hk.Blueprint(hk.Linear, 3, name="first"), layer])
    with pytest.raises(TypeError, match="is_training"):
        hk.bind(hk.WeightNorm, net).init(0, X)
    model = hk.bind(hk.WeightNorm, hk.Blueprint(hk.MultiHeadAttention, 2, 3, 1.0))
    model = model.init(0, X, X, value=X)
    assert model(X, X, value=X).shape == (2, 5, 6)
    assert len(PATHS(model.params, "**/w_magnitude")) == 4


def test_a_getter_for_a_block_and_for_a_bound_model():
    getter = hk.WeightNorm.getter("mlp/~/linear_1/w")
    assert getter == hk.WeightNorm.getter("mlp/~/linear_1/w")
    assert hash(getter) == hash(hk.WeightNorm.getter("mlp/~/linear_1/w"))

    def f(x):
        with hk.custom_getter(getter):
            return hk.nets.MLP([3, 2])(x)

    params = hk.transform(f).init(jax.random.key(0), X)
    assert PATHS(params, "**/*_magnitude") == ["mlp/~/linear_1/w_magnitude"]
    model = hk.bind(hk.nets.MLP, [3, 2]).replace(hooks=[hk.Hooks(getter=getter)])
    model = model.init(jax.random.key(0), X)
    jax.tree.map(np.testing.assert_array_equal, model.params, params)
    y = hk.without_apply_rng(hk.transform(f)).apply(params, X)
    np.testing.assert_allclose(jax.jit(lambda m: m(X))(model), y, rtol=1e-6)


def test_a_pattern_of_everything_finds_no_magnitudes():
    model = hk.bind(hk.WeightNorm, hk.Blueprint(hk.Linear, 3, False), "**").init(0, X)
    assert PATHS(model.params) == ["linear/w", "linear/w_magnitude"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_norms_in_half_precision_are_single(dtype):
    x = jnp.ones([1, 3], dtype)
    layer = hk.Blueprint(
        hk.Linear, 1, False, w_init=hk.initializers.Constant(300.0)
    )  # whose squares float16 doesn't hold
    model = hk.bind(hk.WeightNorm, layer).init(0, x)
    assert {p.dtype for p in jax.tree.leaves(model.params)} == {jnp.dtype(dtype)}
    assert model(x).dtype == dtype
    np.testing.assert_allclose(model(x).astype(jnp.float32), [[900]], rtol=1e-2)


def test_policies_reach_the_magnitude():
    layer = hk.Blueprint(hk.WeightNorm, hk.Blueprint(hk.Linear, 3))

    def f(x):
        with hk.mixed_precision.scope("params=float32,compute=bfloat16,output=float32"):
            return layer(x)

    model = hk.bind(f).init(0, X)
    assert {p.dtype for p in jax.tree.leaves(model.params)} == {jnp.dtype("float32")}
    plain = hk.bind(hk.Linear, 3).init(0, X)
    np.testing.assert_allclose(run(model, X), run(plain, X), rtol=3e-2, atol=3e-2)


def tied(order):
    """Two layers with one weight, called in an order."""

    def call(x):
        layers = {name: hk.Linear(4, name=name) for name in "ab"}
        with hk.replace_parameters({"b/w": ("a/w", None)}):
            return [layers[name](x) for name in order]

    return lambda x: hk.WeightNorm(call)(x)


def test_tied_weights_have_one_magnitude():
    model = hk.bind(tied("ab")).init(0, X)
    own = {key.rpartition("/")[2]: value for key, value in model.params.items()}
    assert PATHS(own) == ["a/b", "a/w", "a/w_magnitude", "b/b"]
    own["a"]["w_magnitude"] *= 3
    model = model.to({f"weight_norm/{key}": value for key, value in own.items()})
    np.testing.assert_array_equal(*model(X))
    with pytest.raises(ValueError, match="Call weight_norm/a first"):
        hk.bind(tied("ba")).init(0, X)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            r"parameters like '\*\*/w', .* it used layer_norm/scale, layer_norm/offset",
            lambda: hk.WeightNorm(hk.LayerNorm(-1, True, True))(X),
        ),
        (ValueError, "it used none", lambda: hk.WeightNorm(jnp.tanh)(X)),
        (
            ValueError,
            r"linear/b is float32 \[3\]. Choose others than '\*\*/b'",
            lambda: hk.WeightNorm(hk.Linear(3), "**/b")(X),
        ),
        (
            ValueError,
            r"axis=2, which linear/w of shape \[4, 3\] doesn't have",
            lambda: hk.WeightNorm(hk.Linear(3), axis=2)(X),
        ),
        (ValueError, "isn't a pattern", lambda: hk.WeightNorm(hk.Linear(3), "a//b")),
        (TypeError, "takes a module to call, got '", lambda: hk.WeightNorm("**/w")),
    ],
)
def test_bad_input_raises(error, message, call):
    with pytest.raises(error, match=message):
        hk.testing.transform_and_run(call)()


def test_an_ensemble_has_magnitudes_of_its_own():
    layer = functools.partial(hk.bind, hk.WeightNorm, hk.Blueprint(hk.Linear, 3))
    models = jax.vmap(lambda key: layer().init(key, X))(
        jax.random.split(jax.random.key(0), 4)
    )
    assert models.params["linear"]["w_magnitude"].shape == (4, 3)
    assert jax.vmap(lambda m: m(X))(models).shape == (4, 2, 5, 3)
