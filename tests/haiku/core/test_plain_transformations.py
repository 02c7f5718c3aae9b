"""Plain JAX transformations around parameters, state and keys: what is sound.

The expected rows stand in `tests/haiku/tables`, which the guide includes.
"""

import importlib
import inspect

import jax
import jax.ad_checkpoint
import jax.custom_batching
import jax.numpy as jnp
import jax.scipy.sparse.linalg
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P
from tables import check_row, rows

import haiku as hk
from haiku._core.leaks.jax_transformations import transformations
from haiku._core.leaks.watch import JaxUsageError

pytestmark = pytest.mark.tables

KEY = jax.random.key(0)
X = jnp.arange(1.0, 5.0)


def custom_vjp(f):
    g = jax.custom_vjp(f)
    g.defvjp(lambda x: (f(x), None), lambda _, ct: (ct,))
    return g


def custom_jvp(f):
    g = jax.custom_jvp(f)
    g.defjvp(lambda x, dx: (f(*x), dx[0]))
    return g


def shard_map(f):
    mesh = jax.make_mesh((1,), ("i",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.shard_map(f, mesh=mesh, in_specs=P("i"), out_specs=P("i"))


def looped(loop):
    """`loop` as a function of one argument, which it takes as its carry."""
    return lambda f: lambda x: loop(f, x)


def by_element(f):
    """`f` as a function of a number."""
    return lambda x: f(jnp.broadcast_to(x, (4,)))[0]


# Functions of JAX that call a function as it is, as many of them as there are leaves.
CALLERS = {
    "jax.tree.map": lambda f: lambda x: jax.tree.map(f, {"a": x})["a"],
    "jax.tree.map_with_path": lambda f: (
        lambda x: jax.tree.map_with_path(lambda _, x: f(x), [x])[0]
    ),
    "jax.tree.reduce": lambda f: lambda x: jax.tree.reduce(lambda _, x: f(x), [x, x]),
    "jax.tree.reduce_associative": lambda f: (
        lambda x: jax.tree.reduce_associative(lambda _, x: f(x), [x, x])
    ),
    "jax.tree_util.tree_map": lambda f: lambda x: jax.tree_util.tree_map(f, [x])[0],
    "jax.tree_util.Partial": jax.tree_util.Partial,
    "jax.named_call": jax.named_call,
    "jax.profiler.annotate_function": jax.profiler.annotate_function,
    "jax.numpy.apply_over_axes": lambda f: (
        lambda x: jnp.apply_over_axes(lambda x, _: f(x), x, [0])
    ),
}
# Each takes a function of a vector, and returns one.
TRANSFORMATIONS = {
    "jax.jit": jax.jit,
    "jax.remat": jax.checkpoint,
    "jax.vmap": lambda f: lambda x: jax.vmap(f)(x[None]),
    "jax.pmap": lambda f: lambda x: jax.pmap(f)(x[None]),
    "jax.shard_map": shard_map,
    "jax.grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "jax.value_and_grad": lambda f: jax.value_and_grad(lambda x: f(x).sum()),
    "jax.jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
    "jax.vjp": lambda f: lambda x: jax.vjp(f, x)[0],
    "jax.linearize": lambda f: lambda x: jax.linearize(f, x)[0],
    "jax.jacfwd": jax.jacfwd,
    "jax.jacrev": jax.jacrev,
    "jax.hessian": lambda f: jax.hessian(lambda x: f(x).sum()),
    "jax.custom_vjp": custom_vjp,
    "jax.custom_jvp": custom_jvp,
    "jax.lax.scan": looped(lambda f, x: jax.lax.scan(lambda c, _: (f(c), c), x, X)),
    "jax.lax.map": lambda f: lambda x: jax.lax.map(f, x[None]),
    "jax.lax.fori_loop": looped(
        lambda f, x: jax.lax.fori_loop(0, 2, lambda _, c: f(c), x)
    ),
    "jax.lax.while_loop": looped(
        lambda f, x: jax.lax.while_loop(
            lambda c: c[0] < 2, lambda c: (c[0] + 1, f(c[1])), (0, x)
        )
    ),
    "jax.lax.cond": looped(lambda f, x: jax.lax.cond(x[0] > 0, f, lambda x: x, x)),
    "jax.lax.switch": looped(
        lambda f, x: jax.lax.switch(jnp.int32(0), [f, lambda x: x], x)
    ),
    "jax.lax.associative_scan": looped(
        lambda f, x: jax.lax.associative_scan(lambda a, b: f(b), jnp.stack([x, x]))
    ),
    "jax.eval_shape": lambda f: lambda x: jax.eval_shape(f, x) and None,
    "jax.make_jaxpr": lambda f: lambda x: jax.make_jaxpr(f)(x) and None,
    "jax.fwd_and_bwd": lambda f: lambda x: jax.fwd_and_bwd(f, (0,))[0](x)[0],
    "jax.linear_transpose": lambda f: lambda x: jax.linear_transpose(f, x) and None,
    "jax.closure_convert": lambda f: lambda x: jax.closure_convert(f, x) and None,
    "jax.custom_gradient": lambda f: jax.custom_gradient(
        lambda x: (f(x), lambda cotangent: cotangent)
    ),
    "jax.custom_batching.sequential_vmap": jax.custom_batching.sequential_vmap,
    "jax.lax.platform_dependent": looped(
        lambda f, x: jax.lax.platform_dependent(x, cpu=f, default=f)
    ),
    "jax.numpy.vectorize": lambda f: (
        lambda x: jnp.vectorize(f, signature="(n)->(n)")(x[None])
    ),
    "jax.numpy.apply_along_axis": lambda f: (
        lambda x: jnp.apply_along_axis(f, 1, x[None])
    ),
    "jax.numpy.pad": lambda f: lambda x: jnp.pad(x[:2], 1, lambda row, *_: f(row)),
    "jax.numpy.fromfunction": lambda f: (
        lambda x: jnp.fromfunction(lambda i: f(x + i), (2,))
    ),
    "jax.numpy.frompyfunc": lambda f: jnp.frompyfunc(by_element(f), 1, 1),
    "jax.numpy.piecewise": lambda f: (
        lambda x: jnp.piecewise(x, [x > 2], [by_element(f), 0])
    ),
    **CALLERS,
}


def weight():
    return hk.get_parameter("w", (4,), init=hk.initializers.RandomNormal())


def parameter(x):
    return x * weight()


def counted(x):
    n = hk.get_state("n", (), jnp.int32, init=jnp.zeros)
    hk.set_state("n", n + 1)
    return x


def remembered(x):
    hk.set_state("s", x * 2)
    return x


def noise(x):
    return x + jax.random.normal(hk.next_rng_key(), x.shape)


def before(effect):
    """What a program did before, outside of the transformation."""
    if effect is parameter:
        weight()
    elif effect is counted:
        counted(X)
    elif effect is remembered:
        remembered(X)


EFFECTS = {
    "init: parameter read": (True, parameter, True),
    "init: parameter made": (True, parameter, False),
    "init: state set": (True, counted, True),
    "init: state made": (True, remembered, False),
    "init: key asked": (True, noise, False),
    "apply: parameter read": (False, parameter, True),
    "apply: state set": (False, counted, True),
    "apply: state set from the argument": (False, remembered, True),
    "apply: key asked": (False, noise, False),
}
# What an error has to name.
TOUCHED = {
    parameter: "parameter ~/w",
    counted: "state ~/n",
    remembered: "state ~/s",
    noise: "random key",
}
WORKS, LAST, RAISES = "yes", "last", "**raises**"


def verdict(around, initialising, effect, with_before, jitted, and_then=True):
    """What a cell of the table says, and that what works is sound."""

    def f(x):
        if with_before:
            before(effect)
        # A new function each time: JAX remembers those it has traced.
        out = around(lambda x: effect(x))(x)
        if effect is noise and and_then:
            noise(x)
        return out

    def without(x):
        if with_before:
            before(effect)
        effect(x)
        if effect is noise and and_then:
            noise(x)

    net, plain = hk.transform_with_state(f), hk.transform_with_state(without)
    params, state = plain.init(KEY, X)
    compiled = jax.jit if jitted else lambda f: f
    try:
        if initialising:
            have, want = compiled(net.init)(KEY, X), (params, state)
        else:
            _, have = compiled(net.apply)(params, state, KEY, X)
            _, want = plain.apply(params, state, KEY, X)
            if effect is counted:  # JAX runs the function again for some.
                assert have["~"]["n"] >= want["~"]["n"]
                have = want
    except JaxUsageError as error:
        if effect is noise and and_then:
            alone = verdict(around, initialising, effect, with_before, jitted, False)
            if alone == WORKS:
                assert "before" in str(error) and __file__ in str(error)
                return LAST
        assert "hk." in str(error) or "around `init` or `apply`" in str(error)
        assert __file__ in str(error), "the error names the line"
        assert TOUCHED[effect] in str(error)
        return RAISES
    assert jax.tree.structure(have) == jax.tree.structure(want)
    if effect is not remembered:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5), have, want)
    return WORKS


@pytest.mark.filterwarnings("ignore:.*pmap.*:DeprecationWarning")
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_row(name):
    around = TRANSFORMATIONS[name]
    cells = []
    for initialising, effect, with_before in EFFECTS.values():
        found = [
            verdict(around, initialising, effect, with_before, jitted)
            for jitted in (False, True)
        ]
        cells.append(" / ".join(dict.fromkeys(found)))
    check_row("jax_transformations", name, cells)


@pytest.mark.filterwarnings("ignore:.*pmap.*:DeprecationWarning")
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_which_transformation_comes_first_does_not_matter(name):
    """They are found at the first need, which may be inside any of them."""
    expected, found = transformations(), []

    def f(x):
        transformations.cache_clear()
        found.append(transformations())
        return x

    TRANSFORMATIONS[name](f)(X)
    assert found[0] == expected


# Functions of JAX that take a function and have no row, and why.
WITHOUT_A_ROW = {
    "the host calls it when the program runs": (
        "jax.pure_callback jax.make_array_from_callback jax.debug.callback "
        "jax.debug.inspect_array_sharding"
    ),
    "takes a predicate of nodes, or how to take a node apart": (
        "jax.tree_util.register_pytree_node jax.tree_util.register_pytree_with_keys"
    ),
    "another one over an axis or a window": (
        "jax.smap jax.lax.reduce_window jax.lax.scatter_apply"
    ),
    "takes no function that closes over a tracer": "jax.lax.composite jax.lax.reduce",
    "fails before it calls its function, without a rule": (
        "jax.custom_batching.custom_vmap"
    ),
    "traces its function several times, and JAX says what leaks from one to the next": (
        "jax.lax.custom_root jax.lax.custom_linear_solve jax.scipy.sparse.linalg.cg "
        "jax.scipy.sparse.linalg.bicgstab jax.scipy.sparse.linalg.gmres"
    ),
    "another name": (
        "jax.checkpoint jax.jacobian jax.numpy.ufunc jax.tree_util.tree_map_with_path "
        "jax.tree_util.tree_reduce jax.tree_util.tree_reduce_associative"
    ),
    "value_and_grad in while loops": "jax.scipy.optimize.minimize",
    "prints": "jax.ad_checkpoint.print_saved_residuals",
    "counts where a function puts ones": "jax.numpy.mask_indices",
    "takes an array, whatever the name": "jax.numpy.gradient jax.numpy.tile",
    "a result": "jax.scipy.optimize.OptimizeResults",
    "an undocumented option": "jax.numpy.einsum",
}
MODULES = (
    "jax jax.numpy jax.tree jax.tree_util jax.lax jax.scipy.optimize jax.debug "
    "jax.scipy.sparse.linalg jax.ad_checkpoint jax.custom_batching jax.profiler"
)
# How JAX calls arguments that are functions, where annotations don't tell.
FUNCTIONS = {"f", "fun", "func", "function", "fn", "callback", "pyfunc", "A"}
FUNCTIONS |= {"body_fun", "funclist"}


def takes_a_function(value):
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return False
    return any(
        name in FUNCTIONS or (name != "is_leaf" and "Callable" in str(p.annotation))
        for name, p in parameters.items()
    )


def test_every_function_of_jax_that_takes_one_has_a_row():
    there = set(" ".join([*WITHOUT_A_ROW.values(), *TRANSFORMATIONS]).split())
    found = set()
    for module in map(importlib.import_module, MODULES.split()):
        names = [n for n in dir(module) if n[0] != "_" and n not in ("config",)]
        found |= {
            f"{module.__name__}.{name}"
            for name in names
            if callable(getattr(module, name))
            and takes_a_function(getattr(module, name))
        }
    assert len(found) > 60
    assert found - there == set()


@pytest.mark.parametrize("effect", [parameter, counted, remembered, noise])
@pytest.mark.parametrize("name", CALLERS)
def test_callers_change_nothing_inside_transformations(name, effect):
    """A call through them is what it is without, in any transformation around."""
    caller = CALLERS[name]
    for around in ("jax.vmap", "jax.grad", "jax.jit"):
        transform = TRANSFORMATIONS[around]
        for initialising in (True, False):
            args = initialising, effect, True, around != "jax.jit"
            through = verdict(lambda f: transform(caller(f)), *args)  # noqa: B023
            assert through == verdict(transform, *args), (around, args)


def test_a_function_of_the_users_is_not_taken_for_one_of_jax():
    """Whatever it is called, and whatever its module is called."""
    names = ["map", "scan", "cond", "jvp", "vmap_f", "cache_miss", "pure_f"]
    names += ["run_in_frame"]
    source = "\n".join(f"def {name}(f, x): return f(x)" for name in names)
    module = {"__name__": "jax.numbers"}
    exec(source, module)
    for name in names:

        def f(x, name=name):
            loss = lambda x: module[name](noise, x).sum()  # noqa: E731
            return jax.value_and_grad(loss)(x), hk.next_rng_key()

        (value, _), _ = hk.transform(f).apply({}, KEY, X)
        np.testing.assert_allclose(
            value, hk.transform(lambda x: noise(x).sum()).apply({}, KEY, X), 1e-6
        )

        def leaks(x, name=name):
            return module[name](jax.checkpoint(parameter), x)

        with pytest.raises(JaxUsageError, match=r"inside jax\.remat"):
            hk.transform(leaks).init(KEY, X)


# ---- Programs that users brought to the reference's threads -----------------------


def trained(net, *batches, rate=0.1, state=None):
    """Losses of plain gradient descent on the mean of what `net` returns."""
    params = net.init(KEY, batches[0])

    def loss(params, batch):
        return jnp.mean(net.apply(params, KEY, batch))

    losses = []
    for batch in batches:
        value, gradient = jax.jit(jax.value_and_grad(loss))(params, batch)
        params = jax.tree.map(lambda w, g: w - rate * g, params, gradient)
        losses.append(float(value))
    return losses


def test_a_penalty_on_the_gradient_by_the_input():
    """Thread #16: JAX's own grad inside, of a module that has its parameters."""

    def critic(x):
        mlp = hk.nets.MLP([8, 1], activation=jnp.tanh)
        scores = mlp(x)
        slope = jax.vmap(jax.grad(lambda x: mlp(x[None])[0, 0]))(x)
        return scores[:, 0] + 10 * (jnp.linalg.norm(slope, axis=-1) - 1) ** 2

    x = jax.random.normal(KEY, (6, 3))
    losses = trained(hk.transform(critic), *[x] * 20, rate=0.01)
    assert losses[-1] < losses[0]


def test_a_network_over_sets_of_sets():
    """Thread #84: JAX's own vmap inside, twice, over one set of parameters."""

    def f(x):  # [B, N, D]
        encoder, head = hk.nets.MLP([8, 4]), hk.Linear(1)
        encoder(x[0, 0])  # makes its parameters, once
        return head(jax.vmap(jax.vmap(encoder))(x).mean(1))

    net = hk.transform(f)
    x = jax.random.normal(KEY, (5, 7, 3))
    params = net.init(KEY, x)
    flat = hk.transform(lambda x: hk.nets.MLP([8, 4])(x))
    encoded = flat.apply(params, None, x.reshape(35, 3)).reshape(5, 7, 4)
    head = params["linear"]
    expected = encoded.mean(1) @ head["w"] + head["b"]
    np.testing.assert_allclose(net.apply(params, None, x), expected, 1e-5, 1e-5)


def test_early_exit():
    """Thread #100: JAX's own cond inside, between modules that were made before it."""

    def f(x):
        cheap, dear = hk.Linear(2, name="cheap"), hk.nets.MLP([8, 2], name="dear")
        if hk.running_init():
            return cheap(x) + dear(x)
        return jax.lax.cond(jnp.max(jnp.abs(x)) < 1, cheap, dear, x)

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, jnp.ones(3))
    cheap = jax.jit(net.apply)(params, 0.5 * jnp.ones(3))
    w, b = params["cheap"]["w"], params["cheap"]["b"]
    np.testing.assert_allclose(cheap, 0.5 * w.sum(0) + b, 1e-6)
    assert not np.allclose(net.apply(params, 2 * jnp.ones(3)), 2 * w.sum(0) + b)


def test_checkpointed_blocks():
    """Thread #176: JAX's own checkpoint inside saves memory at `apply`."""

    def f(x, checkpoint=lambda block: block):
        for _ in range(3):
            block = hk.nets.MLP([4, 4], activation=jnp.tanh)
            x = checkpoint(block)(x) if not hk.running_init() else block(x)
        return x.sum()

    net = hk.without_apply_rng(hk.transform(f))
    params = net.init(KEY, X)
    gradient = jax.grad(net.apply)(params, X, jax.checkpoint)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6),
        gradient,
        jax.grad(net.apply)(params, X),
    )
    assert "remat" in str(
        jax.make_jaxpr(lambda p: net.apply(p, X, jax.checkpoint))(params)
    )


def test_a_decoder_that_reads_what_it_wrote():
    """Thread #214: JAX's own scan inside, its error at `init`, and the way out."""

    def decoder(scan, x):
        cell = hk.GRU(4)

        def step(state, _):
            out, state = cell(state[:4], state)
            return state, out

        return scan(step, x, None, length=5)[1]

    plain = hk.transform(lambda x: decoder(jax.lax.scan, x))
    with pytest.raises(JaxUsageError, match=r"jax\.lax\.scan.*hk\.scan"):
        plain.init(KEY, X)
    net = hk.transform(lambda x: decoder(hk.scan, x))
    params = net.init(KEY, X)
    np.testing.assert_array_equal(
        net.apply(params, None, X), plain.apply(params, None, X)
    )


def test_noise_in_a_vmapped_policy():
    """Thread #632: a key inside JAX's own vmap is one for all; `hk.vmap` splits it."""

    def act(vmap, x):
        policy = lambda x: x + jax.random.normal(hk.next_rng_key(), x.shape)  # noqa: E731
        return vmap(policy)(x)

    x = jnp.zeros((4, 3))
    shared = hk.transform(lambda x: act(jax.vmap, x)).apply({}, KEY, x)
    assert (shared == shared[0]).all()
    own = hk.transform(lambda x: act(lambda f: hk.vmap(f, split_rng=True), x)).apply(
        {}, KEY, x
    )
    assert len(np.unique(own, axis=0)) == 4


def test_every_row_of_the_table_is_checked():
    assert set(rows("jax_transformations")) == set(TRANSFORMATIONS)
