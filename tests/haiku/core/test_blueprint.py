"""Blueprints: modules described outside, built where they are first used."""

import collections
import copy
import functools
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.PRNGKey(0)
X = jnp.linspace(-1.0, 1.0, 8).reshape(2, 4)


def init(f, *args):
    return hk.transform_with_state(f).init(KEY, *args)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        np.testing.assert_array_equal(x, y)


def both(f, g, *args):
    """Checks that two functions are one program at `init` and `apply`."""
    f, g = hk.transform_with_state(f), hk.transform_with_state(g)
    params, state = f.init(KEY, *args)
    same((params, state), g.init(KEY, *args))
    assert params
    outs = [h.apply(params, state, KEY, *args) for h in (f, g)]
    same(*outs)
    return params


def traced(f, *args):
    """What `init` and `apply` compute, as text, and what `init` returns."""
    f = hk.transform_with_state(f)
    params, state = jax.eval_shape(f.init, KEY, *args)
    init_text = str(jax.make_jaxpr(f.init)(KEY, *args))
    apply_text = str(jax.make_jaxpr(f.apply)(params, state, KEY, *args))
    return params, state, re.sub(r"0x[0-9a-f]+|name=\S+", "", init_text + apply_text)


def both_traced(f, g, *args):
    """`both` without computing anything."""
    wanted = traced(g, *args)
    assert traced(f, *args) == wanted
    assert wanted[0]
    return wanted[0]


class Pair(hk.Module):
    """Two layers, one built in the constructor and one in each call."""

    def __init__(self, size, second=None, name=None):
        super().__init__(name=name)
        self.size = size
        self.first = hk.Linear(size)
        self.second = second

    def __call__(self, x):
        x = self.first(x)
        return x + (hk.Linear(self.size)(x) if self.second is None else self.second(x))

    def encode(self, x):
        return hk.Bias()(self.first(x))

    @staticmethod
    def twice(x):
        return 2 * x


class Eager(hk.Module):
    """Takes its parameter when it is built, and keeps it."""

    def __init__(self, name=None):
        super().__init__(name=name)
        self.scale = hk.get_parameter("scale", [4], init=hk.initializers.RandomNormal())

    def __call__(self, x):
        return x * self.scale


# ---- Built as the class would be --------------------------------------------------


SAME = {
    "linear": (
        hk.Blueprint(hk.Linear, 3, w_init=hk.initializers.Constant(0.5)),
        lambda: hk.Linear(3, w_init=hk.initializers.Constant(0.5)),
    ),
    "name": (
        hk.Blueprint(hk.Linear, 3, name="head"),
        lambda: hk.Linear(3, name="head"),
    ),
    "nested": (
        hk.Blueprint(
            hk.Sequential,
            [hk.Blueprint(hk.Linear, 5), jax.nn.relu, hk.Blueprint(hk.Linear, 4)],
        ),
        lambda: hk.Sequential([hk.Linear(5), jax.nn.relu, hk.Linear(4)]),
    ),
    "by keyword": (
        hk.Blueprint(Pair, size=4, second=hk.Blueprint(hk.Linear, 4)),
        lambda: Pair(size=4, second=hk.Linear(4)),
    ),
    "function": (
        hk.Blueprint(lambda size: hk.Sequential([hk.Linear(size), Pair(3)]), 4),
        lambda: hk.Sequential([hk.Linear(4), Pair(3)]),
    ),
    "norm": (
        hk.Blueprint(hk.LayerNorm, -1, True, True),
        lambda: hk.LayerNorm(-1, True, True),
    ),
    "mlp": (hk.Blueprint(hk.nets.MLP, [5, 3]), lambda: hk.nets.MLP([5, 3])),
}


@pytest.mark.parametrize("name", SAME)
def test_is_what_the_class_would_build(name):
    blueprint, plain = SAME[name]
    both(blueprint, lambda x: plain()(x), X)
    both(lambda x: blueprint(x), lambda x: plain()(x), X)

    def twice(net):
        return lambda x: net(net(x)[..., :1] + x)

    both(lambda x: twice(blueprint)(x), lambda x: twice(plain())(x), X)


def test_inside_dicts_tuples_and_named_tuples():
    Layers = collections.namedtuple("Layers", "a b")

    class Sum(hk.Module):
        def __init__(self, by_name, both, others, name=None):
            super().__init__(name=name)
            self.layers = [*by_name.values(), *both, others.a, others.b[0]]
            assert isinstance(both, tuple) and isinstance(others, Layers)

        def __call__(self, x):
            return sum(layer(x) for layer in self.layers)

    def arguments(make):
        return (
            {"a": make(3)},
            (make(3), make(3)),
            Layers(make(3), [make(3)]),
        )

    blueprint = hk.Blueprint(Sum, *arguments(lambda n: hk.Blueprint(hk.Linear, n)))
    params = both(blueprint, lambda x: Sum(*arguments(hk.Linear))(x), X)
    assert len(params) == 5


def test_cores():
    core = hk.Blueprint(hk.DeepRNN, [hk.Blueprint(hk.LSTM, 4), hk.Blueprint(hk.GRU, 3)])

    def unrolled(core):
        return hk.dynamic_unroll(core, X[:, None], core.initial_state(1))

    both_traced(
        lambda: unrolled(core.build()),
        lambda: unrolled(hk.DeepRNN([hk.LSTM(4), hk.GRU(3)])),
    )


def test_is_named_where_it_is_first_used():
    class Net(hk.Module):
        def __init__(self, encoder, name=None):
            super().__init__(name=name)
            self.encoder = encoder

        def __call__(self, x):
            return hk.Linear(2)(self.encoder(x))

        def head(self, x):
            return self.encoder(x)

    encoder = hk.Blueprint(hk.Linear, 3)
    assert list(init(lambda x: Net(encoder)(x), X)[0]) == ["net/linear_1", "net/linear"]
    assert list(init(lambda x: Net(encoder).head(x), X)[0]) == ["net/~head/linear"]
    assert list(init(lambda x: Net(encoder.build())(x), X)[0]) == [
        "linear",
        "net/linear",
    ]


def test_methods_and_attributes():
    pair = hk.Blueprint(Pair, 4)
    assert list(init(pair.encode, X)[0]) == ["pair/~/linear", "pair/~encode/bias"]
    both(lambda x: pair.encode(pair(x)) * pair.size, lambda x: _encoded(Pair(4), x), X)
    assert pair.twice(3) == 6
    assert "encode" in repr(pair.encode)
    assert pair.encode == copy.copy(pair).encode != pair.__call__
    assert hash(pair.encode) == hash(copy.copy(pair).encode)


def _encoded(module, x):
    return module.encode(module(x)) * module.size


def test_signatures():
    names = list(hk.transform(hk.Blueprint(hk.Linear, 3)).init.__signature__.parameters)
    assert names == ["rng", "inputs", "precision"]
    assert hk.multi_transform(
        lambda: (hk.Blueprint(Pair, 3), {"call": Pair(3), "bp": hk.Blueprint(Pair, 3)})
    ).apply.keys() == {"call", "bp"}


# ---- One object is one module -----------------------------------------------------


def test_one_object_is_one_module_and_a_copy_another():
    layer = hk.Blueprint(hk.Linear, 4)
    assert list(init(lambda x: layer(layer(x)), X)[0]) == ["linear"]
    for copied in (
        copy.copy(layer),
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        layer.replace(),
        hk.Blueprint(hk.Linear, 4),
    ):
        assert copied == layer and hash(copied) == hash(layer)
        assert list(init(lambda x, c=copied: layer(c(x)), X)[0]) == [
            "linear",
            "linear_1",
        ]


def test_shared_inside():
    layer = hk.Blueprint(hk.Linear, 4)
    tied = hk.Blueprint(hk.Sequential, [layer, jax.nn.relu, layer])
    untied = hk.Blueprint(hk.Sequential, [layer, jax.nn.relu, copy.copy(layer)])
    assert tied != untied
    assert list(init(tied, X)[0]) == ["linear"]
    assert list(init(untied, X)[0]) == ["linear", "linear_1"]
    for copied in (
        copy.copy(tied),
        copy.deepcopy(tied),
        pickle.loads(pickle.dumps(tied)),
    ):
        assert copied == tied and hash(copied) == hash(tied)
        assert list(init(copied, X)[0]) == ["linear"]
        # A copy has its own blueprints inside.
        assert len(init(lambda x, c=copied: c(tied(x)), X)[0]) == 2
    # Copied together, what was shared stays shared.
    pair = copy.deepcopy([layer, tied])
    assert list(init(lambda x: pair[0](pair[1](x)), X)[0]) == ["linear"]


def test_replace():
    head = hk.Blueprint(hk.Linear, 4)
    net = hk.Blueprint(Pair, 4, second=head)
    other = net.replace(size=4, name="other")
    assert other.arguments == {"size": 4, "second": head, "name": "other"}
    assert len(init(lambda x: net(other(x)), X)[0]) == 4
    sharing = net.replace(name="other", second=head)
    assert len(init(lambda x: net(sharing(x)), X)[0]) == 3
    assert net.arguments["name"] is None
    with pytest.raises(TypeError, match="sizes.*Did you mean 'size'"):
        net.replace(sizes=3)


def test_every_run_builds_anew():
    layer = hk.Blueprint(hk.Linear, 4)
    f = hk.transform(lambda x: layer(x))
    g = hk.transform(lambda x: hk.Linear(2)(layer(x)))
    f_params, g_params = f.init(KEY, X), g.init(KEY, X)
    assert list(f_params) == ["linear"] and list(g_params) == ["linear_1", "linear"]
    assert g.apply(g_params, None, X).shape == (2, 2)
    same(f.apply(f_params, None, X), f.apply(f_params, None, X))


def test_an_inner_function_builds_its_own():
    layer = hk.Blueprint(hk.Linear, 4)

    def f(x):
        inner = hk.transform(lambda x: layer(x))
        params = hk.lift(inner.init, name="inner")(hk.next_rng_key(), x)
        return layer(inner.apply(params, None, x))

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert list(params) == ["inner/linear", "linear"]
    assert net.apply(params, KEY, X).shape == X.shape


def test_an_error_while_building_leaves_nothing_behind():
    class Fails(hk.Module):
        def __init__(self, fail, name=None):
            super().__init__(name=name)
            hk.Linear(3)
            if fail[0]:
                raise RuntimeError("no")

        def __call__(self, x):
            return hk.Linear(3)(x)

    fail = np.array([True])
    blueprint = hk.Blueprint(Fails, fail)

    def f(x):
        with pytest.raises(RuntimeError):
            blueprint(x)
        fail[0] = False
        return blueprint(hk.Linear(2)(x))

    assert list(init(f, X)[0]) == ["linear", "fails_1/linear"]


# ---- No other module takes its name -----------------------------------------------


def test_its_name_stays_its_own_in_a_later_call():
    class Net(hk.Module):
        def __init__(self, layer, name=None):
            super().__init__(name=name)
            self.layer = layer

        def __call__(self, x):
            return hk.Linear(4)(self.layer(hk.Linear(4)(x)))

    layer = hk.Blueprint(hk.Linear, 4)

    def f(x):
        net = Net(layer)
        return net(net(x))

    net = hk.transform(f)
    params = net.init(KEY, X)
    assert set(params) == {"net/linear", "net/linear_1", "net/linear_2"}
    x = X
    for _ in range(2):
        # Built from the left, called from the right.
        for name in ("net/linear_1", "net/linear_2", "net/linear"):
            x = x @ params[name]["w"] + params[name]["b"]
    np.testing.assert_allclose(net.apply(params, None, X), x, rtol=1e-5, atol=1e-6)


def test_its_name_stays_its_own_after_a_transformation():
    first, second = hk.Blueprint(hk.Linear, 4), hk.Blueprint(hk.Linear, 4)

    def f(x, names=(None, None)):
        x = hk.vmap(lambda x: first(second(x)), split_rng=False)(x)
        x = hk.Linear(4, name=names[0])(x)  # names fork: `linear` would be free again
        return hk.Linear(4, name=names[1])(first(second(x)))

    assert list(init(f, X)[0]) == ["linear", "linear_1", "linear_2", "linear_3"]
    assert list(init(lambda x: f(x, ("a", "a")), X)[0])[2:] == ["a", "a_1"]
    with pytest.raises(ValueError, match="'linear_1' is not unique"):
        hk.transform(lambda x: f(x, (None, "linear_1"))).init(KEY, X)


# ---- Inside transformations -------------------------------------------------------


def _scan(net):
    return lambda x: hk.scan(lambda c, _: (net(c), c.sum()), x, None, length=3)


def _branches(net):
    return lambda x: hk.cond(x.sum() > 1, net, lambda x: -net(x), x)


LIFTED = {
    "scan": _scan,
    "cond": _branches,
    "fori_loop": lambda net: lambda x: hk.fori_loop(0, 3, lambda i, x: net(x), x),
    "remat": lambda net: lambda x: hk.remat(net)(x),
    "jit": lambda net: lambda x: hk.jit(net)(x),
    "vmap": lambda net: lambda x: hk.vmap(net, split_rng=False)(x),
    "grad": lambda net: lambda x: hk.grad(lambda x: net(x).sum())(x),
    "map": lambda net: lambda x: hk.map(net, x),
    "switch": lambda net: lambda x: hk.switch(1, [net, lambda x: 2 * net(x)], x),
}
BUILT = {
    "linear": (hk.Blueprint(hk.Linear, 4), lambda: hk.Linear(4)),
    "pair": (hk.Blueprint(Pair, 4), lambda: Pair(4)),
    "eager": (hk.Blueprint(Eager), Eager),
}


@pytest.mark.parametrize("module", BUILT)
@pytest.mark.parametrize("lifted", LIFTED)
def test_inside(lifted, module):
    blueprint, plain = BUILT[module]
    params = both_traced(
        lambda x: LIFTED[lifted](blueprint)(x),
        # A module that keeps a parameter has to be built inside.
        lambda x: LIFTED[lifted](lambda x: plain()(x))(x),
        X,
    )

    # Built inside and used again outside, it is the same module still.
    def again(x):
        LIFTED[lifted](blueprint)(x)
        LIFTED[lifted](blueprint)(x)
        return blueprint(x) + hk.Linear(4)(x)

    net = hk.transform(again)
    made = jax.eval_shape(net.init, KEY, X)
    assert len(made) == len(params) + 1
    jax.eval_shape(net.apply, made, KEY, X)


@pytest.mark.parametrize("module", BUILT)
def test_layer_stack(module):
    blueprint, plain = BUILT[module]
    both_traced(
        lambda x: hk.layer_stack(3)(blueprint)(x),
        lambda x: hk.layer_stack(3)(lambda x: plain()(x))(x),
        X,
    )
    two = hk.transform(
        lambda x: hk.layer_stack(2)(blueprint)(hk.layer_stack(3)(blueprint)(x))
    )
    params = jax.eval_shape(two.init, KEY, X)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(params)} == {2, 3}


@pytest.mark.parametrize("module", BUILT)
def test_ensemble(module):
    blueprint, plain = BUILT[module]
    params = both_traced(
        lambda x: hk.ensemble(blueprint, 3)(x),
        lambda x: hk.ensemble(lambda x: plain()(x), 3)(x),
        X,
    )
    assert {leaf.shape[0] for leaf in jax.tree.leaves(params)} == {3}


def test_inside_plain_transformations_at_apply():
    for blueprint, plain in BUILT.values():
        net = hk.transform(
            lambda x, b=blueprint: (
                jax.vmap(b)(x) + jax.jit(b)(x) + b(x) if not hk.running_init() else b(x)
            )
        )
        params = net.init(KEY, X)
        wanted = 3 * hk.transform(lambda x, p=plain: p()(x)).apply(params, None, X)
        np.testing.assert_allclose(net.apply(params, None, X), wanted, rtol=1e-5)


# ---- As a value -------------------------------------------------------------------


def test_equality():
    table = np.ones([3, 2])
    embed = hk.Blueprint(hk.Embed, embedding_matrix=table)
    assert embed == hk.Blueprint(hk.Embed, embedding_matrix=table.copy())
    assert embed != hk.Blueprint(hk.Embed, embedding_matrix=2 * table)
    assert hash(embed) == hash(hk.Blueprint(hk.Embed, embedding_matrix=table.copy()))
    key = hk.Blueprint(lambda key: hk.Linear(3), jax.random.key(0))
    assert (
        key == key.replace(key=jax.random.key(0)) != key.replace(key=jax.random.key(1))
    )
    linear = hk.Blueprint(hk.Linear, 1)
    assert linear == hk.Blueprint(hk.Linear, output_size=1, with_bias=True)
    for other in (
        hk.Blueprint(hk.Linear, True),
        hk.Blueprint(hk.Linear, 1, with_bias=False),
        hk.Blueprint(hk.Bias),
        1,
    ):
        assert linear != other
    constant = hk.initializers.Constant
    assert linear.replace(w_init=constant(1.0)) == linear.replace(w_init=constant(1.0))
    assert linear.replace(w_init=constant(1.0)) != linear.replace(w_init=constant(2.0))
    assert len({linear, copy.copy(linear), linear.replace(name="a")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(linear.replace(w_init={1}))


def test_static_argument():
    traced = []

    @functools.partial(jax.jit, static_argnums=0)
    def run(net, params, x):
        traced.append(net)
        return hk.transform(net).apply(params, None, x)

    net = hk.Blueprint(hk.nets.MLP, [5, 3], activation=jax.nn.tanh)
    params = hk.transform(net).init(KEY, X)
    first = run(net, params, X)
    same(first, run(copy.deepcopy(net), params, X))
    assert len(traced) == 1
    run(net.replace(activation=jax.nn.relu), params, X)
    assert len(traced) == 2


def test_initializers_are_values():
    makers = {
        hk.initializers.Constant(2.0): "Constant(constant=2.0)",
        hk.initializers.RandomNormal(0.1): "RandomNormal(stddev=0.1, mean=0.0)",
        hk.initializers.Constant([1.0, 2.0]): "Constant(constant=[1.0, 2.0])",
    }
    for maker, text in makers.items():
        assert repr(maker) == text
        assert maker == copy.deepcopy(maker) and hash(maker) == hash(copy.copy(maker))
    assert len(makers) == 3
    array = hk.initializers.Constant(jnp.arange(3.0))
    assert array == hk.initializers.Constant(jnp.arange(3.0)) != next(iter(makers))


def test_repr():
    layer = hk.Blueprint(hk.Linear, 4, w_init=jnp.zeros)
    assert repr(layer) == "Blueprint(Linear, 4, w_init=zeros)"
    net = hk.Blueprint(
        hk.Sequential, [layer, jax.nn.relu, layer, hk.Blueprint(Pair, 3)]
    )
    assert repr(net) == (
        "Blueprint(\n"
        "    Sequential,\n"
        "    [#1 = Blueprint(Linear, 4, w_init=zeros), relu, #1, Blueprint(Pair, 3)],\n"
        ")"
    )
    assert repr(hk.Blueprint(hk.Sequential, [layer, net, layer])) == (
        "Blueprint(\n"
        "    Sequential,\n"
        "    [\n"
        "        #1 = Blueprint(Linear, 4, w_init=zeros),\n"
        "        Blueprint(Sequential, [#1, relu, #1, Blueprint(Pair, 3)]),\n"
        "        #1,\n"
        "    ],\n"
        ")"
    )
    embed = hk.Blueprint(hk.Embed, embedding_matrix=np.ones([3, 2], np.float32))
    assert repr(embed) == "Blueprint(Embed, embedding_matrix=f32[3,2])"
    assert repr(hk.Blueprint(hk.Bias, output_size=(3,))) == (
        "Blueprint(Bias, output_size=(3,))"
    )


def test_does_not_change():
    sizes = [3, 4]
    net = hk.Blueprint(hk.nets.MLP, sizes)
    sizes.append(5)
    assert net.args == ([3, 4],)
    with pytest.raises(AttributeError, match=r"blueprint\.replace\(args="):
        net.args = ()
    with pytest.raises(AttributeError):
        del net.args


def test_is_no_pytree():
    net = hk.Blueprint(hk.Linear, 3)
    assert jax.tree.leaves({"a": net}) == [net]


# ---- Errors that teach ------------------------------------------------------------


def test_arguments_are_checked_at_once():
    with pytest.raises(TypeError, match="'w_int'. Did you mean 'w_init'"):
        hk.Blueprint(hk.Linear, 3, w_int=jnp.zeros)
    with pytest.raises(TypeError, match="missing a required argument: 'output_size'"):
        hk.Blueprint(hk.Linear)
    for given in (3, "linear", hk.Blueprint(hk.Linear, 3), None):
        with pytest.raises(TypeError, match=r"hk\.Blueprint\(hk\.Linear, 10\)"):
            hk.Blueprint(given)


def test_outside_of_a_run():
    layer = hk.Blueprint(hk.Linear, 3)
    for use in (lambda: layer(X), layer.build, lambda: layer.params_dict()):
        with pytest.raises(ValueError, match=r"hk\.transform.*hk\.bind"):
            use()
    with pytest.raises(AttributeError, match="output_size.*arguments.*hk.bind"):
        _ = layer.output_size
    with pytest.raises(ValueError, match=r"hk\.Blueprint\(Linear, \.\.\.\)"):
        hk.Linear(3)
    with pytest.raises(AttributeError, match="'nothing'"):
        init(lambda x: layer.nothing, X)
