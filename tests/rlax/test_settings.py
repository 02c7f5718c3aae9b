"""Every op under the settings that JAX users have.

Ops are traced, not compiled, which shows shapes, dtypes and what is refused.
"""

import contextlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import op_table
import pytest
from jax import export
from leak_checks import checking_leaks
from op_table import (
    KEEP_FLOAT32,
    NEED_A_STEP,
    NO_GRADIENT,
    OPS,
    SEQUENCES,
    TRANSITION,
    T,
    arguments,
    is_float,
    leaves_of,
)

import rlax

pytestmark = pytest.mark.tables

HALVES = (jnp.bfloat16, jnp.float16)


def gradient(name):
    """The gradient of the sum of an op's outputs in its float arguments."""
    if name in NO_GRADIENT:
        return leaves_of(name)

    def of(*args):
        floats = {i: x for i, x in enumerate(args) if is_float(x)}

        def loss(floats):
            out = leaves_of(name)(*(floats.get(i, x) for i, x in enumerate(args)))
            return sum(jnp.sum(x).astype(jnp.float32) for x in out if is_float(x))

        return jax.tree.leaves(jax.grad(loss)(floats))

    return of


def outlines(name, **options):
    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arguments(name, **options)]


def resized(name, time, lead=()):
    """The arguments of a sequence op with another length, and a batch after time."""
    return [
        jax.ShapeDtypeStruct((x.shape[0] - T + time, *lead, *x.shape[1:]), x.dtype)
        for x in arguments(name)
    ]


def halved(args, dtype):
    return [jax.ShapeDtypeStruct(x.shape, dtype) if is_float(x) else x for x in args]


def symbols(*names):
    # Two neighbours need a memory of at least two.
    scope = export.SymbolicScope([f"{name} >= 2" for name in names])
    return [export.symbolic_shape(name, scope=scope)[0] for name in names]


def exported(f, args):
    return export.export(jax.jit(f))(*args).out_avals


def rank_promotion(name):
    with jax.numpy_rank_promotion("raise"):
        jax.eval_shape(leaves_of(name), *outlines(name))
        jax.eval_shape(gradient(name), *outlines(name))


def dtype_promotion(name):
    with jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.float32, *HALVES):
            args = halved(outlines(name), dtype)
            jax.eval_shape(leaves_of(name), *args)
            jax.eval_shape(gradient(name), *args)


def half_precision(name):
    for dtype in HALVES:
        args = halved(outlines(name), dtype)
        out = jax.eval_shape(leaves_of(name), *args)
        if name not in KEEP_FLOAT32:
            assert {x.dtype for x in out if is_float(x)} <= {jnp.dtype(dtype)}
        for given, grad in zip(
            filter(is_float, args), jax.eval_shape(gradient(name), *args)
        ):
            assert grad.dtype == given.dtype


def symbolic_batch(name):
    (b,) = symbols("b")
    args = [jax.ShapeDtypeStruct((b, *x.shape), x.dtype) for x in outlines(name)]
    out = exported(jax.vmap(leaves_of(name)), args)
    assert all(x.shape[0] == b for x in out)


# These need sizes as numbers: how many samples are the best half, how many atoms
# `jnp.searchsorted` searches, and how many stay of a pool.
NEEDS_NUMBERS = {
    *("vmpo_loss", "vmpo_weights", "categorical_td_learning", "categorical_q_learning"),
    *("categorical_double_q_learning", "categorical_l2_project", "tqc_loss"),
}


def symbolic_sizes(name):
    """Axes of 4, 5 and 6 elements get symbolic sizes; without vmap."""
    sizes = {4: "s", 5: "t", 6: "u"}
    used = {n for x in arguments(name) for n in x.shape if n in sizes}
    names = dict(zip(used, symbols(*(sizes[n] for n in used))))
    args = [
        jax.ShapeDtypeStruct(tuple(names.get(n, n) for n in x.shape), x.dtype)
        for x in outlines(name)
    ]
    out = exported(leaves_of(name), args)
    want = jax.eval_shape(leaves_of(name), *outlines(name))
    assert [x.ndim for x in out] == [x.ndim for x in want]


def symbolic_time(name):
    """Time and the batch after it get symbolic sizes."""
    t, b = symbols("t", "b")
    sizes = (T, 7)
    want = [
        x.shape for x in jax.eval_shape(leaves_of(name), *resized(name, T, sizes[1:]))
    ]
    out = exported(leaves_of(name), resized(name, t, (b,)))
    names = {T: t, 7: b}
    for x, shape in zip(out, want, strict=True):
        assert x.shape == tuple(names.get(size, size) for size in shape)


def empty_batch(name):
    out = jax.eval_shape(jax.vmap(leaves_of(name)), *outlines(name, lead=(0,)))
    assert all(x.shape[0] == 0 for x in out)
    jax.eval_shape(jax.vmap(gradient(name)), *outlines(name, lead=(0,)))


def empty_time(name):
    for shape in ((0, ()), (0, (2,)), (T, (0,))):
        args = resized(name, *shape)
        if shape[0] == 0 and name in NEED_A_STEP:
            with pytest.raises(rlax.ContractError, match="T would be 0|at least one"):
                jax.eval_shape(leaves_of(name), *args)
        elif all(size >= 0 for x in args for size in x.shape):
            out = jax.eval_shape(leaves_of(name), *args)
            jax.eval_shape(gradient(name), *args)
            want = jax.eval_shape(leaves_of(name), *resized(name, T, shape[1]))
            assert [x.ndim for x in out] == [x.ndim for x in want]


def one_step(name):
    for context in (contextlib.nullcontext(), jax.disable_jit()):
        with context:
            jax.eval_shape(leaves_of(name), *resized(name, 1))
            jax.eval_shape(gradient(name), *resized(name, 1))


def without_jit(name):
    want = jax.eval_shape(leaves_of(name), *outlines(name))
    with jax.disable_jit():
        out = jax.eval_shape(leaves_of(name), *outlines(name))
        jax.eval_shape(gradient(name), *outlines(name))
    assert [(x.shape, x.dtype) for x in out] == [(x.shape, x.dtype) for x in want]


def nested_jits(name):
    with checking_leaks():
        inner = jax.jit(leaves_of(name))
        jax.jit(lambda *x: jax.jit(inner)(*x)).trace(*outlines(name))


def vmap_of_grad(name):
    with checking_leaks():
        mapped = jax.vmap(jax.jit(gradient(name)))
        jax.jit(mapped).trace(*outlines(name, lead=(2,)))


def remat_and_scan(name):
    """Inside a scan and a checkpoint, like a loss in a training loop."""
    args = arguments(name)

    def body(carry, _):
        return carry, jax.checkpoint(leaves_of(name))(*args)

    jax.jit(lambda: jax.lax.scan(body, 0.0, length=2)[1]).trace()


def numpy_closed_over(name):
    one = [np.asarray(x) for x in arguments(name)]
    batch = [np.asarray(x) for x in arguments(name, lead=(2,))]
    for f in (leaves_of(name), gradient(name)):
        jax.jit(lambda f=f: f(*one)).trace()
        jax.jit(lambda f=f: jax.vmap(f)(*batch)).trace()


def numpy_keys(name):
    """Keys as NumPy arrays, which can only hold legacy keys."""
    with pytest.MonkeyPatch.context() as patch:
        of_numpy = np.asarray(jax.random.PRNGKey(0))
        patch.setattr(op_table, "key", lambda: of_numpy)
        jax.eval_shape(leaves_of(name), *outlines(name))


def lists(name):
    """Lists of Python numbers instead of arrays."""
    args = arguments(name)
    out = jax.eval_shape(lambda: leaves_of(name)(*(x.tolist() for x in args)))
    want = jax.eval_shape(leaves_of(name), *args)
    assert [x.shape for x in out] == [x.shape for x in want]


SETTINGS = {
    f.__name__: (f, rows)
    for rows, fs in {
        tuple(OPS): [
            *(rank_promotion, dtype_promotion, half_precision, symbolic_batch),
            *(empty_batch, without_jit, nested_jits, vmap_of_grad, remat_and_scan),
            *(numpy_closed_over, numpy_keys),
        ],
        tuple(n for n in TRANSITION if n not in NEEDS_NUMBERS): [symbolic_sizes],
        tuple(SEQUENCES): [symbolic_time, empty_time, one_step],
    }.items()
    for f in fs
}
CASES = [(name, setting) for setting, (_, rows) in SETTINGS.items() for name in rows]


@pytest.mark.parametrize(("name", "setting"), CASES)
def test_setting(name, setting):
    SETTINGS[setting][0](name)


def test_every_public_op_has_a_row():
    source = inspect.getsource(op_table)
    # Classes that ops take or return, which the rows use under other names.
    by_other_names = {
        "ContractError",
        "EmaMoments",
        "EmaState",
        "GaussianMixture",
        "IcmOutput",
        "OptionOutput",
        "PolicyTarget",
        "ReturnScaleState",
        "RunningStatistics",
        "ScaledBeta",
        "TanhGaussian",
        "TxPair",
        "VonMises",
    }
    missing = {n for n in rlax.__all__ if f"rlax.{n}" not in source}
    assert missing <= by_other_names
