"""What ran in which dtype, call by call."""

import jax
import jax.numpy as jnp
import pytest
from call_dtypes import CallDtypes, dtypes_of_calls

import haiku as hk
from haiku._core.variables.hooks import interceptors

mp = hk.mixed_precision
X = jnp.ones([4, 8])


def rows(f, *args):
    calls = hk.experimental.eval_summary(f)(*args)
    paths = [call.module_details.module.module_name for call in calls]
    return dict(zip(paths, dtypes_of_calls(f, *args), strict=True))


def net(x):
    x = hk.nets.MLP([4, 4], name="body")(x)
    return hk.Linear(2, name="logits")(x)


def test_dtypes_without_a_policy_are_those_of_the_input():
    full = CallDtypes(("f32",), ("f32",), ("f32",))
    assert set(rows(net, X).values()) == {full}
    half = rows(net, X.astype(jnp.bfloat16))["logits"]
    assert half == CallDtypes(("bf16",), ("bf16",), ("bf16",))


def test_policies_by_pattern_change_the_dtypes():
    with (
        mp.push_policy("body", "params=f32,compute=bf16,output=f16"),
        mp.push_policy("logits", "params=bf16,compute=float8_e4m3fn,output=f32"),
    ):
        found = rows(net, X)
    assert found["body"] == CallDtypes(("f32",), ("bf16",), ("f16",))
    assert found["body/~/linear_0"] == CallDtypes(("f32",), ("bf16",), ("bf16",))
    assert found["logits"] == CallDtypes(("bf16",), ("f8_e4m3fn", "f32"), ("f32",))


def test_casts_inside_a_method_change_the_dtypes():
    """A table of the policies would not tell."""

    class Careful(hk.Module):
        def __call__(self, x):
            w = hk.get_parameter("w", x.shape, init=jnp.ones)
            return jnp.sum(x.astype(jnp.float32) * w, -1), jnp.argmax(x)

    with mp.push_policy(Careful, "bfloat16"):
        (found,) = rows(lambda x: Careful()(x), X).values()
    assert found == CallDtypes(("bf16",), ("f32", "bf16"), ("bf16",))


@pytest.mark.parametrize("loop", ["scan", "layer_stack", "cond", "remat", "grad"])
def test_policies_reach_into_transformations(loop):
    def body(x):
        return hk.Linear(8, name="inner")(x)

    def f(x):
        if loop == "scan":
            return hk.scan(lambda c, _: (body(c), None), x, None, 2)[0]
        if loop == "layer_stack":
            return hk.layer_stack(1)(body)(x)
        if loop == "cond":
            return hk.cond(x[0, 0] > 0, body, lambda x: x, x)
        if loop == "grad":
            return hk.grad(lambda x: jnp.sum(body(x)))(x)
        return hk.remat(body)(x)

    with mp.push_policy(hk.Linear, "params=f32,compute=bf16,output=f32"):
        found = dtypes_of_calls(f, X)
    inner = CallDtypes(("f32",), ("bf16",), ("f32",))
    assert inner in found
    assert all("bf16" in row.compute for row in found)


def test_shapes_are_enough_and_options_stay_as_they_are():
    def f(tokens, is_training):
        x = hk.Embed(5, 4)(tokens)
        return hk.BatchNorm(True, True, 0.9)(x, is_training=is_training)

    tokens = jax.ShapeDtypeStruct((3,), jnp.int32)
    found = rows(lambda tokens: f(tokens, True), tokens)
    assert found["embed"].params == found["embed"].output == ("f32",)
    assert found["batch_norm"] == CallDtypes(("f32",), ("f32",), ("f32",))
    # What is no array stays as it is.
    assert found["embed"] == dtypes_of_calls(f, tokens, True)[0]
    assert dtypes_of_calls(hk.transform(lambda: None)) == []


def test_an_error_leaves_no_interceptor_behind():
    before = interceptors.get()
    with pytest.raises(KeyError):
        dtypes_of_calls(lambda x: hk.Linear(2)(x["a"]), {})
    assert interceptors.get() == before


def test_the_table_has_a_column_of_dtypes_if_named():
    tabulate = hk.experimental.tabulate

    def careful(x):
        with mp.scope("params=f32,compute=bf16,output=f32"):
            return hk.Linear(2)(x)

    assert tabulate(careful, columns=["module", "dtypes"])(X).splitlines() == [
        "+-----------------+--------------+",
        "| Module          | Dtypes       |",
        "+=================+==============+",
        "| linear (Linear) | params f32   |",
        "|                 | compute bf16 |",
        "|                 | output f32   |",
        "+-----------------+--------------+",
    ]
    # Only where it is asked for, also beside costs.
    assert "Dtypes" not in tabulate(careful)(X)
    assert "Dtypes" not in tabulate(careful, columns=None)(X)
    both = tabulate(careful, columns=["dtypes", "flops"])(X)
    assert "compute bf16" in both and "FLOPs" in both
    with pytest.raises(ValueError, match="'dtypes'"):
        tabulate(careful, columns=["dtype"])
    with pytest.raises(ValueError, match="columns are a list of names.*'dtypes'"):
        tabulate(careful, columns="dtypes")
