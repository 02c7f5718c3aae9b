"""Which layers of a deep net become one stacked function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import haiku as hk
from haiku.nets.layer_plan import plan_of, run_layers

# Kinds of layers, one letter each: start, period, repeats.
PLANS = {
    "a": (0, 1, 1),
    "aaaa": (0, 1, 4),
    "ab": (0, 0, 0),
    "aab": (0, 1, 2),
    "baa": (1, 1, 2),
    "abab": (0, 2, 2),
    "ababa": (0, 2, 2),  # Gemma 2 with an odd number of layers
    "caabaabb": (1, 3, 2),
    "aaaaabaaaaabaa": (0, 6, 2),  # Gemma 3
    "abc": (0, 0, 0),
    "abaabb": (2, 1, 2),  # of equal stacks the one that begins first
    "aaabbbb": (3, 1, 4),
}


@pytest.mark.parametrize("kinds", PLANS)
def test_plans(kinds):
    assert plan_of(kinds) == PLANS[kinds]
    assert plan_of(list(kinds)) == PLANS[kinds]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("abc", min_size=1, max_size=12))
def test_no_plan_stacks_more(kinds):
    plan = plan_of(kinds)
    number = len(kinds)

    def stacked(start, period, repeats):
        """How many layers a plan stacks; 0 if they don't repeat."""
        part = kinds[start : start + period * repeats]
        fits = part == part[:period] * repeats and len(part) == period * repeats
        return period * repeats if fits else 0

    most = max(
        (
            stacked(start, period, repeats)
            for period in range(1, number + 1)
            for repeats in range(2, number // period + 1)
            for start in range(number)
        ),
        default=0,
    )
    alike = len(set(kinds)) == 1
    assert stacked(*plan) == plan.stop - plan.start == max(most, number * alike)


@pytest.mark.parametrize("kinds", PLANS)
def test_layers_run_in_order_and_each_has_its_parameters(kinds):
    """Each layer shifts and scales, so that no order but theirs gives the numbers."""
    seen = []

    def net(x):
        def layer(i, x, name):
            seen.append(i)
            init = hk.initializers.RandomNormal()
            with hk.name_scope(f"{name}/layer" if name else "layer"):
                return x * hk.get_parameter("scale", [], init=init) + ord(kinds[i])

        return run_layers(layer, kinds, x)

    f = hk.without_apply_rng(hk.transform(net))
    params = f.init(jax.random.key(0), jnp.float32(1))
    plan = plan_of(kinds)
    lone = [*range(plan.start), *range(plan.stop, len(kinds))]
    inside = [f"blocks/block_{i}/layer" for i in range(plan.period)]
    if plan.period == 1:
        inside = ["blocks/layer"]
    want = {f"block_{i}/layer": {"scale": ()} for i in lone}
    want |= {path: {"scale": (plan.repeats,)} for path in inside}
    assert jax.tree.map(jnp.shape, params) == want
    x = 1.0
    for i, kind in enumerate(kinds):
        if i in lone:
            scale = params[f"block_{i}/layer"]["scale"]
        else:
            repeat, place = divmod(i - plan.start, plan.period)
            scale = params[inside[place]]["scale"][repeat]
        x = x * float(scale) + ord(kind)
    seen.clear()
    np.testing.assert_allclose(f.apply(params, jnp.float32(1)), x, rtol=1e-5)
    # Each kind of a period is traced once, however often it repeats.
    assert set(seen) == {*lone, *range(plan.start, plan.start + plan.period)}


def test_no_layers():
    assert run_layers(lambda i, x, name: x + 1, [], 3) == 3
    assert plan_of([]) == (0, 0, 0)
