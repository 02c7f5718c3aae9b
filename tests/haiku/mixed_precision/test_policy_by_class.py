"""Policies by class of modules."""

import dataclasses
import threading

import jax
import jax.numpy as jnp
import jmp
import numpy as np
import pytest

import haiku as hk

mp = hk.mixed_precision


F16, BF16, F32 = (jnp.dtype(d) for d in ("float16", "bfloat16", "float32"))


@pytest.fixture(autouse=True)
def _no_policy_left():
    yield
    for cls in (Net, Inner, Sub, hk.Linear, hk.BatchNorm):
        mp.clear_policy(cls)


class Inner(hk.Module):
    def __call__(self, x):
        third = hk.initializers.Constant(1 / 3)
        self.w = hk.get_parameter("w", [], jnp.float32, init=third)
        return x * 1


class Net(hk.Module):
    def __init__(self, scale=None, name=None):
        super().__init__(name=name)
        self.scale = scale
        self.policy_at_init = mp.current_policy()

    def __call__(self, x, *, y=None):
        self.w = hk.get_parameter("w", [], jnp.float32, init=jnp.ones)
        self.count = hk.get_parameter("count", [], jnp.int32, init=jnp.ones)
        self.s = hk.get_state("s", [], jnp.float32, init=jnp.zeros)
        hk.set_state("t", x)
        self.seen = x.dtype, None if y is None else y.dtype, mp.current_policy()
        self.inner = Inner()
        self.inner_out = self.inner(x)
        return {"out": x, "int": jnp.ones([], jnp.int32), "y": y}

    def method(self, x):
        return x


class Sub(Net):
    pass


def run(f, *args):
    """Dtypes of parameters, and whatever `f` returned at apply."""
    f = hk.transform_with_state(f)
    params, state = f.init(None, *args)
    out, state = f.apply(params, state, None, *args)
    dtypes = {
        f"{path}/{name}": value.dtype
        for path, named in {
            **params,
            **{f"state:{k}": v for k, v in state.items()},
        }.items()
        for name, value in named.items()
    }
    return dtypes, out


def net(x=1.0, **kwargs):
    module = Net(jnp.float32(2), name="net")
    return module, module(jnp.float32(x), **kwargs)


POLICIES = [
    jmp.get_policy("p=f16,c=bf16,o=f32"),
    mp.Policy(jnp.float16, jnp.bfloat16, jnp.float32),
    "params=float16, compute=bfloat16, output=float32",
]


@pytest.mark.parametrize("policy", POLICIES, ids=["jmp", "ours", "text"])
def test_dtypes_of_parameters_computation_and_outputs(policy):
    with mp.push_policy(Net, policy):
        dtypes, (module, out) = run(lambda: net(y=np.ones(2, np.float32)))
        policy = mp.get_policy(Net)
    assert dtypes == {
        "net/w": F16,
        "net/count": np.int32,
        "net/inner/w": F16,
        "state:net/s": F32,  # State is stored in the dtype that the module passed...
        "state:net/t": BF16,
    }
    assert module.w.dtype == module.s.dtype == BF16  # ...and read like parameters.
    assert module.count.dtype == np.int32
    assert module.seen == (BF16, BF16, policy)
    assert module.scale.dtype == BF16 and module.policy_at_init is policy
    assert module.inner.w.dtype == module.inner_out.dtype == BF16
    assert (out["out"].dtype, out["y"].dtype, out["int"].dtype) == (F32, F32, np.int32)


def test_without_policy_nothing_changes():
    mp.set_policy(Net, "half")
    mp.clear_policy(Net)
    mp.clear_policy(Net)
    dtypes, (module, out) = run(net)
    assert dtypes["net/w"] == out["out"].dtype == module.w.dtype == F32
    assert module.seen[2] is None


def test_subclasses_do_not_inherit():
    mp.set_policy(Net, "bfloat16")
    assert mp.get_policy(Sub) is None
    _, (sub, out) = run(lambda: (m := Sub(), m(jnp.float32(1))))
    assert sub.w.dtype == out["out"].dtype == F32


def test_every_method_follows():
    with mp.push_policy(Net, "p=f32,c=f16,o=bf16"):
        _, dtype = run(lambda: Net().method(jnp.float32(1)).dtype)
    assert dtype == BF16


def test_an_inner_policy_is_asked_alone():
    with mp.push_policy(Net, "p=f32,c=f16,o=f32"), mp.push_policy(Inner, "float32"):
        dtypes, (module, _) = run(net)
    # Through float16 a third would have lost digits.
    assert module.inner.w == np.float32(1 / 3) and module.inner.w.dtype == F32
    assert module.w.dtype == F16 and module.inner_out.dtype == F32
    assert dtypes["net/inner/w"] == F32


def test_current_policy_is_the_innermost():
    seen = []

    class Outer(hk.Module):
        def __call__(self):
            seen.append(mp.current_policy())
            Middle()()
            seen.append(mp.current_policy())

    class Middle(hk.Module):
        def __call__(self):
            seen.append(mp.current_policy())

    policy = mp.Policy.parse("bf16")
    with mp.push_policy(Middle, policy):
        run(lambda: Outer()())
        assert mp.current_policy() is None
    assert seen == [None, policy, None] * 2


def test_nested_push_restores():
    first, second = mp.Policy.parse("f16"), mp.Policy.parse("bf16")
    with mp.push_policy(Net, first):
        with pytest.raises(KeyError), mp.push_policy(Net, second):
            assert mp.get_policy(Net) == second
            raise KeyError
        assert mp.get_policy(Net) == first
    assert mp.get_policy(Net) is None


def test_classes_of_one_name_made_in_functions_are_told_apart():
    def factory():
        class Local(hk.Module):
            def __call__(self, x):
                return x

        return Local

    one, two = factory(), factory()
    with mp.push_policy(one, "f16"), mp.push_policy(two, "bf16"):
        _, dtypes = run(lambda: (one()(jnp.ones([])).dtype, two()(jnp.ones([])).dtype))
    assert dtypes == (F16, BF16)


def test_a_class_loaded_again_keeps_its_policy():
    again = type(
        "Inner", (hk.Module,), {"__qualname__": "Inner", "__module__": __name__}
    )
    with mp.push_policy(Inner, "f16"):
        assert again is not Inner and mp.get_policy(again) == mp.Policy.parse("f16")


def test_interceptors_see_what_the_method_sees():
    seen = []

    def interceptor(next_f, args, kwargs, context):
        out = next_f(*args, **kwargs)
        if context.method_name == "__call__":
            seen.append((args[0].dtype, out.dtype))
        return out

    def f():
        with (
            hk.intercept_methods(interceptor),
            mp.push_policy(Inner, "p=f32,c=f16,o=f32"),
        ):
            return Inner()(jnp.float32(1)).dtype

    _, dtype = run(f)
    assert seen == [(F16, F16)] * 2 and dtype == F32


def test_set_inside_an_interceptor_stays():
    def f():
        with hk.intercept_methods(lambda f, a, k, c: f(*a, **k)):
            mp.set_policy(Inner, "f16")
        return Inner()(jnp.float32(1)).dtype

    assert run(f)[1] == F16


def test_each_thread_has_its_own_policies():
    mp.set_policy(Net, "f16")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(mp.get_policy(Net)))
    thread.start()
    thread.join()
    assert seen == [None] and mp.get_policy(Net) is not None


def test_dataclass_modules_follow_a_policy():
    @dataclasses.dataclass
    class Scale(hk.Module):
        factor: jax.Array

        def __call__(self, x):
            return x * self.factor

    with mp.push_policy(Scale, "p=f32,c=bf16,o=f16"):
        _, out = run(lambda: Scale(jnp.float32(2))(jnp.float32(3)))
    assert out == 6 and out.dtype == F16


def test_batch_norm_in_full_inside_half():
    def f(x):
        return hk.Sequential(
            [hk.Linear(3), lambda x: hk.BatchNorm(True, True, 0.9)(x, True)]
        )(x)

    with (
        mp.push_policy(hk.Linear, "p=f32,c=bf16,o=bf16"),
        mp.push_policy(hk.BatchNorm, "p=f32,c=f32,o=bf16"),
    ):
        f = hk.transform_with_state(f)
        params, state = f.init(jax.random.key(0), jnp.ones([2, 2]))
        out, state = f.apply(params, state, None, jnp.ones([2, 2]))
    leaves = jax.tree.leaves((params, state))
    assert {leaf.dtype for leaf in leaves} == {F32, jnp.dtype("int32")}
    assert out.dtype == BF16


def test_push_inside_the_same_class_is_an_error():
    class Pushes(hk.Module):
        def __call__(self):
            with mp.push_policy(Pushes, "f16"):
                pass

    with pytest.raises(ValueError, match="same class is not supported"):
        run(lambda: Pushes()())


@pytest.mark.parametrize("cls", [int, 5, ("Linear",)])
@pytest.mark.parametrize(
    "function", ["set_policy", "get_policy", "clear_policy", "push_policy"]
)
def test_classes_are_module_classes(cls, function):
    args = (cls, "f16") if function in ("set_policy", "push_policy") else (cls,)
    with pytest.raises(TypeError, match=f"{function} takes a subclass of hk.Module"):
        out = getattr(mp, function)(*args)
        out.__enter__()


def test_policies_are_policies():
    with pytest.raises(AssertionError, match="clear_policy"):
        mp.set_policy(Net, None)
    with pytest.raises(TypeError, match="jmp.Policy; got int: 3"):
        mp.set_policy(Net, 3)


def test_the_policy_of_module_is_that_of_every_module_without_its_own():
    half, full = "bfloat16", "float32"
    net = hk.transform(lambda x: hk.nets.MLP([3, 2])(x))
    x = jnp.ones((1, 4))
    with hk.mixed_precision.push_policy(hk.Module, half):
        params = net.init(jax.random.key(0), x)
        assert {w.dtype for w in jax.tree.leaves(params)} == {jnp.dtype(half)}
        assert net.apply(params, None, x).dtype == half
        with hk.mixed_precision.push_policy(hk.Linear, full):
            params = net.init(jax.random.key(0), x)
            assert {w.dtype for w in jax.tree.leaves(params)} == {jnp.dtype(full)}
        with hk.mixed_precision.push_policy("**/linear_1", full):
            params = net.init(jax.random.key(0), x)
            dtypes = {path: named["w"].dtype for path, named in params.items()}
            assert dtypes == {"mlp/~/linear_0": half, "mlp/~/linear_1": full}
    assert hk.mixed_precision.get_policy(hk.Module) is None
    assert net.apply(net.init(jax.random.key(0), x), None, x).dtype == full


def test_pushing_the_policy_of_all_modules_inside_one_is_an_error():
    class Inside(hk.Module):
        def __call__(self, x):
            with hk.mixed_precision.push_policy(hk.Module, "bfloat16"):
                return x

    with pytest.raises(ValueError, match="inside a method"):
        hk.testing.transform_and_run(lambda: Inside()(1.0))()
