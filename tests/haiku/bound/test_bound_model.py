"""Bound models: pytrees of parameters that call like their module."""

import copy
import functools
import pickle
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)
X = jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)
MLP = hk.Blueprint(hk.nets.MLP, [5, 3])


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_array_equal(x, y)


class Autoencoder(hk.Module):
    """Two methods; neither uses all parameters."""

    def __init__(self, size, name=None):
        super().__init__(name=name)
        self.size = size
        self.encoder = hk.Linear(size, name="encoder")

    def encode(self, x, *, scale=1.0):
        return scale * self.encoder(x)

    def decode(self, z):
        return hk.Linear(4, name="decoder")(z)

    @property
    def code(self):
        return hk.get_parameter("code", [self.size], init=jnp.ones)


class Counter(hk.Module):
    """Counts its calls; `peek` only looks."""

    def __call__(self, x):
        count = hk.get_state("count", [], init=jnp.zeros)
        hk.set_state("count", count + 1)
        return x + count

    def peek(self):
        return hk.get_state("count", [], init=jnp.zeros)

    def rewrite(self):
        hk.set_state("count", hk.get_state("count"))


@pytest.fixture(scope="module")
def model():
    return hk.bind(MLP).init(42, X)


# ---- From what, and back ----------------------------------------------------------


def test_init_is_that_of_transform(model):
    transformed = hk.transform(MLP)
    params = transformed.init(42, X)
    same(model.params, params)
    assert model.state == {} and model.net is MLP
    same(model(X), transformed.apply(params, None, X))
    for other in (
        hk.bind(hk.nets.MLP, [5, 3]).init(42, X),
        hk.bind(MLP).to(params),
        hk.bind(MLP).init(jax.random.PRNGKey(42), X),
        hk.bind(MLP).init_with(42, lambda net, x: net(x), X),
        jax.jit(hk.bind(MLP).init)(42, X),
    ):
        same(other.params, params)
        assert jax.tree.structure(other) == jax.tree.structure(model)


def test_shapes_are_enough_for_init(model):
    shapes = jax.eval_shape(hk.bind(MLP).init, KEY, X)
    assert jax.tree.structure(shapes) == jax.tree.structure(model)
    assert shapes.params["mlp/~/linear_0"]["w"].shape == (4, 5)
    assert "mlp/~/linear_0/w  f32[4,5]" in repr(shapes)


def test_a_model_takes_packed_parameters(model):
    packed = hk.bind(MLP).to(hk.data_structures.pack(model.params))
    np.testing.assert_allclose(packed(X), model(X), rtol=1e-6)
    assert repr(packed) == repr(model)
    grads = jax.grad(lambda m: m(X).sum())(packed)
    assert len(jax.tree.leaves(grads)) == 1


def test_a_model_takes_immutable_dictionaries(model):
    frozen = hk.bind(MLP).to(hk.data_structures.to_immutable_dict(model.params))
    same(frozen(X), model(X))
    assert repr(frozen) == repr(model)


def f_noisy(x, *, scale=1.0):
    noise = jax.random.normal(hk.next_rng_key(), x.shape)
    return hk.Linear(3)(x + scale * noise)


@pytest.mark.parametrize(
    "net", [f_noisy, hk.transform(f_noisy), hk.transform_with_state(f_noisy)]
)
def test_functions_and_pairs_are_bound(net):
    model = hk.bind(net).init(1, X, scale=0.5)
    transformed = hk.transform(f_noisy)
    same(model.params, transformed.init(1, X))
    out = transformed.apply(model.params, KEY, X, scale=2.0)
    same(model(X, scale=2.0, rng_key=KEY), out)
    same(model.updating(X, scale=2.0, rng_key=KEY)[0], out)
    for name in ("encode", "scale"):
        with pytest.raises(AttributeError, match=name):
            getattr(model, name)


def test_a_pair_may_take_no_key():
    pair = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(3)(x)))
    model = hk.bind(pair).init(1, X)
    same(model(X), pair.apply(model.params, X))
    with pytest.raises(TypeError, match="takes no random key"):
        model(X, rng_key=1)
    # A pair of the user's own functions takes the usual arguments.
    own = hk.Transformed(pair.init, lambda params, rng, x: (rng, params, x))
    assert hk.bind(own).init(1, X)(3)[0] is None


class Both(NamedTuple):
    encode: object
    decode: object


def several(kind):
    def f():
        net = Autoencoder(3)
        functions = {
            "names": {"encode": net.encode, "decode": net.decode},
            "fields": Both(net.encode, net.decode),
            "places": (net.encode, [net.decode]),
        }
        return lambda x: net.decode(net.encode(x)), functions[kind]

    return f


@pytest.mark.parametrize("transform", ["multi_transform", "multi_transform_with_state"])
@pytest.mark.parametrize("kind", ["names", "fields", "places"])
def test_a_pair_of_several_functions_is_bound(kind, transform):
    pair = getattr(hk, transform)(several(kind))
    model = hk.bind(pair).init(1, X)
    if kind == "places":
        encode, decode = model[0], model[1][0]
    else:
        encode, decode = model.encode, model.decode
    wanted = hk.bind(Autoencoder, 3).init_with(
        1, lambda net, x: net.decode(net.encode(x)), X
    )
    same(decode(encode(X)), wanted.decode(wanted.encode(X)))
    assert model.updating[0] if kind == "places" else model.updating.encode
    with pytest.raises(TypeError, match="several functions"):
        model(X)
    with pytest.raises(AttributeError, match="has no function 'nothing'"):
        _ = model.nothing
    with pytest.raises(TypeError, match="init_with"):
        hk.bind(pair).init_with(1, lambda net, x: net, X)


# ---- Calls like the module --------------------------------------------------------


def test_methods_and_attributes_are_reached():
    binding = hk.bind(Autoencoder, 3)

    def use(net, x):
        net.code  # noqa: B018
        return net.decode(net.encode(x))

    model = binding.init_with(0, use, X)
    assert model.size == 3 and model.name == "autoencoder"
    z = model.encode(X)
    same(model.encode(X, scale=2.0), 2 * z)
    same(model.encoder(X), z)
    assert model.encoder.output_size == 3
    assert model.decode(z).shape == X.shape
    same(model.code, jnp.ones(3))
    assert ".encoder" in repr(model.encoder) and ".encode" in repr(model.encode)
    for method in model.encode, model.encoder:  # functions to JAX too
        assert jax.eval_shape(method, X).shape == z.shape
        same(jax.jit(method)(X), z)
    same(jax.jit(model.updating.encode)(X)[0], z)
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.nothing
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.encoder.nothing


def test_a_method_that_needs_more_parameters_is_an_error():
    class WithCall(Autoencoder):
        def __call__(self, x):
            return self.encode(x)

    model = hk.bind(WithCall, 3).init(0, X)
    assert list(model.params) == ["with_call/~/encoder"]
    with pytest.raises(ValueError, match="with_call/~decode/decoder/w") as caught:
        model.decode(model(X))
    assert "init_with(key, lambda net, x" in caught.value.__notes__[0]


def test_what_a_creator_keeps_out_stays_out():
    def f(x):
        keep_out = lambda *args: hk.DO_NOT_STORE  # noqa: E731
        ones = lambda get, value, c: jnp.ones(c.original_shape)  # noqa: E731
        with hk.custom_creator(keep_out), hk.custom_getter(ones):
            return hk.Linear(3)(x)

    model = hk.bind(f).init(0, X)
    assert model.params == {}
    assert model(X).shape == (2, 3)


def test_a_key_is_passed_by_keyword():
    def f(x, rng=None):
        return hk.dropout(hk.next_rng_key(), 0.5, x), rng

    model = hk.bind(f).init(0, X)
    same(model(X, rng_key=3)[0], model(X, rng_key=jax.random.PRNGKey(3))[0])
    assert model(X, rng_key=jax.random.key(3), rng="own")[1] == "own"
    with pytest.raises(ValueError) as caught:
        model(X)
    assert "model(x, rng_key=42)" in caught.value.__notes__[0]
    with pytest.raises(ValueError, match="rng_key.*True"):
        model(X, rng_key=True)


# ---- A pytree ---------------------------------------------------------------------


def test_a_model_goes_through_transformations(model):
    def loss(model, x):
        return jnp.mean(model(x) ** 2)

    transformed = hk.without_apply_rng(hk.transform(MLP))
    wanted = jax.grad(lambda p: jnp.mean(transformed.apply(p, X) ** 2))(model.params)
    value, grads = jax.jit(jax.value_and_grad(loss))(model, X)
    assert isinstance(grads, hk.Bound)
    for got, want in zip(jax.tree.leaves(grads), jax.tree.leaves(wanted)):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(value, loss(model, X), rtol=1e-6)
    each = jax.vmap(loss, (None, 0))(model, X[:, None])
    np.testing.assert_allclose(each.mean(), value, rtol=1e-6)
    _, tangent = jax.jvp(lambda m: loss(m, X), (model,), (grads,))
    squares = sum(jnp.sum(g**2) for g in jax.tree.leaves(grads))
    np.testing.assert_allclose(tangent, squares, rtol=1e-5)


def test_vmap_over_keys_makes_an_ensemble(model):
    keys = jax.random.split(KEY, 3)
    ensemble = jax.vmap(hk.bind(MLP).init, (0, None))(keys, X)
    outs = jax.vmap(lambda model: model(X))(ensemble)
    assert outs.shape == (3, 2, 3)
    member = jax.tree.map(lambda p: p[1], ensemble)
    np.testing.assert_allclose(outs[1], member(X), rtol=1e-5)


def test_an_optimizer_takes_a_model(model):
    optimizer = optax.adam(1e-2)

    def step(carry, _):
        model, memory = carry
        value, grads = jax.value_and_grad(lambda m: jnp.mean((m(X) - 1) ** 2))(model)
        updates, memory = optimizer.update(grads, memory, model)
        return (optax.apply_updates(model, updates), memory), value

    carry = model, optimizer.init(model)
    (trained, _), values = jax.lax.scan(step, carry, None, length=50)
    assert isinstance(trained, hk.Bound)
    assert values[-1] < 0.1 * values[0]


def test_key_paths_name_parameters(model):
    paths = [
        jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(model)
    ]
    assert paths[0] == ".params['mlp/~/linear_0']['b']"
    counter = hk.bind(Counter).init(0, X)
    (path, _), = jax.tree_util.tree_leaves_with_path(counter)  # fmt: skip
    assert jax.tree_util.keystr(path) == ".state['counter']['count']"


def test_equal_blueprints_are_one_structure(model):
    twin = hk.bind(copy.deepcopy(MLP)).init(1, X)
    target = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, model, twin)
    assert target(X).shape == (2, 3)
    traced = []

    @jax.jit
    def run(model):
        traced.append(model)
        return model(X)

    run(model), run(twin), run(target)
    assert len(traced) == 1
    with pytest.raises(ValueError):
        jax.tree.map(jnp.add, model, hk.bind(hk.nets.MLP, [5, 3, 3]).init(1, X))


def test_copies_are_equal(model):
    pickled = pickle.loads(pickle.dumps(model))
    for other in (copy.copy(model), copy.deepcopy(model), pickled):
        same(other, model)
        same(other(X), model(X))
    counter = hk.bind(hk.transform_with_state(f_noisy)).init(1, X)
    assert jax.tree.structure(copy.copy(counter)) == jax.tree.structure(counter)


def test_a_model_works_inside_a_transformed_function(model):
    net = hk.transform(lambda model, x: hk.Linear(2)(model(x)))
    params = net.init(KEY, model, X)
    assert list(params) == ["linear"]
    grads = jax.grad(lambda m: net.apply(params, None, m, X).sum())(model)
    assert isinstance(grads, hk.Bound)


# ---- State ------------------------------------------------------------------------


def test_no_change_of_state_is_lost():
    model = hk.bind(Counter).init(0, X)
    model.rewrite()  # It writes an existing value.
    for call in (lambda: model(X), lambda: jax.eval_shape(model, X)):
        with pytest.raises(hk.StateChangedError, match="counter/count.*model.updating"):
            call()
    assert model.peek() == 0 and jax.jit(lambda m: m.peek())(model) == 0
    out, model = model.updating(X)
    same(out, X)
    out, model = jax.jit(lambda m, x: m.updating(x))(model, X)
    same(out, X + 1)
    assert model.peek() == 2
    count, model = model.updating.peek()
    assert count == 2

    def step(model, x):
        out, model = model.updating(x)
        return model, out

    model, outs = jax.lax.scan(step, model, jnp.zeros(4))
    same(outs, jnp.arange(2.0, 6.0))
    assert model.peek() == 6


def test_state_that_a_loop_hands_on_is_unchanged():
    def f(x, change):
        def body(x, _):
            norm = hk.BatchNorm(True, True, 0.9)
            return norm(x, is_training=change), None

        x, _ = hk.scan(body, x, None, length=2)
        stack = hk.layer_stack(2)(
            lambda x: hk.BatchNorm(True, True, 0.9)(x, is_training=change)
        )
        return stack(x)

    model = jax.eval_shape(functools.partial(hk.bind(f).init, 0, change=True), X)

    def run(change):
        return jax.eval_shape(lambda m, x: m(x, change=change), model, X)

    assert run(False).shape == X.shape
    with pytest.raises(hk.StateChangedError):
        run(True)


def test_a_model_with_state_trains():
    net = hk.Blueprint(hk.BatchNorm, True, True, 0.9)
    model = hk.bind(net).init(0, X, is_training=True)

    def loss(params, model):
        out, model = model.replace(params=params).updating(X, is_training=True)
        return jnp.mean((out - 1) ** 2), model

    grads, new = jax.grad(loss, has_aux=True)(model.params, model)
    pair = hk.transform_with_state(net)

    def wanted(params):
        out, state = pair.apply(params, model.state, None, X, is_training=True)
        return jnp.mean((out - 1) ** 2), state

    same((grads, new.state), jax.grad(wanted, has_aux=True)(model.params))
    assert new(X, is_training=False).shape == X.shape


def test_pairs_keep_their_state():
    pair = hk.transform_with_state(lambda x: Counter()(x))
    model = hk.bind(pair).init(0, X)
    with pytest.raises(hk.StateChangedError):
        model(X)
    _, model = model.updating(X)
    assert model.state["counter"]["count"] == 1


# ---- Looking, and errors that teach -----------------------------------------------


def test_the_repr_lists_parameters(model):
    assert repr(model) == (
        "Bound(Blueprint(MLP, [5, 3]))\n"
        "  mlp/~/linear_0/b  f32[5]\n"
        "  mlp/~/linear_0/w  f32[4,5]\n"
        "  mlp/~/linear_1/b  f32[3]\n"
        "  mlp/~/linear_1/w  f32[5,3]\n"
        "43 parameters"
    )
    assert repr(hk.bind(Counter).init(0, X)) == (
        "Bound(Blueprint(Counter))\n  state counter/count  f32[]\n0 parameters"
    )
    deep = hk.bind(hk.nets.MLP, [2] * 30).init(0, X)
    assert "... and 20 more" in repr(deep)
    assert "more" not in repr(hk.bind(hk.nets.MLP, [2] * 20).init(0, X))
    assert "20 more" not in repr(jax.tree.map(lambda x: None, model))
    pair = hk.without_apply_rng(hk.transform(f_noisy))
    assert repr(hk.bind(f_noisy)) == "Bound(f_noisy) without parameters"
    assert repr(hk.bind(pair)) == "Bound(Transformed(f_noisy)) without parameters"
    of_blueprint = repr(hk.bind(hk.transform(MLP)))
    assert of_blueprint.startswith("Bound(Transformed(Blueprint(MLP, [5, 3])))")
    assert "MultiTransformed(" in repr(hk.bind(hk.multi_transform(several("names"))))
    assert repr(hk.bind(MLP)).startswith("Bound(Blueprint(MLP, [5, 3])) without")
    same(repr(jax.tree.map(lambda x: 1, model)).count("  1"), 4)


def test_replace_changes_parameters_and_state(model):
    zeros = jax.tree.map(jnp.zeros_like, model.params)
    same(model.replace(params=zeros)(X), jnp.zeros([2, 3]))
    same(model.replace(), model)
    counter = hk.bind(Counter).init(0, X)
    assert counter.replace(state={"counter": {"count": jnp.array(3.0)}}).peek() == 3
    with pytest.raises(TypeError, match="params"):
        model.replace(params={"w": 1})
    with pytest.raises(AttributeError, match=r"model\.replace\(params="):
        model.params = zeros
    with pytest.raises(AttributeError, match="does not change"):
        model.other = zeros
    with pytest.raises(AttributeError, match="does not change"):
        del model.params


def test_errors_say_what_to_write(model):
    cases = {
        "takes arguments only after a module's class": lambda: hk.bind(MLP, 42, X),
        "was given a bound model": lambda: hk.bind(model),
        "takes a function, got int": lambda: hk.bind(3),
        "jitted": lambda: hk.bind(jax.jit(f_noisy)),
        "takes a key first": lambda: hk.bind(MLP).init(X),
        "takes a function of the net": lambda: hk.bind(MLP).init_with(1, X),
        "params argument": lambda: hk.bind(MLP).to((model.params, {})),
        "state argument": lambda: hk.bind(MLP).to(model.params, X),
        "Did you mean 'output_sizes'": lambda: hk.bind(hk.nets.MLP, output_size=[3]),
        "model.params": lambda: list(model),
        "by index": lambda: model[0],
        "nothing by index": lambda: model.updating[0],
    }
    for match, call in cases.items():
        with pytest.raises((TypeError, ValueError), match=match):
            call()
