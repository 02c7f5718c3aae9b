"""Policies by instance, by pattern of paths and by scope; float8; what ran in which."""

import jax
import jax.numpy as jnp
import jmp
import numpy as np
import pytest
from call_dtypes import dtypes_of_calls

import haiku as hk
from haiku.mixed_precision.float8 import rounded, saturated

mp = hk.mixed_precision
BF16, F16, F32 = (jnp.dtype(d) for d in ("bfloat16", "float16", "float32"))
E4M3, E5M2 = jnp.dtype(jnp.float8_e4m3fn), jnp.dtype(jnp.float8_e5m2)
KEY = jax.random.key(0)
X = jax.random.normal(KEY, [8, 16])


@pytest.fixture(autouse=True)
def _no_policy_left():
    before = dict(mp.table.policies.get())
    yield
    assert dict(mp.table.policies.get()) == before


class Probe(hk.Module):
    """Remembers in which dtypes it ran, by its path."""

    seen: dict = {}

    def __call__(self, x):
        w = hk.get_parameter("w", [], init=hk.initializers.Constant(1 / 3))
        self.seen[self.module_name] = x.dtype, w.dtype
        return x * w


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


# By pattern: a policy for some layers by name, the program of thread #680.


def test_some_layers_by_name():
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


# By instance.


def test_an_instance():
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


# By scope.


def test_a_scope():
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


# Which of several.


def test_precedence():
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


def test_jmp_policies_everywhere():
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
    with pytest.raises(ValueError, match="is no pattern of paths"):
        mp.set_policy("a//b", "f32")
    with pytest.raises(TypeError, match="a pattern of module paths.*or a module"):
        mp.set_policy(3, "f32")
    scope = mp.scope("f32")
    with pytest.raises(ValueError, match="mixed_precision.scope` must be used"):
        scope.__enter__()
    with pytest.raises(ValueError, match="'float9' is no dtype"):
        run(lambda x: mp.scope("float9").__enter__())
    with pytest.raises(AssertionError, match="takes a policy, got None"):
        run(lambda x: mp.scope(None).__enter__())

    class Pushes(hk.Module):
        def __call__(self):
            with mp.push_policy(self, "f32"):
                pass

    with pytest.raises(ValueError, match="Push it around the call"):
        run(lambda x: Pushes()())


# float8.


@pytest.mark.parametrize("dtype", [E4M3, E5M2], ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 3e5])
def test_rounding_keeps_the_digits_that_float8_has(dtype, scale):
    x = scale * jax.random.uniform(KEY, [1000], minval=0.1, maxval=1.0)
    out = jax.jit(lambda x: rounded(x, dtype, F32))(x)
    # Half a unit in the last of 3 or 2 digits behind the point.
    assert 0 < jnp.max(jnp.abs(out - x) / x) <= (2**-4 if dtype == E4M3 else 2**-3)
    np.testing.assert_array_equal(out, rounded(x, dtype, F32))
    again = jax.jit(lambda x: rounded(x, dtype, BF16).astype(F32))(out)
    np.testing.assert_array_equal(out, again)


def test_rounding_of_what_has_no_scale():
    zeros, empty = jnp.zeros([3]), jnp.zeros([0])
    np.testing.assert_array_equal(rounded(zeros, E4M3, F32), zeros)
    assert rounded(empty, E4M3, BF16).shape == (0,)
    odd = rounded(jnp.array([1.0, jnp.nan]), E4M3, F32)
    assert odd[0] == 1 and jnp.isnan(odd[1])
    assert not jnp.isfinite(rounded(jnp.array([1.0, jnp.inf]), E4M3, F32)[1])
    for extreme in (3e38, 1e-37):
        out = rounded(jnp.array([extreme, 0.0]), E5M2, F32)
        np.testing.assert_allclose(out, [extreme, 0.0], rtol=0.125)
    assert saturated(jnp.array([1e9, -500.0, 1.0]), E4M3).tolist() == [448, -448, 1]


@pytest.mark.parametrize("mode", [jax.jacfwd, jax.jacrev])
def test_gradients_do_not_see_the_rounding(mode):
    x = jnp.array([0.3, -2.0, 1e-5])
    derivative = jax.jit(mode(lambda x: rounded(x, E4M3, BF16).astype(F32) ** 2))(x)
    want = jnp.diag(2 * rounded(x, E4M3, F32))
    np.testing.assert_allclose(derivative, want, rtol=1e-2)


@pytest.mark.parametrize("compute_dtype", [E4M3, E5M2], ids=str)
def test_a_layer_in_float8_multiplies_float8_numbers(compute_dtype):
    policy = mp.Policy(F32, compute_dtype, F32)
    net = hk.without_apply_rng(hk.transform(lambda x: hk.Linear(4, False)(x)))
    with mp.push_policy(hk.Linear, policy):
        params = net.init(KEY, X)
        out = jax.jit(net.apply)(params, X)
        grads = jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X) ** 2)))(params)
    w = params["linear"]["w"]

    def in_eight_bits(x):
        """By hand: the numbers in float8, and their scale."""
        room = float(jnp.finfo(compute_dtype).max) / float(jnp.max(jnp.abs(x)))
        scale = 2.0 ** np.floor(np.log2(room))
        return (x * scale).astype(compute_dtype), scale

    (x8, x_scale), (w8, w_scale) = in_eight_bits(X), in_eight_bits(w)
    want = jnp.dot(x8, w8, preferred_element_type=F32) / (x_scale * w_scale)
    np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-6)
    assert out.dtype == F32 and grads["linear"]["w"].dtype == F32
    exact = X @ w
    error = jnp.linalg.norm(out - exact) / jnp.linalg.norm(exact)
    assert 0.002 < error < (0.06 if compute_dtype == E4M3 else 0.12)


def test_parameters_in_float8_are_drawn_in_full():
    policy = mp.Policy(E4M3, BF16, BF16)
    f = lambda x: hk.Linear(4, w_init=hk.initializers.RandomNormal())(x)  # noqa: E731
    net = hk.without_apply_rng(hk.transform(f))
    plain = net.init(KEY, X)
    with mp.push_policy("linear", policy):
        params = jax.jit(net.init)(KEY, X)
        out = jax.jit(net.apply)(params, X)
        loss = lambda p: jnp.sum(net.apply(p, X).astype(F32))  # noqa: E731
        grads = jax.jit(jax.grad(loss))(params)
    assert {x.dtype for x in jax.tree.leaves((params, grads))} == {E4M3}
    want = plain["linear"]["w"].astype(E4M3)
    np.testing.assert_array_equal(params["linear"]["w"].astype(F32), want.astype(F32))
    in_bf16 = X.astype(BF16) @ want.astype(BF16)
    np.testing.assert_array_equal(out.astype(F32), in_bf16.astype(F32))


def test_outputs_in_float8_are_cut_off():
    with mp.push_policy(Probe, mp.Policy(F32, F32, E4M3)):
        f = hk.transform(lambda x: Probe()(x))
        out = f.apply({"probe": {"w": jnp.float32(3)}}, None, jnp.array([1.0, 1e4]))
    assert out.dtype == E4M3 and out.astype(F32).tolist() == [3.0, 448.0]


def test_float8_networks_learn():
    x = jax.random.normal(KEY, [64, 8])
    y = jnp.sin(x.sum(1, keepdims=True))

    def f(x):
        with mp.scope("params=float32,compute=float8_e4m3fn,output=bfloat16"):
            x = jax.nn.relu(hk.Linear(32)(x))
        return hk.Linear(1)(x.astype(F32))

    net = hk.without_apply_rng(hk.transform(f))
    loss = lambda p: jnp.mean((net.apply(p, x) - y) ** 2)  # noqa: E731

    def step(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value

    params = jax.jit(net.init)(KEY, x)
    _, values = jax.jit(lambda p: jax.lax.scan(step, p, None, 200))(params)
    assert values[-1] < 0.3 * values[0]


def test_state_is_not_rounded():
    """A moving average in float8 would stand still."""

    def f(x):
        return hk.BatchNorm(True, True, 0.999)(x, True)

    net = hk.transform_with_state(f)
    with mp.push_policy(hk.BatchNorm, mp.Policy(F32, E4M3, F32)):
        params, state = jax.jit(net.init)(KEY, X)
        apply = jax.jit(net.apply)
        _, state = apply(params, state, None, X)
        read = state["batch_norm/~/mean_ema"]["hidden"]
        _, after = apply(params, state, None, X)
    moved = after["batch_norm/~/mean_ema"]["hidden"]
    assert jnp.all(moved != read)


@pytest.mark.parametrize("text", ["float8_e4m3fn", "f8_e5m2"])
def test_float8_by_text(text):
    dtype = E4M3 if "e4m3" in text else E5M2
    policy = mp.Policy.parse(f"params=f32,compute={text},output=f16")
    assert policy == mp.Policy(F32, dtype, F16) and policy.wide_dtype == F16
    assert mp.Policy.parse(text).wide_dtype == BF16
    assert mp.Policy.parse(repr(policy).removeprefix("Policy('")[:-2]) == policy
