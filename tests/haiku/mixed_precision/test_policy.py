"""Policies: parsing and casts."""

import dataclasses

import jax.numpy as jnp
import jmp
import numpy as np
import pytest

import haiku as hk

mp = hk.mixed_precision


F16, BF16, F32 = (jnp.dtype(d) for d in ("float16", "bfloat16", "float32"))


@pytest.mark.parametrize(
    "text, dtypes",
    [
        ("float32", (F32, F32, F32)),
        ("bf16", (BF16, BF16, BF16)),
        ("o=f16", (F32, F32, F16)),
        ("c=f16", (F32, F16, F16)),
        ("p=f16", (F16, F16, F16)),
        ("compute = bfloat16 , params=full,output=half", (F32, BF16, F16)),
    ],
)
def test_a_policy_is_parsed_from_text(text, dtypes):
    policy = mp.Policy.parse(text)
    assert dataclasses.astuple(policy) == dtypes
    assert eval(repr(policy), {"Policy": mp.Policy.parse}) == policy
    theirs = jmp.get_policy(text.replace(" ", "")) if "half" not in text else policy
    assert dtypes == tuple(
        jnp.dtype(d)
        for d in (theirs.param_dtype, theirs.compute_dtype, theirs.output_dtype)
    )


@pytest.mark.parametrize(
    "text", ["", "int32", "q=f16", "p=f16,p=f16", "p=", "p=f16,c", "params=float33"]
)
def test_a_bad_text_says_what_to_write(text):
    with pytest.raises(ValueError, match="float32"):
        mp.Policy.parse(text)


def test_policies_are_of_floating_point_dtypes():
    with pytest.raises(ValueError, match="compute_dtype must be a float.*int8"):
        mp.Policy(jnp.float32, jnp.int8, jnp.float32)
    with pytest.raises(TypeError, match="takes a string.*got int: 3"):
        mp.Policy.parse(3)


def test_casts_leave_everything_else_alone():
    policy = mp.Policy(jnp.float16, jnp.bfloat16, jnp.float32)
    tree = {"a": np.ones(2), "b": [1.5, "text", None, np.arange(2), jnp.ones([], bool)]}
    for cast, dtype in (
        (policy.cast_to_param, F16),
        (policy.cast_to_compute, BF16),
        (policy.cast_to_output, F32),
    ):
        out = cast(tree)
        assert out["a"].dtype == dtype
        assert out["b"][:3] == [1.5, "text", None]
        assert out["b"][3] is tree["b"][3] and out["b"][4].dtype == bool
