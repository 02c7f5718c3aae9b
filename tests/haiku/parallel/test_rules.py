"""Rules: what they hold, how two are put together, and what is refused."""

import pickle

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec as P

import haiku as hk

R = hk.parallel
NAMES = st.sampled_from(["batch", "mlp", "heads", "vocab", "length"])
AXES = st.one_of(st.none(), st.sampled_from(["data", "model", ("data", "model")]))
RULES = st.builds(
    R.Rules,
    st.dictionaries(NAMES, AXES),
    st.dictionaries(st.sampled_from(["**/w", "a/*"]), st.sampled_from([("mlp",), ()])),
    AXES,
    st.integers(0, 2000),
)


@given(RULES, RULES, RULES)
def test_putting_together_is_associative_and_the_second_counts(a, b, c):
    assert (a | b) | c == a | (b | c)
    assert dict((a | b).axes) == {**a.axes, **b.axes}
    assert dict((a | b).arrays) == {**a.arrays, **b.arrays}
    upper = a if b.largest is None else b
    assert ((a | b).largest, (a | b).smallest) == (upper.largest, upper.smallest)


@given(RULES)
def test_rules_are_values(rules):
    same = R.Rules(rules.axes, rules.arrays, rules.largest, rules.smallest)
    assert same == rules
    assert hash(same) == hash(rules)
    assert pickle.loads(pickle.dumps(rules)) == rules
    assert R.Rules() | rules == rules | R.Rules() or rules.largest is None
    with pytest.raises(AttributeError):
        rules.largest = "data"
    with pytest.raises(TypeError):
        rules.axes["mlp"] = "data"


def test_ready_rules_say_what_the_contract_says():
    assert R.data() == R.Rules({"batch": "data"})
    assert R.fully_sharded("x", 5) == R.Rules({"batch": "x"}, {}, "x", 5)
    assert R.tensor("m") == R.Rules({"heads": "m", "mlp": "m", "vocab": "m"})
    assert R.sequence() == R.Rules({"length": "model"})
    assert R.expert() == R.Rules({"expert": "expert"})
    assert R.pipeline() == R.Rules({"layers": "pipe"})


def test_of_patterns_those_of_the_second_go_first():
    first = R.Rules(arrays={"**/w": ("mlp", None)})
    both = first | R.Rules(arrays={"up/*": (None, "mlp")})
    assert list(both.arrays) == ["up/*", "**/w"]


def test_a_partition_spec_names_the_axes_of_an_array():
    rules = R.Rules(arrays={"linear/w": P(("data", "model"), None)})
    net = R.sharded(hk.transform(lambda x: hk.Linear(3)(x)), rules)
    auto = (jax.sharding.AxisType.Auto,) * 2
    with jax.set_mesh(jax.make_mesh((4, 2), ("data", "model"), axis_types=auto)):
        params = net.init(0, jax.numpy.ones([2, 8]))
    assert params["linear"]["w"].sharding.spec == P(("data", "model"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: R.Rules(["mlp"]), TypeError, "takes a mapping for axes, got list"),
        (lambda: R.Rules({"mlp": 3}), TypeError, "the logical axis 'mlp', got 3"),
        (lambda: R.Rules({"mlp": ""}), TypeError, "the logical axis 'mlp', got ''"),
        (lambda: R.Rules(arrays={"**/w": "mlp"}), TypeError, "a name for each axis"),
        (lambda: R.Rules(arrays={"a//b": ("mlp",)}), ValueError, "isn't a pattern"),
        (lambda: R.Rules(largest=4), TypeError, "for largest, got 4"),
        (lambda: R.Rules(smallest=-1), ValueError, "at least 0, got -1"),
        (lambda: R.data() | {"mlp": "model"}, TypeError, "unsupported operand"),
    ],
)
def test_bad_rules_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
