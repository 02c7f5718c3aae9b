"""Blueprints keep their names, whatever methods and transformations are around them."""

import concurrent.futures

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk
from haiku._core.runs.frame import frames

X = jax.ShapeDtypeStruct((2, 3), jnp.float32)

# Statements: use a blueprint, build a module, call a method again and again, or go
# through a transformation of Haiku's.
USE = st.tuples(st.just("use"), st.integers(0, 3))
PLAIN = st.tuples(st.just("plain"), st.sampled_from([None, "leaf", "other"]))
LIFTED = {
    "remat": lambda f: hk.remat(f),
    "jit": lambda f: hk.jit(f),
    "vmap": lambda f: lambda x: hk.vmap(f, split_rng=False)(x[None])[0],
    "jvp": lambda f: lambda x: hk.jvp(f, (x,), (x,))[0],
    "map": lambda f: lambda x: hk.map(f, x[None])[0],
    "scan": lambda f: lambda x: hk.scan(lambda c, _: (f(c), None), x, None, 2)[0],
    "cond": lambda f: lambda x: hk.cond(True, f, lambda x: 2 * f(x), x),
    "layer_stack": lambda f: hk.layer_stack(2)(lambda x: f(x)),
}


def bodies(statements):
    body = st.lists(statements, min_size=1, max_size=3)
    return st.one_of(
        USE,
        PLAIN,
        st.tuples(st.just("call"), body, st.integers(1, 2)),
        st.tuples(st.just("lift"), st.sampled_from(list(LIFTED)), body),
        st.tuples(st.just("branches"), body, body),
        # Loops draw keys, and the condition of one must not.
        st.tuples(st.just("loop"), st.lists(st.one_of(USE, PLAIN), max_size=2), body),
    )


PROGRAMS = st.lists(
    st.recursive(st.one_of(USE, PLAIN), bodies, max_leaves=6), min_size=1, max_size=4
)


class Leaf(hk.Module):
    def __init__(self, size, name=None):
        super().__init__(name=name)
        self.w = hk.get_parameter("w", [size], init=jnp.ones)

    def __call__(self, x):
        return x * self.w


class Net(hk.Module):
    def __call__(self, body, x, tools):
        return run(body, x, tools)


def run(body, x, tools):
    blueprints, log = tools
    for kind, *rest in body:
        if kind == "use":
            blueprint = blueprints[rest[0]]
            log.append((rest[0], _where(), blueprint.build().module_name))
            x = blueprint(x)
        elif kind == "plain":
            leaf = Leaf(x.shape[-1], rest[0])
            log.append(("plain", _where(), leaf.module_name))
            x = leaf(x)
        elif kind == "call":
            net = Net()
            for _ in range(rest[1]):
                x = net(rest[0], x, tools)
        elif kind == "branches":
            one, two = rest
            x = hk.cond(
                True,
                lambda x, one=one: run(one, x, tools),
                lambda x, two=two: run(two, x, tools),
                x,
            )
        elif kind == "loop":
            test, inside = rest
            x = hk.while_loop(
                lambda x, test=test: run(test, x, tools).sum() > 1e9,
                lambda x, inside=inside: run(inside, x, tools),
                x,
            )
        else:
            x = LIFTED[rest[0]](lambda x, body=rest[1]: run(body, x, tools))(x)
    return x


def _where():
    """The names of a stack's layers belong to an inner frame."""
    return frames.get()[-1]


def program(body, log):
    blueprints = [hk.Blueprint(Leaf, 3) for _ in range(3)]
    blueprints.append(blueprints[0].replace(name="other"))
    return hk.transform(lambda x: run(body, x, (blueprints, log)))


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(PROGRAMS)
def test_one_blueprint_has_one_path_that_is_its_own(body):
    log = []
    net = program(body, log)
    params = jax.eval_shape(net.init, jax.random.PRNGKey(0), X)
    owners = {}
    for who, frame, path in log:
        owner = owners.get((frame, path))
        if who == "plain":
            # Names of other modules fork; those of blueprints don't.
            assert owner in (None, "plain")
        elif owner != "plain":
            assert owner in (None, who)
        if owner is None:
            owners[frame, path] = who
    for who in range(4):
        for frame in {frame for w, frame, _ in log if w == who}:
            assert len({p for w, f, p in log if (w, f) == (who, frame)}) == 1
    # And `apply` uses the same.
    jax.eval_shape(net.apply, params, None, X)


def test_threads():
    body = [("use", 0), ("call", [("use", 1), ("plain", None), ("use", 0)], 2)]
    net = program(body, [])
    x = np.ones([2, 3], np.float32)

    def work(_):
        params = net.init(0, x)
        return sorted(params), net.apply(params, None, x)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(24)))
    for names, out in results:
        assert names == ["leaf", "net/leaf", "net/leaf_1"]
        np.testing.assert_array_equal(out, x)
