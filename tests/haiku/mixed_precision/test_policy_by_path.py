"""Policies by pattern of paths, by module and by scope."""

import jax
import jax.numpy as jnp
import jmp
import numpy as np
import pytest
from call_dtypes import dtypes_of_calls
from probes import BF16, F16, F32, KEY, Probe, X, mp

import haiku as hk


class Pair(hk.Module):
    def __call__(self, x):
        return Probe("one")(x), Probe("two")(x)


ONE = jnp.ones([])


def run(f, x=ONE):
    """What probes saw, the dtypes of parameters, and what came out."""
    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, x)
    Probe.seen.clear()
    out = net.apply(params, x)
    dtypes = {m: v.dtype for m, n, v in hk.data_structures.traverse(params)}
    return dict(Probe.seen), dtypes, jax.tree.map(lambda x: x.dtype, out)


def compute(dtype):
    return f"params=float32,compute={dtype},output=float32"


def test_a_pattern_sets_the_precision_of_some_layers():
    def f(x):
        x = hk.nets.MLP([16, 16], name="body")(x)
        return hk.Linear(4, name="logits")(x)

    net = hk.without_apply_rng(hk.transform(f))
    with (
        mp.push_policy("body/**", "params=float32,compute=bfloat16,output=bfloat16"),
        mp.push_policy("**/logits", "float32"),
    ):
        params = jax.jit(net.init)(KEY, X)
        grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X) ** 2)))(params)
        body, *inside, logits = dtypes_of_calls(net, X)
    assert {call.compute for call in (body, *inside)} == {("bf16",)}
    assert logits.compute == logits.output == ("f32",)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, grads))} == {F32}
    full = jax.jit(net.apply)(params, X)
    with mp.push_policy("body/**", compute("bfloat16")):
        half = jax.jit(lambda *args: net.apply(*args))(params, X)
    assert full.dtype == half.dtype == F32
    error = jnp.max(jnp.abs(full - half)) / jnp.max(jnp.abs(full))
    assert 0 < error < 0.02


def test_patterns_reach_into_stacks_and_scopes():
    def f(x):
        with hk.name_scope("outer"):
            Probe()(x)
        return hk.layer_stack(2, name="stack")(lambda x: Probe("inner")(x))(x)

    with mp.push_policy("stack/inner", "f16"), mp.push_policy("outer/*", "bf16"):
        seen, dtypes, out = run(f, jnp.ones([], jnp.float16))
    assert seen == {"outer/probe": (BF16, BF16), "inner": (F16, F16)}
    assert dtypes == {"outer/probe": BF16, "stack/inner": F16}


def test_the_last_pattern_counts():
    f = lambda x: Pair("pair")(x)  # noqa: E731
    with mp.push_policy("**/one", "f16"), mp.push_policy("pair/*", "bf16"):
        assert run(f)[1] == {"pair/one": BF16, "pair/two": BF16}
    with mp.push_policy("pair/*", "bf16"), mp.push_policy("**/one", "f16"):
        assert run(f)[1] == {"pair/one": F16, "pair/two": BF16}
        with mp.push_policy("pair/*", "f32"):
            assert run(f)[1] == {"pair/one": F32, "pair/two": F32}
        assert run(f)[1] == {"pair/one": F16, "pair/two": BF16}


def test_a_module_has_its_own_policy():
    def f(x):
        first, second = Probe("first"), Probe("second")
        mp.set_policy(second, "p=f16,c=bf16,o=f32")
        assert mp.get_policy(first) is None
        assert mp.get_policy(second) == mp.Policy(F16, BF16, F32)
        out = first(x), second(x)
        with mp.push_policy(second, "f32"):
            second(x)
            assert Probe.seen["second"] == (F32, F32)
        mp.clear_policy(second)
        second(x)
        return out

    seen, dtypes, out = run(f)
    assert dtypes == {"first": F32, "second": F16} and out == (F32, F32)
    assert seen["first"] == (F32, F32)
    assert seen["second"] == (F32, F16)  # Without a policy, as it is stored.


def test_a_scope_sets_the_precision_of_what_it_calls():
    def f(x):
        before = Probe("before")(x)
        with mp.scope("p=f16,c=bf16,o=f16"):
            assert mp.current_policy() == mp.Policy(F16, BF16, F16)
            own = hk.get_parameter("own", [], init=jnp.ones)
            inside = Pair("pair")(x)
        assert mp.current_policy() is None
        return before, inside, Probe("after")(x), own

    seen, dtypes, out = run(f)
    assert seen["pair/one"] == seen["pair/two"] == (BF16, BF16)
    assert seen["before"] == seen["after"] == (F32, F32)
    assert dtypes == {
        "before": F32,
        "after": F32,
        "pair/one": F16,
        "pair/two": F16,
        "~": F16,
    }
    assert out == (F32, (F16, F16), F32, BF16)


@pytest.mark.parametrize("loop", ["scan", "remat", "layer_stack", "vmap", "jit"])
def test_a_scope_around_transformations(loop):
    def body(x):
        return Probe()(x)

    def f(x):
        with mp.scope(compute("bfloat16")):
            if loop == "scan":
                return hk.scan(lambda c, _: (body(c), None), x, None, 2)[0]
            if loop == "layer_stack":
                return hk.layer_stack(2)(body)(x)
            if loop == "vmap":
                return hk.vmap(body, split_rng=False)(x)
            return getattr(hk, loop)(body)(x)

    seen, dtypes, out = run(f, jnp.ones([3]))
    assert set(seen.values()) == {(BF16, BF16)}
    assert set(dtypes.values()) == {F32} and out == F32


def test_module_then_pattern_then_class_then_all():
    def f(x, instance=False):
        probe = Probe("probe")
        if instance:
            mp.set_policy(probe, compute("float16"))
        with mp.scope(compute("bfloat16")):
            return probe(x)

    def seen_in(f):
        return run(f)[0]["probe"][0]

    assert seen_in(f) == BF16
    with mp.push_policy(Probe, "f32"):
        assert seen_in(f) == F32  # class > scope
        with mp.push_policy("probe", "bf16"):
            assert seen_in(f) == BF16  # pattern > class
            assert seen_in(lambda x: f(x, True)) == F16  # instance > pattern


def test_an_inner_policy_is_kept_and_asked_alone():
    class Outer(hk.Module):
        def __call__(self, x):
            with mp.scope(compute("float32")):
                inside = Probe("in_scope")(x)
            return Probe("own")(x), Probe("plain")(x), inside

    with mp.push_policy(Outer, compute("float16")), mp.push_policy("**/own", "f32"):
        f = hk.without_apply_rng(hk.transform(lambda x: Outer()(x)))
        params = f.init(KEY, np.float32(1))
        Probe.seen.clear()
        f.apply(params, np.float32(1))
    assert Probe.seen == {
        "outer/own": (F32, F32),
        "outer/plain": (F16, F16),
        "outer/in_scope": (F32, F32),
    }
    assert params["outer/own"]["w"] == np.float32(1 / 3)


def test_jmp_policies_work_everywhere():
    policy = jmp.get_policy("p=f32,c=bf16,o=f16")

    def f(x):
        probe = Probe("instance")
        mp.set_policy(probe, policy)
        with mp.scope(policy):
            return probe(x), Probe("in_scope")(x), Probe("by_name")(x)

    with mp.push_policy("by_name", policy):
        seen, dtypes, out = run(f)
    assert set(seen.values()) == {(BF16, BF16)} and set(out) == {F16}
    assert set(dtypes.values()) == {F32}


def test_errors_say_what_to_write():
    with pytest.raises(ValueError, match="isn't a pattern of paths"):
        mp.set_policy("a//b", "f32")
    with pytest.raises(TypeError, match="a pattern of module paths.*or a module"):
        mp.set_policy(3, "f32")
    scope = mp.scope("f32")
    with pytest.raises(ValueError, match="mixed_precision.scope` must be used"):
        scope.__enter__()
    with pytest.raises(ValueError, match="'float9' isn't a dtype"):
        run(lambda x: mp.scope("float9").__enter__())
    with pytest.raises(AssertionError, match="takes a policy, got None"):
        run(lambda x: mp.scope(None).__enter__())

    class Pushes(hk.Module):
        def __call__(self):
            with mp.push_policy(self, "f32"):
                pass

    with pytest.raises(ValueError, match="Push it around the call"):
        run(lambda x: Pushes()())
