"""Random programs: what `init` and `apply` give does not depend on how they are run.

Hypothesis builds programs of nested modules, lifted transformations, shared modules,
state and keys. `RANDOM_PROGRAMS=2000` runs more of them; they are slow.
"""

import contextlib
import itertools
import os
import zlib
from concurrent.futures import ThreadPoolExecutor

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
from haiku._core.runs.frame import frames
from haiku._core.runs.lifting import lifting
from haiku._core.variables import hooks

NUMBER = int(os.environ.get("RANDOM_PROGRAMS", "8"))
KEY = jax.random.key(7)
X = jnp.linspace(-1.0, 1.0, 4)

# A program is a list of operations on a vector; an operation is its kind, a small
# number, and programs inside it.
LEAVES = ("linear", "shared", "state", "key", "norm", "tied name")
AROUND = (
    "module",
    "method",
    "scope",
    "remat",
    "jit",
    "scan",
    "map",
    "fori_loop",
    "while_loop",
    "vmap",
    "vmap own keys",
    "ensemble",
    "grad",
    "custom_vjp",
    "custom_jvp",
    "associative_scan",
    "stack",
)
BRANCHING = ("cond", "switch")
small = st.integers(0, 2)
leaf = st.tuples(st.sampled_from(LEAVES), small, st.just(()))


def longer(programs):
    inside = st.lists(programs, min_size=1, max_size=2).map(tuple)
    return st.one_of(
        st.tuples(st.sampled_from(AROUND), small, st.tuples(inside)),
        st.tuples(st.sampled_from(BRANCHING), small, st.tuples(inside, inside)),
    )


operation = st.recursive(leaf, longer, max_leaves=5)
program = st.lists(operation, min_size=1, max_size=3).map(tuple)
# What `layer_stack` can unroll: nothing from outside, no state, no keys.
uniform = st.lists(
    st.recursive(
        st.tuples(st.sampled_from(("linear", "norm")), small, st.just(())),
        lambda inside: st.tuples(
            st.sampled_from(("module", "method", "remat", "jit", "fori_loop", "scan")),
            small,
            st.tuples(st.lists(inside, min_size=1, max_size=2).map(tuple)),
        ),
        max_leaves=4,
    ),
    min_size=1,
    max_size=2,
).map(tuple)


class Boom(Exception):
    pass


class Block(hk.Module):
    def __call__(self, run, x):
        return run(x)

    def other(self, run, x):
        return run(x)


class Run:
    """One run of a program; fails at the given operation, counted from 0."""

    def __init__(self, fail_at=None):
        self.countdown = fail_at
        self.shared = None
        self.differentiating = False

    def __call__(self, ops, x):
        self.shared = [hk.Linear(4, name=f"common_{i}") for i in range(3)]
        for module in self.shared:
            x = jnp.tanh(module(x))
        return self.all(ops, x)

    def all(self, ops, x):
        for kind, n, inside in ops:
            if self.countdown is not None:
                self.countdown -= 1
                if self.countdown < 0:
                    raise Boom
            x = jnp.tanh(self.one(kind, n, inside, x))
        return x

    def one(self, kind, n, inside, x):
        f = lambda x: self.all(inside[0], x)  # noqa: E731
        if kind == "linear":
            return hk.Linear(4)(x)
        if kind == "tied name":
            return hk.Linear(4, name=f"chosen{n}")(x)
        if kind == "shared":
            return self.shared[n](x) if self.shared else hk.Linear(4)(x)
        if kind == "state":
            count = hk.get_state("count", (), init=jnp.zeros)
            hk.set_state("count", count + 1)
            return x + 0.1 * count
        if kind == "key":
            return x + jax.random.normal(hk.next_rng_key(), (4,))
        if kind == "norm":
            return hk.LayerNorm(-1, True, True)(x)
        if kind == "module":
            return Block()(f, x)
        if kind == "method":
            return Block().other(f, x)
        if kind == "scope":
            with hk.name_scope(f"scope{n}"):
                return f(x)
        if kind == "remat":
            return hk.remat(f)(x)
        if kind == "jit":
            return hk.jit(f)(x)
        if kind == "scan":
            carry, ys = hk.scan(lambda c, a: (f(c + a), c), x, jnp.ones((n, 4)))
            return carry + ys.sum(0)
        if kind == "map":
            return hk.map(f, jnp.stack([x] * (n + 1))).sum(0)
        if kind == "fori_loop" or (kind == "while_loop" and self.differentiating):
            return hk.fori_loop(0, n, lambda _, c: f(c), x)  # JAX can't differentiate
        if kind == "while_loop":  # ... this one backward.
            again = lambda c: c[0] < n  # noqa: E731
            return hk.while_loop(again, lambda c: (c[0] + 1, f(c[1])), (0, x))[1]
        if kind == "vmap":
            return hk.vmap(f, split_rng=False)(jnp.stack([x, -x])).sum(0)
        if kind == "vmap own keys":
            both = hk.vmap(f, split_rng=not hk.running_init())(jnp.stack([x, -x]))
            return both.sum(0)
        if kind in ("ensemble", "stack"):
            # What one name stands for must have one shape, in all branches too.
            what = zlib.crc32(repr((n, inside)).encode())
            with hk.name_scope(f"{kind}_{what}_inside"):
                if kind == "ensemble":
                    return hk.ensemble(f, n + 1)(x).mean(0)
                shared, self.shared = self.shared, None  # must not be closed over
                try:
                    return hk.layer_stack(n + 1)(f)(x)
                finally:
                    self.shared = shared
        if kind == "grad":
            before, self.differentiating = self.differentiating, True
            try:
                return hk.grad(lambda x: f(x).sum())(x)
            finally:
                self.differentiating = before
        if kind == "custom_vjp":
            g = hk.custom_vjp(f)
            g.defvjp(lambda x: (f(x), None), lambda _, ct: (ct,))
            return g(x)
        if kind == "custom_jvp":
            g = hk.custom_jvp(f)
            g.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
            return g(x)
        if kind == "associative_scan":
            xs = jnp.stack([x] * (n + 1))
            many = lambda a, b: hk.vmap(f, split_rng=False)(a) + b  # noqa: E731
            return hk.associative_scan(many, xs)[-1]
        branches = [lambda x, ops=ops: self.all(ops, x) for ops in inside]
        if kind == "cond":
            return hk.cond(jnp.bool_(n % 2), *branches, x)
        return hk.switch(jnp.int32(n), branches, x)


def transformed(ops, fail_at=None):
    return hk.transform_with_state(lambda x: Run(fail_at)(ops, x))


def close(a, b, tolerance=2e-4):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), a, b
    )


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def nothing_left():
    # Interceptors are left out: policies put theirs at the bottom for good.
    stacks = (frames, lifting, hooks.param_creators)
    return all(not stack.get() for stack in stacks)


started = itertools.count(1)


def free_memory(every=100):
    """XLA fails when a process holds many thousands of compiled programs."""
    if next(started) % every == 0:
        jax.clear_caches()


many = hypothesis.settings(
    max_examples=NUMBER,
    deadline=None,
    derandomize="RANDOM_PROGRAMS" not in os.environ,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.mark.slow
@many
@hypothesis.given(program, st.integers(0, 5))
def test_a_program_however_it_is_run(ops, fail_at):
    free_memory()
    net = transformed(ops)
    init, apply = jax.jit(net.init), jax.jit(net.apply)
    params, state = net.init(KEY, X)
    close(init(KEY, X), (params, state), 1e-5)
    other = jax.eval_shape(net.init, jax.random.key(1), X)
    assert jax.tree.map(jnp.shape, (params, state)) == jax.tree.map(
        lambda x: x.shape, other
    )
    out = net.apply(params, state, KEY, X)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(out))
    assert jax.tree.structure(out[1]) == jax.tree.structure(state)
    close(apply(params, state, KEY, X), out)
    # An error at any point leaves nothing behind.
    failing = transformed(ops, fail_at)
    for call, args in ((failing.init, ()), (failing.apply, (params, state))):
        with contextlib.suppress(Boom):
            jax.eval_shape(call, *args, KEY, X)
        assert nothing_left()
    assert jax.eval_shape(net.init, jax.random.key(1), X) == other


@pytest.mark.slow
@many
@hypothesis.given(uniform, st.integers(1, 3))
def test_a_stack_is_its_layers(ops, layers):
    free_memory()

    def unrolled(x):
        for i in range(layers):
            with hk.name_scope(f"layer{i}"):
                x = Run().all(ops, x)
        return x

    stacked = hk.transform(
        lambda x: hk.layer_stack(layers)(lambda x: Run().all(ops, x))(x)
    )
    flat = hk.without_apply_rng(hk.transform(unrolled))
    params = flat.init(KEY, X)
    shapes = jax.eval_shape(stacked.init, KEY, X)
    prefix = "__layer_stack_no_per_layer/"
    values = {
        path: {
            name: jnp.stack(
                [
                    params[path.replace(prefix, f"layer{i}/")][name]
                    for i in range(layers)
                ]
            )
            for name in named
        }
        for path, named in shapes.items()
    }
    assert sum(map(len, values.values())) * layers == sum(map(len, params.values()))
    close(stacked.apply(values, None, X), flat.apply(params, X))


@pytest.mark.slow
@hypothesis.settings(many, max_examples=max(1, NUMBER // 8))
@hypothesis.given(st.lists(program, min_size=8, max_size=8), st.integers(0, 5))
def test_programs_in_eight_threads(programs, fail_at):
    free_memory(every=6)

    def run(i):
        net = transformed(programs[i], fail_at if i % 3 == 2 else None)
        try:
            params, state = net.init(KEY, X)
            return params, state, net.apply(params, state, KEY, X)
        except Boom:
            return None
        finally:
            assert nothing_left()

    one_by_one = [run(i) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(run, range(8)))
    for a, b in zip(one_by_one, together):
        assert (a is None) == (b is None)
        if a is not None:
            same(a, b)
    assert nothing_left()


def test_every_kind_of_operation_runs():
    """Whatever Hypothesis chose above."""
    inner = (("linear", 0, ()), ("state", 0, ()), ("key", 0, ()))
    for kind in (*AROUND, *BRANCHING):
        inside = (inner,) * (2 if kind in BRANCHING else 1)
        net = transformed(((kind, 2, inside),))
        params, state = net.init(KEY, X)
        out, _ = jax.jit(net.apply)(params, state, KEY, X)
        assert np.all(np.isfinite(out)), kind
    with pytest.raises(Boom):
        transformed((("linear", 0, ()),), 0).init(KEY, X)
