"""FLOPs, memory and time of each call of a module, in tables and outlines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

X = jnp.ones([8, 28])
Q = jnp.ones([2, 32, 64])
IMAGE = jnp.ones([2, 12, 12, 3])


def cells(f, *args, columns):
    """The cells of a table, a row for each call."""
    table = hk.experimental.tabulate(
        f, columns=columns, tabulate_kwargs={"tablefmt": "plain"}
    )(*args)
    rows = [line.split() for line in table.splitlines()[1:] if "└" not in line]
    assert all(len(row) >= len(columns) for row in rows)
    return rows


def flops(f, *args):
    return hk.views.outline(f)(*args).flops


def by_xla(f, *args):
    net = hk.without_apply_rng(hk.transform(f))
    params = jax.eval_shape(net.init, jax.random.key(0), *args)
    cost = jax.jit(net.apply).lower(params, *args).cost_analysis()
    return cost["flops"]


def linear(x):
    return hk.Linear(300)(x)


def attention(x):
    return hk.MultiHeadAttention(4, 16, w_init=hk.initializers.Constant(1))(x, x, x)


CLOSED = {  # Name: (function, input, FLOPs)
    "Linear": (linear, X, 2 * 8 * 28 * 300 + 8 * 300),
    "Conv2D": (
        lambda x: hk.Conv2D(16, 5, stride=2, padding="VALID")(x),
        IMAGE,
        2 * (2 * 4 * 4 * 16) * 5 * 5 * 3 + 2 * 4 * 4 * 16,
    ),
    "Conv1D, groups": (
        lambda x: hk.Conv1D(64, 3, feature_group_count=4, with_bias=False)(x),
        Q,
        2 * (2 * 32 * 64) * 3 * 16,
    ),
    "Embed": (
        lambda x: hk.Embed(5, 16, lookup_style="ONE_HOT")(x),
        jnp.ones([7], int),
        2 * 7 * 5 * 16,
    ),
}


@pytest.mark.parametrize("name", CLOSED)
def test_flops_are_those_counted_by_hand(name):
    f, x, want = CLOSED[name]
    assert flops(f, x) == want


def test_attention_has_the_flops_of_its_products():
    tokens, width = 2 * 32, 64
    projections = 4 * (2 * tokens * width * width + tokens * width)
    pairs = 2 * 4 * 32 * 32  # Batch, heads, queries, keys.
    products = 2 * (2 * pairs * 16)
    # Scaling, softmax: a handful of operations for each pair.
    assert 3 * pairs < flops(attention, Q) - projections - products < 12 * pairs


# XLA counts an exponential as no FLOP, and leaves padding out of convolutions.
@pytest.mark.parametrize(
    "f, x",
    [
        (linear, X),
        (CLOSED["Conv2D"][0], IMAGE),
        (attention, Q),
        (lambda x: hk.nets.MLP([64, 10])(x), X),
        (lambda x: hk.LayerNorm(-1, True, True)(hk.Linear(64)(x)), X),
    ],
)
def test_flops_are_those_that_xla_counts(f, x):
    assert flops(f, x) == pytest.approx(by_xla(f, x), rel=0.05)


def test_the_table_has_columns_of_costs():
    def f(x):
        return hk.Sequential([hk.nets.MLP([300, 100]), jax.nn.relu, hk.Linear(2)])(x)

    columns = ["module", "flops", "own_flops", "activation_bytes"]
    # Module, class, FLOPs, own FLOPs, bytes, unit.
    rows = {row[0]: row[2:] for row in cells(f, X, columns=columns)}
    first, second, last = 136_800, 480_800, 3_216
    mlp = first + second + 8 * 300
    assert rows == {
        "sequential": [f"{mlp + 8 * 100 + last:,}", "800", "12.86", "KB"],
        # Its output is that of its last layer: the same array, counted once.
        "mlp": [f"{mlp:,}", "2,400", "12.80", "KB"],
        "mlp/~/linear_0": [f"{first:,}"] * 2 + ["9.60", "KB"],
        "mlp/~/linear_1": [f"{second:,}"] * 2 + ["3.20", "KB"],
        "linear": [f"{last:,}"] * 2 + ["64.00", "B"],
    }


def test_costs_are_columns_only_if_named():
    default = hk.experimental.tabulate(linear)(X)
    assert default == hk.experimental.tabulate(linear, columns=None)(X)
    assert "FLOPs" not in default
    with pytest.raises(ValueError, match="'flop'.*own_flops"):
        hk.experimental.tabulate(linear, columns=["flop"])


def test_loops_count_as_often_as_they_run():
    def step(carry, x):
        return hk.Linear(28)(carry) + x, None

    def f(x):
        return hk.scan(step, x, jnp.zeros([5, 8, 28]))[0]

    assert flops(f, X) == 5 * (2 * 8 * 28 * 28 + 2 * 8 * 28)

    def unrolled(x):
        core = hk.VanillaRNN(6)
        return hk.dynamic_unroll(core, x[:, None], core.initial_state(1))[0]

    products = 2 * 28 * 6 + 2 * 6 * 6
    assert 8 * products < flops(unrolled, X) < 8 * (products + 50)


def test_the_costliest_branch_counts():
    def f(x):
        return hk.cond(x.sum() > 0, lambda x: hk.Linear(28)(x), lambda x: x, x)

    assert 2 * 8 * 28**2 <= flops(f, X) <= 2 * 8 * 28**2 + 3 * 8 * 28


def test_gradients_inside_count():
    def f(x):
        return hk.grad(lambda x: hk.Linear(300)(x).sum())(x)

    # The products with the weights: backward only, as the value is not asked for.
    assert flops(f, X) >= 2 * 8 * 28 * 300


def test_each_device_of_shard_map_counts():
    mesh = jax.make_mesh((2,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec("i")
    f = jax.shard_map(jnp.sin, mesh=mesh, in_specs=spec, out_specs=spec)
    assert flops(lambda x: f(hk.Linear(4)(x)), X) == flops(
        lambda x: jnp.sin(hk.Linear(4)(x)), X
    )


def test_a_wider_layer_takes_longer():
    def f(x):
        x = hk.Linear(8, name="small")(x)
        x = hk.Linear(2048, name="wide")(x)
        return hk.Linear(8, name="narrow")(x).astype(jnp.bfloat16)

    big = jnp.ones([1024, 28])
    found = hk.views.outline(f, time=True)(big)
    seconds = {part.name: part.seconds for part in found.parts}
    assert seconds["wide"] > 2 * seconds["small"] > 0
    assert found.seconds > seconds["wide"] / 4
    rows = cells(f, X, columns=["module", "time", "own_time"])
    assert {row[0] for row in rows} == {"small", "wide", "narrow"}
    assert all(row[3] in ("us", "ms", "ns") and float(row[2]) > 0 for row in rows)


def test_timing_takes_state_keys_and_given_parameters():
    ran = []

    def f(x, is_training):
        ran.append(isinstance(x, jax.core.Tracer))
        x = hk.BatchNorm(True, True, 0.9)(x, is_training)
        return hk.dropout(hk.next_rng_key(), 0.5, hk.Linear(3)(x))

    net = hk.transform_with_state(f)
    params, state = net.init(jax.random.key(0), X, True)
    before = jax.tree.map(np.asarray, (params, state))
    found = hk.views.outline(f, params, state, time=True)(X, True)
    assert all(part.seconds > 0 for _, part in found.walk())
    assert False in ran  # It did run, and left what it was given alone.
    jax.tree.map(np.testing.assert_array_equal, before, (params, state))
    # Shapes are enough: numbers are drawn.
    shape = jax.ShapeDtypeStruct(X.shape, X.dtype)
    assert hk.views.outline(f, time=True)(shape, True).seconds > 0


def test_calls_that_cannot_be_timed_alone_have_no_time():
    rows = cells(
        lambda x: hk.vmap(hk.Linear(2), split_rng=False)(x),
        X,
        columns=["module", "time"],
    )
    assert rows == [["linear", "(Linear)", "-"]]

    class Keeps(hk.Module):
        def __init__(self, x):
            super().__init__()
            self.x = x

        def __call__(self):
            return self.x + hk.get_parameter("w", [28], init=jnp.ones)

    rows = cells(
        lambda x: hk.vmap(lambda x: Keeps(x)(), split_rng=False)(x),
        X,
        columns=["module", "time"],
    )
    assert rows == [["keeps", "(Keeps)", "-"]]


def test_loops_and_taken_branches_have_times():
    def f(x):
        x = hk.while_loop(
            lambda c: c[1] < 3,
            lambda c: (hk.Linear(28, name="looped")(c[0]), c[1] + 1),
            (x, 0),
        )[0]
        x = hk.cond(
            x.sum() > 1e9,
            lambda x: hk.Linear(28, name="no")(x),
            lambda x: hk.Linear(28, name="yes")(x),
            x,
        )
        return hk.Linear(3, name="last")(x)

    rows = cells(f, X, columns=["module", "time"])
    assert {row[0]: row[2] == "-" for row in rows} == {
        "looped": False,
        "no": True,
        "yes": False,
        "last": False,
    }
