"""Hooks that a bound model holds: they go with it, and act in every call."""

import concurrent.futures
import copy
import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from leak_checks import checking_leaks

import haiku as hk
from haiku._trees.rules import Rules

X = jnp.arange(6.0).reshape(2, 3) / 6
KEY = jax.random.key(0)


def halved(next_getter, value, context):
    return next_getter(value / 2)


def ones(next_creator, shape, dtype, init, context):
    return next_creator(shape, dtype, jnp.ones)


def tripled(next_f, args, kwargs, context):
    out = next_f(*args, **kwargs)
    is_outermost = "/" not in context.module.module_name
    return 3 * out if context.method_name == "__call__" and is_outermost else out


@dataclasses.dataclass(frozen=True)
class LowRank(hk.Hooks):
    """An adaptation: by pattern, reads more parameters as a part of `w`."""

    pattern: str = "**/w"
    rank: int = 2

    def getter(self, next_getter, w, context):
        if Rules({self.pattern: None}).match(context.full_name) is None:
            return next_getter(w)
        init = hk.initializers.RandomNormal()
        a = hk.get_parameter(f"{context.name}_a", [w.shape[0], self.rank], init=init)
        b = hk.get_parameter(
            f"{context.name}_b", [self.rank, w.shape[1]], init=jnp.zeros
        )
        return next_getter(w + a @ b)


def close(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), a, b)


@pytest.fixture
def model():
    return hk.bind(hk.Linear, 2).init(KEY, X)


def test_a_getter_acts_in_every_call(model):
    held = model.replace(hooks=[hk.Hooks(getter=halved)])
    close(held(X), model(X) / 2)
    assert held.params is model.params
    close(model.replace(hooks=[hk.Hooks(interceptor=tripled)])(X), 3 * model(X))
    both = held.replace(hooks=[*held.hooks, hk.Hooks(getter=halved)])
    close(both(X), model(X) / 4)
    close(both.replace(hooks=[])(X), model(X))


def test_a_creator_acts_in_init():
    held = hk.bind(hk.Linear, 2).replace(hooks=[hk.Hooks(creator=ones)]).init(KEY, X)
    assert (held.params["linear"]["w"] == 1).all() and held.hooks
    with_use = hk.bind(hk.Linear, 2).replace(hooks=held.hooks)
    close(with_use.init_with(KEY, lambda net, x: net(x), X).params, held.params)


@pytest.mark.parametrize("kind", ["blueprint", "function", "pair"])
def test_every_kind_of_model_holds_hooks(kind):
    nets = {
        "blueprint": lambda: hk.bind(hk.Linear, 2),
        "function": lambda: hk.bind(lambda x: hk.Linear(2)(x)),
        "pair": lambda: hk.bind(hk.transform_with_state(lambda x: hk.Linear(2)(x))),
    }
    net = nets[kind]()
    hooks = [hk.Hooks(creator=ones, getter=halved)]
    held = net.replace(hooks=hooks).init(KEY, X)
    assert (held.params["linear"]["w"] == 1).all()
    close(held(X), jnp.sum(X, 1, keepdims=True) / 2 * jnp.ones([1, 2]) + 0.5)
    assert net.hooks == ()


def test_hooks_go_through_jit_grad_vmap_and_tree_map(model):
    held = model.replace(hooks=[hk.Hooks(getter=halved)])
    close(jax.jit(lambda m, x: m(x))(held, X), model(X) / 2)
    out = jax.jit(lambda m: m)(held)
    assert out.hooks == held.hooks
    grads = jax.jit(jax.grad(lambda m: jnp.sum(m(X))))(held)
    plain = jax.grad(lambda m: jnp.sum(m(X)))(model)
    close(grads.params, jax.tree.map(lambda g: g / 2, plain.params))
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), held)
    outs = jax.vmap(lambda m: m(X))(stacked)
    close(outs, jnp.stack([model(X) / 2, model(X)]))


def test_models_with_equal_hooks_have_one_structure(model):
    held = model.replace(hooks=[hk.Hooks(getter=halved)])
    again = model.replace(hooks=[hk.Hooks(getter=halved)])
    traces = []

    @jax.jit
    def call(m):
        traces.append(m)
        return m(X)

    call(held), call(again)
    assert len(traces) == 1
    call(model)
    assert len(traces) == 2


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, "pickle"], ids=["copy", "deep copy", "pickle"]
)
def test_hooks_go_through_copies_and_pickles(model, copied):
    if copied == "pickle":
        copied = lambda m: pickle.loads(pickle.dumps(m))  # noqa: E731
    held = model.replace(hooks=[hk.Hooks(getter=halved)])
    again = copied(held)
    assert again.hooks == held.hooks
    assert jax.tree.structure(again) == jax.tree.structure(held)
    close(again(X), held(X))


def test_hooks_go_with_the_state():
    net = hk.bind(hk.BatchNorm, True, True, 0.9).init(KEY, X, True)
    held = net.replace(hooks=[hk.Hooks(interceptor=tripled)])
    out, after = held.updating(X, is_training=True)
    assert after.hooks == held.hooks
    close(out, 3 * net.updating(X, is_training=True)[0])


def test_hooks_show_in_the_repr(model):
    held = model.replace(hooks=[hk.Hooks(creator=ones, getter=halved)])
    head = "Bound(Blueprint(Linear, 2), hooks=[Hooks(creator=ones, getter=halved)])"
    assert repr(held).splitlines()[0] == head


def test_a_low_rank_adaptation_is_hooks_that_a_model_holds():
    net = hk.bind(hk.nets.MLP, [4, 2])
    model = net.init(KEY, X)
    held = net.replace(hooks=[LowRank(pattern="**/linear_1/w")])
    adapted = held.init(KEY, X)
    added, rest = hk.surgery.split(adapted.params, "**/w_*")
    assert hk.surgery.paths(added) == [f"mlp/~/linear_1/w_{x}" for x in "ab"]
    adapted = adapted.replace(params=hk.surgery.merge(model.params, added))
    close(adapted(X), model(X))  # b is zero at first
    again = pickle.loads(pickle.dumps(adapted))
    assert jax.tree.structure(again) == jax.tree.structure(adapted)

    def loss(added):
        params = hk.surgery.merge(model.params, added)
        return jnp.sum(adapted.replace(params=params)(X) ** 2)

    grads = jax.jit(jax.grad(loss))(added)
    assert jnp.any(grads["mlp/~/linear_1"]["w_b"] != 0)


def test_the_same_hooks_stand_in_a_block():
    def f(x):
        with hk.Hooks(getter=halved) as hooks, hooks:  # Entered twice.
            inside = hk.Linear(2)
            return inside(x), hk.current_name()

    net = hk.transform(f)
    params = net.init(KEY, X)
    layer = params["linear"]
    close(net.apply(params, None, X)[0], X @ layer["w"] / 4 + layer["b"] / 4)


def test_a_hook_that_cannot_be_held_is_an_error(model):
    with pytest.raises(TypeError, match="context managers.*hk.Hooks"):
        model.replace(hooks=[halved])
    with pytest.raises(TypeError, match="getter=3"):
        hk.Hooks(getter=3)
    with pytest.raises(ValueError, match=r"no parameters yet.*\.init\(key, x\)"):
        hk.bind(hk.Linear, 2)(X)


class Counted(hk.Module):
    built = 0

    def __init__(self, name=None):
        super().__init__(name)
        type(self).built += 1
        self.size = 3
        self.head = hk.Linear(self.size)
        self.scale = jnp.ones([2])

    def __call__(self, x):
        return self.head(x)


def test_reading_attributes_builds_the_module_once():
    model = hk.bind(Counted).init(KEY, X)
    Counted.built = 0
    assert [model.size for _ in range(3)] == [3] * 3
    close(model.head(X), model(X))
    assert Counted.built == 3  # Once for attributes, once for each call.
    # A module built inside a JAX transformation isn't used outside of it.
    scale = jax.jit(lambda m: model.scale + m.scale)(model)
    close(scale, model.scale + jnp.ones([2]))


def test_an_attribute_that_is_read_inside_jit_leaks_no_tracer():
    model = hk.bind(Counted).init(KEY, X)
    with checking_leaks():
        inside = jax.jit(lambda x: model.scale + x)(jnp.ones([2]))
        local = jax.jit(lambda m: jax.lax.map(lambda x: m.scale + x, X[:, :2]))(model)
    close(inside, 2 * jnp.ones([2]))
    close(local, 1 + X[:, :2])


def test_threads_build_their_own_module():
    model = hk.bind(Counted).init(KEY, X)
    assert model.size == 3
    Counted.built = 0
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: model.size).result() == 3
    assert Counted.built == 1


def test_replace_gives_a_model_without_parameters_some():
    norm = hk.bind(hk.Linear, 2)
    model = norm.replace(params=norm.init(KEY, X).params)
    assert model.state == {}
    close(model(X), norm.init(KEY, X)(X))
