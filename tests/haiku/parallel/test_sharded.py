"""Training under rules: the numbers of one device, and each array where it belongs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from sharded_training import KEY, NETS, alone, bytes_by_device, mesh_of, train

import haiku as hk

R = hk.parallel
RULES = {  # rules, and the mesh
    "data": (R.data(), {"data": 8}),
    "fully sharded": (R.fully_sharded(), {"data": 8}),
    "tensor": (R.tensor(), {"model": 8}),
    "sequence": (R.sequence(), {"model": 8}),
    "expert": (R.expert(), {"expert": 8}),
    "data, tensor": (R.data() | R.tensor(), {"data": 2, "model": 4}),
    "data, sequence": (R.data() | R.sequence(), {"data": 2, "model": 4}),
    "data, expert": (R.data() | R.expert(), {"data": 2, "expert": 4}),
    "fully sharded, tensor": (
        R.fully_sharded() | R.tensor(),
        {"data": 4, "model": 2},
    ),
    "fully sharded, sequence": (
        R.fully_sharded() | R.sequence(),
        {"data": 4, "model": 2},
    ),
    "fully sharded, expert": (
        R.fully_sharded() | R.expert(),
        {"data": 4, "expert": 2},
    ),
    "tensor, sequence": (R.tensor() | R.sequence(), {"model": 8}),
    "tensor, expert": (R.tensor() | R.expert(), {"model": 4, "expert": 2}),
    "sequence, expert": (R.sequence() | R.expert(), {"model": 4, "expert": 2}),
}
SHORT = {
    ("data", "MLP"),
    ("fully sharded", "mixture"),
    ("tensor, sequence", "decoder"),
}


def _mark(rules, net):
    """Where the rules that are added change nothing, the cell is one of the others."""
    if (rules, net) in SHORT:
        return []
    same = net in ("MLP", "ResNet") and any(x in rules for x in ("seq", "expert"))
    same |= net == "decoder" and "expert" in rules
    return [pytest.mark.slow if same else pytest.mark.tables]


TABLE = [
    pytest.param(rules, net, marks=_mark(rules, net)) for rules in RULES for net in NETS
]

# The axis of each array that names split, counted from the last: by the logical axis.
SPLIT_BY_NAME = {
    "heads": {"query/w": -1, "key/w": -1, "value/w": -1, "output/w": -2},
    "mlp": {
        **{"mlp/gate/w": -1, "mlp/up/w": -1, "mlp/down/w": -2},
        **{"experts/gate": -1, "experts/up": -1, "experts/down": -2},
        **{"linear_0/w": -1, "linear_0/b": -1, "linear_1/w": -2},
        **{"conv_1/w": -1, "conv_2/w": -2},
    },
    "vocab": {"embed/embeddings": -2, "head/w": -1},
    "expert": {"experts/gate": -3, "experts/up": -3, "experts/down": -3},
}


def expected_bytes(params, rules, sizes):
    """Bytes of one device, from the table above and the rule for large arrays."""
    total = 0
    for module, named in params.items():
        for name, x in named.items():
            path, split = f"{module}/{name}", {}
            # The leftmost axis takes a mesh axis first.
            for logical in ("expert", "vocab", "heads", "mlp"):
                axis = rules.axes.get(logical)
                for end, place in SPLIT_BY_NAME[logical].items():
                    fits = path.endswith("/" + end) and axis in sizes
                    if fits and axis not in split.values():
                        split[x.ndim + place] = axis
            if rules.largest in sizes and x.size >= 1024:
                front = 1 if "/blocks/" in path else 0
                free = [i for i in range(front, x.ndim) if i not in split]
                free = [i for i in free if x.shape[i] % sizes[rules.largest] == 0]
                if free:
                    split[max(free, key=lambda i: x.shape[i])] = rules.largest
            total += x.nbytes // int(np.prod([1, *(sizes[a] for a in split.values())]))
    return total


@pytest.mark.parametrize(("name", "net"), TABLE)
def test_training_is_that_of_one_device(name, net):
    rules, sizes = RULES[name]
    one = alone(net)
    with jax.set_mesh(mesh_of(**sizes)):
        many = train(NETS[net](), rules)
    # Values are equal to the bit with XLA's default flags: see below.
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=0, atol=2e-6),
        many.made,
        one.made,
    )
    np.testing.assert_allclose(many.losses, one.losses, rtol=1e-5, atol=1e-5)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=1e-5),
        many.gradients,
        one.gradients,
    )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
        many.state,
        one.state,
    )
    expected = [expected_bytes(one.made[0], rules, sizes)] * 8
    assert many.bytes_made == expected
    assert many.bytes_trained == expected
    assert many.losses[-1] < many.losses[0]


@pytest.mark.tables
@pytest.mark.plain_xla
def test_values_of_init_are_those_without_rules_to_the_bit():
    net = NETS["MLP"]()
    plain = hk.transform(net.forward)
    wanted = plain.init(KEY, net.inputs)
    with jax.set_mesh(mesh_of(data=8)):
        made = R.sharded(plain, R.fully_sharded()).init(KEY, net.inputs)
    jax.tree.map(np.testing.assert_array_equal, made, wanted)


@pytest.mark.parametrize("layers", [2, 6])
def test_init_never_holds_the_whole(layers, monkeypatch):
    def forward(x):
        return hk.nets.MLP([512] * layers)(x)

    programs, jit = [], jax.jit

    def noted(f, **options):
        compiled = jit(f, **options)

        def call(*args):
            programs.append(compiled.lower(*args).compile().memory_analysis())
            return compiled(*args)

        return call

    x = np.ones([8, 512], np.float32)
    net = R.sharded(hk.transform(forward), R.fully_sharded())
    with jax.set_mesh(mesh_of(data=8)):
        monkeypatch.setattr(jax, "jit", noted)
        params = net.init(KEY, x)
        monkeypatch.undo()
    whole = hk.data_structures.tree_bytes(params)
    (program,) = programs
    assert program.output_size_in_bytes <= whole / 7  # biases are on every device
    assert program.temp_size_in_bytes <= whole / 5


def test_under_tensor_and_sequence_only_rows_of_seen_tokens_have_gradients():
    # XLA's partitioner has summed parts of a table after it cut them (openxla issue
    # 42481): then rows of other tokens get gradients.
    def forward(tokens):
        h = hk.Embed(64, 32)(tokens)
        return R.constrain(h, "batch", "length", "embed")

    tokens = np.arange(16, dtype=np.int32).reshape(1, 16) * 3 % 61
    weights = np.random.default_rng(0).normal(size=(1, 16, 32)).astype(np.float32)
    wanted = np.zeros([64, 32], np.float32)
    np.add.at(wanted, tokens[0], weights[0])
    rules = R.tensor() | R.sequence()
    net = R.sharded(hk.transform(forward), rules)
    with jax.set_mesh(mesh_of(model=8)):
        params = net.init(KEY, tokens)

        def loss(params, tokens, weights):
            return jnp.sum(weights * net.apply(params, None, tokens))

        grads = jax.jit(jax.grad(loss))(params, tokens, weights)
    np.testing.assert_allclose(grads["embed"]["embeddings"], wanted, atol=1e-6)


def test_without_a_mesh_nothing_changes():
    net = NETS["decoder"]()
    plain = hk.transform(net.forward)
    same = R.sharded(plain, R.fully_sharded() | R.tensor())
    wanted, params = plain.init(KEY, net.inputs), same.init(KEY, net.inputs)
    jax.tree.map(np.testing.assert_array_equal, params, wanted)
    np.testing.assert_array_equal(
        same.apply(params, None, net.inputs), plain.apply(wanted, None, net.inputs)
    )
    assert jax.tree.leaves(R.shardings(params)) == []
    jaxpr = jax.make_jaxpr(same.apply)(params, None, net.inputs)
    assert str(jaxpr) == str(jax.make_jaxpr(plain.apply)(params, None, net.inputs))


def test_a_mesh_without_the_rules_axes_splits_nothing():
    net = NETS["MLP"]()
    with jax.set_mesh(mesh_of(other=8)):
        params = R.sharded(hk.transform(net.forward), R.fully_sharded()).init(
            KEY, net.inputs
        )
    specs = {x.sharding.spec for x in jax.tree.leaves(params)}
    assert specs == {P()}


def test_init_takes_flags_and_seeds_and_runs_inside_jit():
    def forward(x, is_training):
        x = hk.Linear(64)(x)
        return hk.BatchNorm(True, True, 0.9)(x, is_training)

    net = R.sharded(hk.transform_with_state(forward), R.fully_sharded())
    x = np.ones([8, 32], np.float32)
    with jax.set_mesh(mesh_of(data=8)):
        params, state = net.init(42, x, is_training=True)
        inside, _ = jax.jit(lambda x: net.init(42, x, True))(x)
    assert params["linear"]["w"].sharding.spec == P(None, "data")
    assert inside["linear"]["w"].sharding.spec == P(None, "data")
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(state))


def test_patterns_split_state_and_go_before_names():
    def forward(x):
        count = hk.get_state("seen", [8, 4], init=jnp.zeros)
        hk.set_state("seen", count + 1)
        return hk.Embed(64, 16)(x)

    rules = R.tensor() | R.Rules(
        arrays={"**/seen": ("batch",), "embed/*": (None, "model")}
    )
    net = R.sharded(hk.transform_with_state(forward), R.data() | rules)
    with jax.set_mesh(mesh_of(data=2, model=4)):
        params, state = net.init(KEY, np.zeros([8], np.int32))
    assert params["embed"]["embeddings"].sharding.spec == P(None, "model")
    # One name for two axes: it is of the last, the first is of layers.
    assert state["~"]["seen"].sharding.spec == P(None, "data")


def test_multi_transform_keeps_its_kind():
    def f():
        layer = hk.Linear(16)
        return layer, {"twice": lambda x: layer(layer(x))}

    net = R.sharded(hk.multi_transform(f), R.data())
    assert isinstance(net, hk.MultiTransformed)
    x = np.ones([8, 16], np.float32)
    with jax.set_mesh(mesh_of(data=8)):
        params = net.init(KEY, x)
        out = net.apply["twice"](params, None, R.global_batch(x, R.data()))
    assert out.shape == (8, 16)
    assert bytes_by_device(params, 8) == [4 * (16 * 16 + 16)] * 8


@pytest.mark.parametrize(
    ("rules", "error"),
    [
        (R.Rules({"mlp": "model"}), r"mlp/~/linear_0/b .* has 30 along axis 0, 'mlp'"),
        (R.Rules(arrays={"nowhere/*": ("mlp",)}), "finds no path"),
        (R.Rules(arrays={"**/b": ("mlp", None)}), "gives 2 names"),
    ],
)
def test_what_cannot_be_split_is_an_error_with_a_way_out(rules, error):
    net = R.sharded(hk.transform(lambda x: hk.nets.MLP([30, 10])(x)), rules)
    with jax.set_mesh(mesh_of(model=8)), pytest.raises(ValueError, match=error):
        net.init(KEY, np.ones([8, 16], np.float32))


def test_the_way_out_works():
    rules = R.Rules({"mlp": "model"}) | R.Rules({"mlp": None})
    net = R.sharded(hk.transform(lambda x: hk.nets.MLP([30, 10])(x)), rules)
    with jax.set_mesh(mesh_of(model=8)):
        params = net.init(KEY, np.ones([8, 16], np.float32))
    assert params["mlp/~/linear_0"]["w"].sharding.spec == P()


def test_other_things_than_nets_and_rules_are_refused():
    with pytest.raises(TypeError, match=r"hk\.parallel\.sharded\(hk\.transform"):
        R.sharded(lambda x: x, R.data())
    with pytest.raises(TypeError, match=r"hk\.parallel\.Rules"):
        R.sharded(hk.transform(lambda x: x), {"batch": "data"})
