"""Programs for Haiku's layers, nets, initialisers and padding, for `run.py`.

A program is an expression of `x`, `y` and `z`; its name is the expression and what it
is given: `hk.Linear(3)(x)  |  i32[2,4]`. It runs through `init` and `apply`, with one
key; parameters, states and outputs are compared.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

KEY = jax.random.PRNGKey(42)

# Thousands of small programs, each run once: compiling is all that takes time.
jax.config.update("jax_disable_most_optimizations", True)


def _floats(shape):
    return np.sin(1.0 + np.arange(np.prod(shape, dtype=int))).reshape(shape)


def _integers(shape):
    return (np.arange(np.prod(shape, dtype=int)) * 7 % 5).reshape(shape)


def _tuples(nested):
    return tuple(map(_tuples, nested)) if isinstance(nested, list) else nested


def choices(text):
    """The choices that `|` separates."""
    return text.split(" | ")


KINDS = {
    "f32": lambda s: jnp.asarray(_floats(s), jnp.float32),
    "bf16": lambda s: jnp.asarray(_floats(s), jnp.bfloat16),
    "f16": lambda s: jnp.asarray(_floats(s), jnp.float16),
    "i32": lambda s: jnp.asarray(_integers(s), jnp.int32),
    "u8": lambda s: jnp.asarray(_integers(s), jnp.uint8),
    "bool": lambda s: jnp.asarray(_integers(s) > 1),
    "np.f32": lambda s: np.asarray(_floats(s), np.float32),
    "np.f64": _floats,
    "np.i64": lambda s: np.asarray(_integers(s), np.int64),
    "np.bool": lambda s: _integers(s) > 1,
    "list": lambda s: _floats(s).tolist(),
    "list.i": lambda s: _integers(s).tolist(),
    "tuple": lambda s: _tuples(_floats(s).tolist()),
    "ones": lambda s: jnp.ones(s),
    "zeros": lambda s: jnp.zeros(s),
}


def _value(text):
    """`f32[2,3]` as an array; anything else as Python reads it."""
    kind, bracket, shape = text.partition("[")
    if kind in KINDS and bracket:
        sizes = shape.rstrip("]").split(",")
        return KINDS[kind](tuple(int(n) for n in sizes if n))
    return eval(text, dict(NAMESPACE))


def every_kind(shape):
    return [f"{kind}[{shape}]" for kind in KINDS if kind not in ("ones", "zeros")]


def vary(template, **options):
    """`template` with the first option of each, then with each other one in turn."""
    first = {name: values[0] for name, values in options.items()}
    yield template.format(**first)
    for name, values in options.items():
        for value in values[1:]:
            yield template.format(**{**first, name: value})


def product(template, **options):
    """`template` with each combination of options."""
    for values in itertools.product(*options.values()):
        yield template.format(**dict(zip(options, values)))


def _core(core, x, state=None):
    return core(x, core.initial_state(None if x.ndim == 1 else x.shape[0]))


def _half(core):
    """The core, with states as bfloat16."""
    initial = core.initial_state
    core.initial_state = lambda n: jax.tree.map(
        lambda s: s.astype(jnp.bfloat16), initial(n)
    )
    return core


def _tree_sum(tree):
    return sum(jnp.sum(jnp.asarray(x, jnp.float32)) for x in jax.tree.leaves(tree))


NAMESPACE = {
    "hk": hk,
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "init": hk.initializers,
    "nets": hk.nets,
    "pad": hk.pad,
    "KEY": KEY,
    "core": _core,
    "half": _half,
    "tree_sum": _tree_sum,
    "partial": functools.partial,
}

DENSE = every_kind("3,4") + choices(
    "f32[] | f32[4] | f32[2,3,4] | f32[1,4] | f32[0,4] | f32[3,0] | "
    "2.5 | 3 | np.float32(2) | None"
)
IMAGE = choices(
    "f32[2,5,6,4] | bf16[2,5,6,4] | f16[2,5,6,4] | i32[2,5,6,4] | "
    "np.f32[2,5,6,4] | np.f64[2,5,6,4] | bool[2,5,6,4] | u8[2,5,6,4] | "
    "np.i64[2,5,6,4] | list[2,5,6,4] | f32[5,6,4] | i32[5,6,4] | "
    "f32[0,5,6,4] | f32[2,0,6,4] | f32[2,5,6,1] | f32[3,2,5,6,4] | "
    "f32[6,4] | f32[2,1,1,4]"
)
SIGNAL = choices("f32[2,7,4] | bf16[2,7,4] | i32[2,7,4] | np.f64[2,7,4] | f32[7,4]")
SIGNAL += choices("f32[0,7,4] | f32[2,0,4] | f32[3,2,7,4] | list[2,7,4] | bool[2,7,4]")
VOLUME = choices("f32[2,3,4,5,4] | i32[2,3,4,5,4] | f32[3,4,5,4] | bf16[2,3,4,5,4]")
FEW = choices("f32[3,4] | f32[2,3,4] | i32[3,4]")


def affine():
    sizes = choices("3 | np.int64(3) | jnp.int32(3) | 0 | 1 | True")
    inits = choices(
        "None | jnp.ones | np.ones | init.Constant(2) | init.Constant(True)"
    )
    inits += ["lambda s, d: np.full(s, 2.0)", "lambda s, d: 2 * jnp.ones(s)"]
    inits += choices("lambda *_: 2 | lambda *_: 2.0 | lambda s, d: jnp.ones(s, bool)")
    inits += ["lambda s, d: np.ones(s).tolist()", "init.Constant([[1, 2, 3]])"]
    b_inits = choices(
        "None | jnp.ones | init.Constant([1, 2, 3]) | np.ones | lambda *_: 2"
    )
    linear = vary(
        "hk.Linear({size}, with_bias={bias}, w_init={w}, b_init={b})(x{precision})",
        size=sizes,
        bias=choices("True | False | 0 | None"),
        w=inits,
        b=b_inits,
        precision=choices(
            " | , precision='highest' | , precision=jax.lax.Precision.HIGH"
        ),
    )
    yield from itertools.product(linear, FEW)
    yield from itertools.product(
        ["hk.Linear(3)(x)", "hk.Linear(3, w_init=jnp.ones)(x)"], DENSE
    )
    bias = vary(
        "hk.Bias({size}, {dims}, {b})(x{multiplier})",
        size=choices("None | 4 | (4,) | [4] | np.array([4]) | (3, 4) | np.int64(4)"),
        dims=choices(
            "None | [] | () | [-1] | (1,) | [1, 2] | [-2] | [-1, -2] | [0] | "
            "np.array([-1]) | [np.int64(1)] | [-1, 1] | [3] | range(1, 2) | -1 | "
            "1 | {1} | [-3]"
        ),
        b=choices("jnp.ones | None | init.Constant(2) | lambda *_: 2 | np.ones"),
        multiplier=choices(
            " | , 2 | , -1.0 | , True | , np.float32(2) | , jnp.ones([3, 1]) | "
            ", np.ones(4) | , [1, 2, 3, 4] | , jnp.ones([2, 3, 4]) | "
            ", jnp.int32(2) | , multiplier=None | , jnp.bfloat16(2)"
        ),
    )
    yield from itertools.product(bias, FEW)
    yield from itertools.product(
        ["hk.Bias()(x)", "hk.Bias(None, [-1], jnp.ones)(x)"], DENSE
    )
    yield from itertools.product(
        choices(
            "hk.Sequential([hk.Linear(3, w_init=jnp.ones), jnp.tanh])(x) | "
            "hk.Sequential([])(x) | hk.Sequential((jnp.exp,))(x) | "
            "hk.Sequential(iter([jnp.exp, jnp.tanh]))(x) | "
            "hk.Sequential([jnp.add])(x, 1) | "
            "hk.Sequential([jax.nn.relu, jax.nn.silu])(x) | "
            "hk.Sequential([abs])(x) | hk.Sequential([np.abs, jax.nn.elu])(x) | "
            "hk.Sequential([jax.nn.celu, abs])(x)"
        ),
        DENSE,
    )


def shapes():
    reshape = vary(
        "hk.Reshape({shape}, preserve_dims={keep})(x)",
        shape=choices(
            "(2, -1) | [2, -1] | (-1,) | (12,) | () | [-1, 1] | "
            "(np.int64(2), -1) | (4, 3) | (-1, -1) | range(1, 2) | "
            "np.array([2, -1]) | 'ab' | (2.0,) | (0,) | (0, -1) | "
            "(jnp.int32(2), -1) | (True, -1) | 6 | -1"
        ),
        keep=choices("1 | 2 | -1 | -2 | 3 | 0 | 5 | -5 | np.int64(1) | True"),
    )
    inputs = choices(
        "f32[2,3,4] | i32[2,3,4] | np.f32[2,3,4] | f32[12] | f32[] | f32[0,3,4]"
    )
    inputs += choices(
        "f32[2,0,4] | f32[3,4] | list[2,12] | 2.5 | f32[2,2,3,4] | np.f64[2,12]"
    )
    yield from itertools.product(reshape, inputs)
    yield from itertools.product(
        vary(
            "hk.Flatten({keep})(x)",
            keep=choices(" | 2 | -1 | -2 | 0 | 4 | np.int64(2)"),
        ),
        inputs,
    )


def embeddings():
    embed = vary(
        "hk.Embed({sizes}, {rest})(x{call})",
        sizes=choices(
            "5, 3 | np.int64(5), 3 | None, None, jnp.ones([5, 3]) | 5, 0 | "
            "0, 3 | 5, 3, np.arange(15.0).reshape(5, 3) | "
            "None, 3, np.ones([5, 3]) | 5 | "
            "embedding_matrix=[[1.0, 2.0], [3.0, 4.0]] | 5.0, 3.0 | 1, 1 | "
            "4, 3 | embedding_matrix=np.arange(6).reshape(2, 3) | "
            "5, 3, jnp.ones([4, 3]) | "
            "None, None, jnp.ones([5, 3], jnp.bfloat16) | 5, 3, jnp.ones(5)"
        ),
        rest=choices(
            "lookup_style='ARRAY_INDEX' | lookup_style='ONE_HOT' | "
            "w_init=jnp.ones | lookup_style='one_hot' | "
            "lookup_style=hk.EmbedLookupStyle.ONE_HOT | lookup_style='one' | "
            "w_init=init.Constant(2) | w_init=lambda *_: 2 | lookup_style=1 | "
            "lookup_style='ONE_HOT', precision='highest'"
        ),
        call=choices(
            " | , 'ONE_HOT' | , hk.EmbedLookupStyle.ONE_HOT | , 'array_index' | "
            ", precision=jax.lax.Precision.DEFAULT"
        ),
    )
    inputs = choices("i32[3,4] | u8[4] | np.i64[3] | 3 | [1, 2] | (1, 2) | list.i[2,3]")
    inputs += choices("np.int64(2) | jnp.array([-1, 7]) | -1 | f32[3] | bool[3] | True")
    inputs += choices(
        "i32[0] | i32[2,0] | np.array([], int) | [] | 2.0 | jnp.int8([1, 2])"
    )
    yield from itertools.product(embed, inputs)


CONV = {
    "kernel": choices(
        "3 | (3, 2) | [3, 2] | np.int64(3) | 1 | (3,) | np.array([3, 2]) | "
        "3.0 | (1, 2, 3) | 0 | True | range(2, 4)"
    ),
    "stride": choices("1 | 2 | (2, 1) | [1, 2] | np.int64(2) | np.array([1, 2]) | 0"),
    "bias": ["True", "False"],
    "w": choices(
        "jnp.ones | None | init.Constant(2) | lambda *_: 2 | np.ones | "
        "init.Orthogonal() | lambda s, d: jnp.ones(s)"
    ),
    "b": choices("jnp.ones | None | init.Constant(2) | lambda *_: 2 | np.ones"),
}
PADDING = choices(
    "'SAME' | 'VALID' | 'same' | 'valid' | 'SAME_LOWER' | 'CAUSAL' | pad.same"
)
PADDING += choices(
    "pad.causal | [pad.causal, pad.full] | (pad.valid, pad.same) | (1, 1)"
)
PADDING += choices("[(1, 2), (0, 1)] | ((1, 2), (0, 1)) | [[1, 2], [0, 1]] | [1, 2]")
PADDING += choices(
    "np.array([[1, 2], [0, 1]]) | [(1, 2)] | (np.int64(1), np.int64(2)) | 1"
)
PADDING += choices(
    "lambda n: (1, n) | lambda n: [1, n] | lambda n: (n // 2, n // 2) | None"
)
PADDING += choices("[(np.int64(1), 2), (0, 1)] | [pad.same] | () | (1,)")
FORMATS = choices(
    "'NHWC' | 'NCHW' | 'channels_last' | 'channels_first' | 'NC' | 'HWC' | None"
)


def convolutions():
    template = "hk.{name}(3, {kernel}, {stride}, {rest})(x)"
    rest = (
        "padding={padding}, with_bias={bias}, w_init={w}, "
        "b_init={b}, data_format={format}"
    )
    main = ["f32[2,5,6,4]", "i32[5,6,4]"]
    for name in ("Conv2D", "DepthwiseConv2D"):
        plain = template.replace("{name}", name).replace(
            "{rest}", "rate={rate}, " + rest
        )
        options = {
            **CONV,
            "rate": CONV["stride"],
            "padding": PADDING,
            "format": FORMATS,
        }
        yield from itertools.product(vary(plain, **options), main)
    transposed = template.replace("{name}", "Conv2DTranspose").replace(
        "{rest}", "output_shape={out}, " + rest
    )
    out = choices(
        "None | (5, 6) | [5, 6] | 5 | np.array([5, 6]) | (np.int64(5), 6) | (9, 9)"
    )
    out += choices("(5,) | (5, 6, 7) | None")
    options = {**CONV, "padding": PADDING, "format": FORMATS, "out": out[:-1]}
    yield from itertools.product(vary(transposed, **options), main)
    yield from itertools.product(
        product(
            "hk.Conv2DTranspose(3, 3, {stride}, {out}, {padding}, w_init=jnp.ones)(x)",
            stride=choices("1 | 2 | (2, 3)"),
            out=choices("(5, 6) | (10, 12) | (9, 11) | (11, 13) | 10 | (10, 18)"),
            padding=choices("'SAME' | 'VALID' | 'same'"),
        ),
        ["f32[2,5,6,4]"],
    )
    separable = template.replace("{name}", "SeparableDepthwiseConv2D")
    separable = separable.replace("{rest}", rest)
    options = {**CONV, "padding": PADDING, "format": FORMATS}
    yield from itertools.product(vary(separable, **options), main)
    more = vary(
        "hk.ConvND({n}, {channels}, 3, mask={mask}, feature_group_count={groups},"
        " w_init=jnp.ones)(x)",
        n=choices("2 | 1 | 3 | 0 | np.int64(2) | True"),
        channels=choices("4 | np.int64(4) | 0 | 2 | 3"),
        mask=choices(
            "None | jnp.ones([3, 3, 4, 4]) | np.ones([3, 3, 4, 4]) | "
            "np.ones([3, 3, 1, 1]) | np.ones([3, 3, 4, 4], bool) | "
            "jnp.ones([3, 3]) | np.tri(3)[..., None, None] * np.ones([4, 4]) | "
            "2.0 | jnp.ones([]) | np.ones([3, 3, 4, 4], int) | np.ones([4]) | "
            "np.ones([3, 3, 4, 4]).tolist() | "
            "jnp.ones([3, 3, 4, 4], jnp.bfloat16)"
        ),
        groups=choices("1 | 2 | 4 | 3 | np.int64(2)"),
    )
    yield from itertools.product(more, main)
    yield from itertools.product(
        vary(
            "hk.ConvNDTranspose(2, {channels}, 3, mask={mask}, w_init=jnp.ones)(x)",
            channels=choices("4 | np.int64(4) | 0"),
            mask=choices(
                "None | jnp.ones([3, 3, 4, 4]) | np.ones([3, 3, 1, 1]) | "
                "np.ones([3, 3, 4, 4], bool) | np.ones([3, 3, 4, 4], int) | 2.0"
            ),
        ),
        main,
    )
    yield from itertools.product(
        vary(
            "hk.DepthwiseConv2D({m}, 3)(x)", m=choices("1 | 2 | np.int64(2) | 0 | True")
        ),
        main,
    )
    kinds = ["hk.Conv2D(3, 3, w_init=jnp.ones)(x)", "hk.Conv2D(3, 3)(x)"]
    kinds += ["hk.ConvND(2, 3, 3, w_init=jnp.ones, b_init=jnp.ones)(x)"]
    kinds += ["hk.Conv2DTranspose(3, 3, 2, w_init=jnp.ones)(x)"]
    kinds += ["hk.DepthwiseConv2D(2, 3, w_init=jnp.ones)(x)"]
    kinds += ["hk.SeparableDepthwiseConv2D(2, 3, w_init=jnp.ones)(x)"]
    kinds += [
        "hk.Conv2D(3, 3, data_format='NCHW', w_init=jnp.ones)(x, precision='high')"
    ]
    yield from itertools.product(kinds, IMAGE)
    signals = ["hk.Conv1D(3, 3, w_init=jnp.ones)(x)", "hk.ConvND(1, 3, [3])(x)"]
    signals += [
        "hk.Conv1D(3, 3, data_format='NCW')(x)",
        "hk.Conv1D(3, 3, padding=(1, 1))(x)",
    ]
    signals += [
        "hk.Conv1D(3, (3,), (2,), (1,), [(1, 1)])(x)",
        "hk.Conv1D(3, [3], [2])(x)",
    ]
    signals += ["hk.Conv1D(3, 3, padding=[pad.causal], b_init=jnp.ones)(x)"]
    signals += [
        "hk.Conv1DTranspose(3, 3, w_init=jnp.ones)(x)",
        "hk.DepthwiseConv1D(2, 3)(x)",
    ]
    signals += ["hk.Conv1DTranspose(3, 3, 2, output_shape=[14])(x)"]
    signals += ["hk.Conv1DTranspose(3, 3, 2, output_shape=14)(x)"]
    signals += [
        "hk.DepthwiseConv1D(2, 3, padding=(1, 1))(x)",
        "hk.Conv1D(3, 3, rate=2)(x)",
    ]
    yield from itertools.product(signals, SIGNAL)
    volumes = ["hk.Conv3D(3, 2, w_init=jnp.ones)(x)", "hk.Conv3DTranspose(3, 2)(x)"]
    volumes += [
        "hk.DepthwiseConv3D(2, 2)(x)",
        "hk.Conv3D(3, (1, 2, 2), padding='VALID')(x)",
    ]
    volumes += ["hk.Conv3D(3, 2, padding=[(0, 1), (1, 1), (1, 0)])(x)"]
    yield from itertools.product(volumes, VOLUME)


def pools():
    sizes = choices(
        "2 | (2, 2, 1) | [1, 2, 2, 1] | (1, 2, 2, 1) | np.int64(2) | (2, 1) | 3"
    )
    sizes += choices(
        "np.array([1, 2, 2, 1]) | 1 | (2,) | 2.0 | True | () | (1, 1, 2, 2, 1)"
    )
    for pool in ("max_pool", "avg_pool"):
        options = {
            "window": sizes,
            "strides": sizes,
            "padding": choices(
                "'SAME' | 'VALID' | 'same' | 'valid' | (1, 1) | pad.same"
            ),
            "axis": choices("-1 | 1 | None | 3 | -3 | 0 | np.int64(-1) | -4 | 4 | -2"),
        }
        call = f"hk.{pool}(x, {{window}}, {{strides}}, {{padding}}, {{axis}})"
        yield from itertools.product(
            vary(call, **options), ["f32[2,5,6,4]", "i32[5,6,4]"]
        )
        yield from itertools.product([f"hk.{pool}(x, 2, 2, 'SAME')"], IMAGE)
        both = choices("(1, 2, 2, 1) | [2, 2, 1] | 2 | (2, 2, 1)")
        yield from itertools.product(
            product(
                f"hk.{pool}(x, {{a}}, {{b}}, {{p}})",
                a=both,
                b=both,
                p=["'SAME'", "'VALID'"],
            ),
            [*IMAGE[:4], "f32[5,6,4]", "f32[6,4]", "f32[4]", "f32[]", "f32[0,5,6,4]"],
        )
    for pool in ("MaxPool", "AvgPool"):
        yield from itertools.product([f"hk.{pool}(2, 2, 'SAME')(x)"], IMAGE)


AXES = choices(
    "-1 | 1 | (1, 2) | [1, 2] | slice(1, None) | slice(1, -1) | slice(None) | 0"
)
AXES += choices(
    "np.int64(1) | np.array([1, 2]) | [np.int64(-1)] | range(1, 3) | () | (-1, -2)"
)
AXES += choices("slice(2, None) | (3,) | 9 | -9 | (1, 1) | (-1, 3) | None | 1.0 | 'a'")
AXES += choices(
    "(2, 1) | {1, 2} | True | slice(-1, None) | slice(None, None, 2) | [-1, 1]"
)
GIVEN = choices(
    " | , 2 | , 2.0 | , jnp.ones(4) | , jnp.ones([6, 4]) | , np.ones(4) | , None"
)
GIVEN += choices(", jnp.ones([1, 1, 1, 4]) | , jnp.ones([2, 5, 6, 4]) | , [1, 2, 3, 4]")
GIVEN += choices(
    ", jnp.ones([2, 1, 1, 1]) | , jnp.ones(4, int) | , jnp.ones(4, jnp.bfloat16)"
)
GIVEN += [", scale=jnp.ones(4), offset=jnp.ones(4)", ", scale=2, offset=np.float32(1)"]
GIVEN += choices(", jnp.ones([3, 2, 5, 6, 4]) | , jnp.array(2) | , jnp.ones([5, 1, 4])")
INITS = choices(
    "None | jnp.ones | init.Constant(2) | lambda *_: 2 | np.ones | lambda *_: 2.0"
)


def norms():
    main = ["f32[2,5,6,4]", "i32[2,5,6,4]"]
    layer = "hk.LayerNorm({axis}, {scale}, {offset}, eps={eps}, scale_init={init}, "
    layer += "use_fast_variance={fast}, param_axis={param_axis})(x)"
    options = {
        "axis": AXES,
        "scale": choices("True | False | 1"),
        "offset": choices("True | False | 0"),
        "eps": choices(
            "1e-5 | 0 | 1 | np.float64(1e-3) | jnp.float32(1e-3) | np.float32(1e-5)"
        ),
        "init": INITS,
        "fast": ["False", "True"],
        "param_axis": ["None", *AXES],
    }
    yield from itertools.product(vary(layer, **options), main)
    plain = "hk.LayerNorm(-1, False, False)(x{given})"
    yield from itertools.product(vary(plain, given=GIVEN), main[:1])
    rms = (
        "hk.RMSNorm({axis}, {eps}, {init}, "
        "create_scale={scale}, param_axis={param_axis})(x)"
    )
    del options["offset"], options["fast"]
    yield from itertools.product(vary(rms, **options), main)
    instance = (
        "hk.InstanceNorm({scale}, {offset}, {eps}, "
        "scale_init={init}, data_format={f})(x)"
    )
    del options["axis"], options["param_axis"]
    options |= {"offset": ["True", "False"], "f": FORMATS}
    yield from itertools.product(vary(instance, **options), main)
    plain = "hk.InstanceNorm(False, False)(x{given})"
    yield from itertools.product(vary(plain, given=GIVEN), main[:1])
    group = (
        "hk.GroupNorm({groups}, {axis}, {scale}, {offset}, "
        "{eps}, {init}, data_format={f})(x)"
    )
    options |= {"groups": choices("2 | 1 | 4 | 3 | np.int64(2) | 0 | 2.0")}
    options |= {"axis": ["slice(1, None)", *AXES]}
    yield from itertools.product(vary(group, **options), main)
    plain = "hk.GroupNorm(2, create_scale=False, create_offset=False)(x{given})"
    yield from itertools.product(vary(plain, given=GIVEN), main[:1])
    batch = "hk.BatchNorm({scale}, {offset}, {decay}, {eps}, {init}, axis={axis}, "
    batch += "data_format={f})(x, {training}{rest})"
    options |= {
        "decay": choices(
            "0.9 | 0 | np.float64(0.9) | jnp.float32(0.9) | 1 | np.float32(0.5)"
        ),
        "axis": ["None", *AXES],
        "training": choices("True | 1 | np.bool_(True) | jnp.array(True)"),
        "rest": choices(" | , True | , test_local_stats=True"),
    }
    yield from itertools.product(vary(batch, **options), main)
    plain = "hk.BatchNorm(False, False, 0.9)(x, True, False{given})"
    yield from itertools.product(vary(plain, given=GIVEN), main[:1])
    for call in ("False, True", "False, False", "0", "np.bool_(False), True"):
        norm = f"(lambda n: (n(x, hk.running_init()), n(x, {call})))"
        yield from itertools.product([norm + "(hk.BatchNorm(True, True, 0.9))"], main)
    kinds = choices(
        "hk.LayerNorm(-1, True, True)(x) | hk.RMSNorm(-1)(x) | hk.GroupNorm(2)(x)"
    )
    kinds += [
        "hk.InstanceNorm(True, True)(x)",
        "hk.BatchNorm(True, True, 0.9)(x, True)",
    ]
    kinds += [
        "hk.LayerNorm(-1, False, False)(x)",
        "hk.RMSNorm(-1, create_scale=False)(x)",
    ]
    kinds += [
        "hk.BatchNorm(False, False, 0.9)(x, True)",
        "hk.BatchNorm(1, 1, .9, axis=[0])(x, 1)",
    ]
    kinds += ["hk.LayerNorm(-1, True, True, use_fast_variance=True)(x)"]
    kinds += ["hk.GroupNorm(2, create_scale=False, create_offset=False)(x)"]
    kinds += ["hk.BatchNorm(True, True, 0.9, data_format='NCHW')(x, True)"]
    kinds += ["hk.InstanceNorm(True, True, data_format='NCHW')(x)"]
    kinds += ["hk.GroupNorm(1, data_format='NCHW')(x)"]
    yield from itertools.product(kinds, IMAGE)
    yield from itertools.product(kinds[:5], DENSE)
    two = "hk.GroupNorm(2)"
    yield from itertools.product(
        [f"(lambda n: n(x) + n(y))({two})"], ["f32[3,4]; f32[3,4]"]
    )
    yield f"(lambda n: (n(x), n(y)))({two})", "f32[3,5,4]; f32[2,6,4]"


def averages():
    mean = "hk.ExponentialMovingAverage({decay}, {debias}, {warmup})(x{rest})"
    options = {
        "decay": choices(
            "0.9 | 0 | 1 | np.float64(0.5) | jnp.float32(0.5) | "
            "np.float32(0.5) | jnp.array([0.1, 0.2, 0.3, 0.4]) | "
            "np.array([[0.1], [0.2], [0.3]]) | 2 | -1.0 | True | "
            "jnp.array(0.5, jnp.bfloat16)"
        ),
        "debias": choices("True | False | 0"),
        "warmup": choices("0 | 2 | -1 | np.int64(0)"),
        "rest": choices(" | , False | , update_stats=False | , np.bool_(True)"),
    }
    inputs = DENSE + choices("True | np.float64(2) | [1, 2] | np.i64[] | bool[]")
    yield from itertools.product(vary(mean, **options), [*FEW, "bf16[3,4]", "2.5"])
    yield from itertools.product(["hk.ExponentialMovingAverage(0.9)(x)"], inputs)
    yield from itertools.product(
        product(
            "(lambda m: [m(x), m(x), m.average])"
            "(hk.ExponentialMovingAverage(0.9, False, {warmup}))",
            warmup=choices("0 | 1 | 2 | 5 | np.int64(2)"),
        ),
        DENSE,
    )
    started = "(lambda m: (m.initialize({shape}), m.average{rest}))"
    yield from itertools.product(
        product(
            started + "(hk.ExponentialMovingAverage(0.9))",
            shape=choices(
                "[3, 4] | (3, 4) | () | jnp.ones([3]) | np.ones([3]) | 3 | x | "
                "[3], jnp.bfloat16 | [3], int | x.shape, x.dtype"
            ),
            rest=["", ", m(x)"],
        ),
        choices("f32[3,4] | i32[3] | bf16[3,4] | f32[]"),
    )
    for tree in ("EMAParamsTree(0.9", "SNParamsTree("):
        yield from itertools.product(
            product(
                f"hk.{tree}{{rest}})({{tree}})",
                rest=choices(" | , ignore_regex='.*b$' | , ignore_regex='a.*'")
                if "EMA" in tree
                else choices(" | ignore_regex='.*b$' | n_steps=2"),
                tree=choices(
                    "{'a/~/c': {'b': x}} | {'a': {'b': x, 'w': y}} | {} | {'a': {}} | "
                    "hk.data_structures.to_immutable_dict({'a': {'w': x}}) | x | [x] | "
                    "{'a': {'b': x, 'w': y}}, False | {'a': {'b': x, 'w': y}}, True"
                ),
            ),
            choices(
                "f32[3,4]; f32[3,4] | np.f32[3,4]; i32[3,4] | f32[4]; f32[3,4] | "
                "2.0; bf16[3,4] | bf16[3,4]; np.f64[3,4] | list[3,4]; f32[3,4]"
            ),
        )
    spectral = "hk.SpectralNorm({eps}, {steps})(x{rest})"
    yield from itertools.product(
        vary(
            spectral,
            eps=choices("1e-4 | 0 | np.float64(1e-3) | jnp.float32(1e-2) | 1"),
            steps=choices("1 | 3 | 0 | np.int64(2) | 2.0"),
            rest=choices(" | , False | , True, True | , error_on_non_matrix=False"),
        ),
        choices("f32[3,4] | bf16[3,4] | f32[2,3,3,4]"),
    )
    yield from itertools.product(
        ["hk.SpectralNorm()(x)"], [*DENSE, "bf16[2,3,4]", "f32[3,1]", "f32[1,4]"]
    )


def attention():
    layer = "hk.MultiHeadAttention({heads}, {key}, {rest})(x, y, z{mask})"
    options = {
        "heads": choices("2 | 1 | np.int64(2) | 0 | 3"),
        "key": choices("3 | np.int64(3) | 1"),
        "rest": choices(
            "w_init_scale=1.0 | w_init_scale=2 | w_init=jnp.ones | 0.0 | "
            "w_init_scale=1.0, with_bias=False | "
            "w_init_scale=1.0, b_init=jnp.ones | "
            "w_init_scale=1.0, value_size=5 | w_init_scale=1.0, model_size=7 | "
            "w_init=init.Constant(1), value_size=np.int64(5) | "
            "w_init=lambda *_: 2 | w_init_scale=np.float32(1) | "
            "w_init_scale=1, value_size=0 | 1.0"
        ),
        "mask": [""],
    }
    same = ["f32[2,5,4]; f32[2,5,4]; f32[2,5,4]", "f32[5,4]; f32[5,4]; f32[5,4]"]
    same += ["i32[2,5,4]; i32[2,5,4]; i32[2,5,4]", "f32[2,5,4]; f32[2,3,4]; f32[2,3,4]"]
    yield from itertools.product(vary(layer, **options), same)
    shapes = choices(
        "2,5,4; 2,3,4; 2,3,6 | 3,2,5,4; 3,2,3,4; 3,2,3,4 | 2,5,4; 3,4; 3,4 | "
        "5,4; 2,3,4; 2,3,4 | 1,5,4; 2,3,4; 2,3,4 | 2,5,4; 1,3,4; 2,3,4 | "
        "4; 4; 4 | 2,5,4; 2,3,4; 2,4,4 | 2,5,4; 3,3,4; 3,3,4 | "
        "0,5,4; 0,5,4; 0,5,4 | 2,0,4; 2,3,4; 2,3,4 | 2,5,4; 2,0,4; 2,0,4 | "
        "2,5,4; 2,1,4; 2,1,4 | 2,5,4; 2,1,4; 2,3,4 | 2,5,4; 2,3,4; 2,1,4 | "
        "2,5,4; 2,3,4; 3,4 | 5,4; 3,4; 2,3,4 | 3,1,5,4; 2,3,4; 3,2,3,4 | "
        "4; 3,4; 3,4 | 5,4; 4; 4 | 2,5,0; 2,5,4; 2,5,4"
    )
    for inputs in shapes:
        for kind in ("f32", "bf16", "np.f32"):
            args = "; ".join(f"{kind}[{s}]" for s in inputs.split("; "))
            for call in ("hk.MultiHeadAttention(2, 3, 1.0)(x, y, z)",):
                yield call, args
    mixed = [
        "f32[2,5,4]; bf16[2,5,4]; f32[2,5,4]",
        "f32[2,5,4]; f32[2,5,4]; i32[2,5,4]",
    ]
    mixed += [
        "bf16[2,5,4]; f16[2,5,4]; f32[2,5,4]",
        "np.f64[2,5,4]; f32[2,5,4]; f32[2,5,4]",
    ]
    mixed += [
        "list[2,5,4]; list[2,5,4]; list[2,5,4]",
        "u8[2,5,4]; f32[2,5,4]; bf16[2,5,4]",
    ]
    calls = ["hk.MultiHeadAttention(2, 3, w_init=jnp.ones)(x, y, z)"]
    calls += [
        "hk.MultiHeadAttention(2, 3, 1.0)(x, y, z)",
        "hk.MultiHeadAttention(2, 3, 1.0)(x, x, x)",
    ]
    yield from itertools.product(calls, [*mixed, *same])
    masks = choices(
        "jnp.tri(5)[None, None] | jnp.ones([2, 2, 5, 5]) | jnp.ones([2, 1, 5, 5], bool)"
    )
    masks += choices(
        "np.tri(5)[None, None] | np.tri(5, dtype=bool)[None, None] | jnp.tri(5)"
    )
    masks += choices(
        "jnp.ones([1, 1, 1, 5]) | jnp.ones([1, 1, 5, 1]) | jnp.ones([1, 1, 1, 1])"
    )
    masks += choices(
        "jnp.zeros([1, 1, 5, 5]) | jnp.tri(5, dtype=int)[None, None] | None | 1"
    )
    masks += choices(
        "jnp.tri(5)[None] | jnp.ones([3, 1, 5, 5]) | np.ones([1, 1, 5, 5]).tolist()"
    )
    masks += choices(
        "jnp.ones([1, 2, 5, 5]) | jnp.ones([1, 3, 5, 5]) | jnp.ones([1, 1, 1, 5, 5])"
    )
    masks += choices(
        "jnp.tri(5, dtype=jnp.bfloat16)[None, None] | -jnp.ones([1, 1, 5, 5]) | True"
    )
    masks += ["jnp.ones([7, 1, 5, 5])", "jnp.ones([1, 1, 5, 4])"]
    options = {"heads": ["2"], "key": ["3"], "rest": ["w_init_scale=1.0"]}
    options["mask"] = [f", {m}" for m in masks] + [f", mask={masks[0]}"]
    inputs = [*same[:3], "bf16[2,5,4]; bf16[2,5,4]; bf16[2,5,4]"]
    inputs += [
        "f16[2,5,4]; f16[2,5,4]; f16[2,5,4]",
        "f32[1,5,4]; f32[2,5,4]; f32[2,5,4]",
    ]
    yield from itertools.product(vary(layer, **options), inputs)


CORES = choices("hk.VanillaRNN(4) | hk.LSTM(4) | hk.GRU(4) | hk.IdentityCore()")
CORES += ["hk.DeepRNN([hk.LSTM(4), jnp.tanh, hk.GRU(3)])", "hk.DeepRNN([hk.GRU(4)])"]
CORES += ["hk.deep_rnn_with_skip_connections([hk.GRU(4), hk.LSTM(3)])"]
CORES += [
    "hk.VanillaRNN(4, double_bias=False)",
    "hk.GRU(4, jnp.ones, jnp.ones, jnp.ones)",
]
CORES += choices("hk.DeepRNN([]) | hk.DeepRNN([jnp.tanh]) | hk.LSTM(np.int64(4))")
CORES += choices(
    "hk.VanillaRNN(np.int64(4)) | hk.GRU(np.int64(4)) | hk.GRU(4, b_init=lambda *_: 2)"
)
CORES += [
    "hk.DeepRNN((hk.LSTM(4), hk.LSTM(4)))",
    "hk.GRU(4, w_i_init=init.Constant(1))",
]


def recurrence():
    inputs = choices(
        "f32[3,4] | f32[4] | bf16[3,4] | f16[3,4] | np.f32[3,4] | np.f64[3,4]"
    )
    inputs += choices(
        "i32[3,4] | f32[0,4] | f32[3,0] | f32[2,3,4] | f32[1,4] | bool[3,4]"
    )
    yield from itertools.product([f"core({c}, x)" for c in CORES], inputs)
    yield from itertools.product([f"core(half({c}), x)" for c in CORES[:3]], inputs)
    states = {
        "VanillaRNN": ["y"],
        "GRU": ["y"],
        "LSTM": choices(
            "hk.LSTMState(y, y) | (y, y) | [y, y] | y | hk.LSTMState(y, 0 * y)"
        ),
    }
    pairs = choices(
        "3,5; 3,4 | 5; 4 | 3,5; 4 | 5; 3,4 | 3,5; 1,4 | 1,5; 3,4 | 3,5; 3,1"
    )
    pairs += choices("3,5; 1 | 3,5;  | 2,3,5; 2,3,4 | 2,3,5; 3,4 | 2,3,5; 4 | 3,5; 2,4")
    pairs += choices("3,5; 2,3,4 | 3,5; 3,5 | 0,5; 0,4 | 1,5; 4 | 3,5; 1,1 | 1,5; 1,4")
    kinds = [("f32", "f32"), ("f32", "i32"), ("bf16", "f32"), ("f32", "bf16")]
    kinds += [("i32", "f32"), ("np.f32", "np.f32"), ("bf16", "bf16"), ("f32", "np.f64")]
    kinds += [("f16", "bf16"), ("bool", "f32"), ("f32", "bool"), ("f32", "list")]
    for name, given in states.items():
        for state in given:
            for pair, (a, b) in [(p, kinds[0]) for p in pairs] + [
                (pairs[0], k) for k in kinds
            ]:
                x, y = pair.split("; ")
                yield f"hk.{name}(4)(x, {state})", f"{a}[{x}]; {b}[{y}]"
    resets = choices(
        "jnp.array([True, False, True]) | np.array([True, False, True]) | True"
    )
    resets += choices(
        "jnp.array(True) | jnp.array([1, 0, 1]) | [True, False, True] | False"
    )
    resets += choices(
        "jnp.array([[True], [False], [True]]) | jnp.ones([3, 4], bool) | 1"
    )
    resets += choices(
        "jnp.array([1.0, 0.0, 1.0]) | jnp.ones([1], bool) | np.bool_(True)"
    )
    resets += choices(
        "jnp.ones([1, 1], bool) | jnp.ones([4], bool) | jnp.ones([3, 1, 1], bool)"
    )
    resets += [
        "jax.tree.map(lambda s: jnp.ones(s.shape, bool), c.initial_state(3))",
        "None",
    ]
    resets += choices(
        "jax.tree.map(lambda s: jnp.ones(3, bool), c.initial_state(3)) | 2 | 0.0"
    )
    for core in CORES[:5]:
        call = (
            "(lambda c: c((x, {reset}), "
            "jax.tree.map(lambda s: s + 1, c.initial_state({n}))))"
        )
        call += f"(hk.ResetCore({core}))"
        yield from itertools.product(product(call, reset=resets, n=["3"]), ["f32[3,4]"])
        yield from itertools.product(
            product(
                call,
                reset=choices("True | jnp.array(False) | jnp.array([True])"),
                n=["None"],
            ),
            ["f32[4]"],
        )
    yield from itertools.product(
        choices(
            "core(hk.Conv2DLSTM((5, 6), 3, 3), x) | "
            "core(hk.Conv2DLSTM([5, 6], 3, [3, 2]), x) | "
            "hk.Conv2DLSTM((5, 6), 3, 3)(x, "
            "hk.Conv2DLSTM((5, 6), 3, 3).initial_state(None)) | "
            "hk.Conv2DLSTM((5, 6), 3, 3)(x, "
            "hk.Conv2DLSTM((5, 6), 3, 3).initial_state(2)) | "
            "core(hk.Conv2DLSTM(np.array([5, 6]), 3, np.array([3, 2])), x) | "
            "core(hk.Conv2DLSTM((5, 6), np.int64(3), np.int64(3)), x) | "
            "core(hk.Conv2DLSTM((1, 6), 3, 3), x) | "
            "core(hk.Conv2DLSTM((1, 1), 3, 3), x)"
        ),
        IMAGE,
    )
    yield from itertools.product(["core(hk.Conv1DLSTM((7,), 3, 3), x)"], SIGNAL)
    yield from itertools.product(
        ["core(hk.Conv3DLSTM((3, 4, 5), 3, 2), x)"], VOLUME[:2]
    )


def unrolls():
    inputs = choices(
        "f32[5,3,4] | bf16[5,3,4] | np.f32[5,3,4] | i32[5,3,4] | f32[1,3,4]"
    )
    inputs += choices(
        "f32[0,3,4] | f32[5,0,4] | np.f64[5,3,4] | f16[5,3,4] | f32[5,1,4]"
    )
    call = "(lambda c: hk.{unroll}(c, x, c.initial_state({n}){rest}))({core})"
    rests = choices(
        " | , False | , reverse=True | , return_all_states=True | , unroll=2"
    )
    rests += choices(
        ", True, True, True | , unroll=7 | , time_major=False, reverse=True | , 1"
    )
    rests += choices(", unroll=True | , unroll=np.int64(2) | , unroll=0 | , reverse=1")
    for core in CORES[:7]:
        for n in ("x.shape[1]", "x.shape[0]"):
            chosen = [r for r in rests if (n == "x.shape[0]") == ("False" in r)]
            for rest in chosen:
                text = call.format(unroll="dynamic_unroll", n=n, rest=rest, core=core)
                yield from itertools.product(
                    [text], inputs if rest == "" else inputs[:1]
                )
        for rest in ("", ", False", ", time_major=True"):
            n = "x.shape[0]" if "False" in rest else "x.shape[1]"
            text = call.format(unroll="static_unroll", n=n, rest=rest, core=core)
            yield from itertools.product([text], inputs if rest == "" else inputs[:1])
    half = "(lambda c: hk.dynamic_unroll(c, x, c.initial_state(3)))(half({core}))"
    resets = (
        "(lambda c: hk.dynamic_unroll(c, (x, {r}), "
        "c.initial_state(3)))(hk.ResetCore({core}))"
    )
    flags = choices(
        "jnp.arange(5) > 2 | jnp.ones([5, 3], bool) | jnp.zeros([5, 3], int)"
    )
    flags += choices("np.arange(5) > 2 | jnp.ones([5, 1], bool) | np.ones([5, 3])")
    for core in CORES[:5]:
        yield from itertools.product([half.format(core=core)], inputs)
        yield from itertools.product(
            vary(resets, core=[core, f"half({core})"], r=flags), inputs[:3]
        )
    sums = choices(
        "lambda x, s: (x + s, x + s) | lambda x, s: (x, s) | lambda x, s: (s, 2 * s)"
    )
    sums += choices(
        "lambda x, s: ((x, None), s) | lambda x, s: (x * s, x) | lambda x, s: ({}, s)"
    )
    states = choices(
        "0.0 | 0 | jnp.zeros([]) | np.float32(0) | None | jnp.zeros([4]) | ()"
    )
    states += choices(
        "jnp.zeros([], int) | np.zeros([4]) | jnp.zeros([4], jnp.bfloat16) | [1.0]"
    )
    short = choices(
        "f32[3] | i32[3] | np.f32[3] | f32[3,4] | list[3] | f32[0] | f32[] | (1, 2)"
    )
    short += choices(
        "f32[1,4] | bf16[3,4] | np.i64[3] | bool[3] | [1.0, 2.0] | u8[3,4]"
    )
    for unroll in ("dynamic_unroll", "static_unroll"):
        call = f"hk.{unroll}({{f}}, x, {{state}})"
        yield from itertools.product(product(call, f=sums, state=states), short[:3])
        yield from itertools.product(product(call, f=sums[:2], state=["0.0"]), short)
        both = ["hk.{u}(lambda x, s: (x[0] + x[1], s + 1), (x, y), 0.0)"]
        both += ["hk.{u}(lambda x, s: (x['a'], s), {{'a': x, 'b': y, 'c': None}}, 0.0)"]
        pairs = choices(
            "f32[3]; f32[3] | f32[3]; f32[2] | f32[3,4]; i32[3,4] | f32[3]; np.f32[3]"
        )
        pairs += ["f32[3,4]; list[3,4]", "f32[3,4]; f32[3]"]
        yield from itertools.product([b.format(u=unroll) for b in both], pairs)


def functions():
    rates = choices(
        "0.5 | 0 | 0.0 | np.float64(0.5) | jnp.float32(0.5) | np.float32(0) | 1"
    )
    rates += choices(
        "1.0 | -0.1 | jnp.array(0.0) | False | True | jnp.array([0.1, 0.2, 0.3, 0.4])"
    )
    rates += choices(
        "np.array([[0.1], [0.2], [0.3]]) | [0.5] | jnp.bfloat16(0.5) | np.array(0.5)"
    )
    rates += choices("jnp.array([0.5]) | jnp.zeros(4) | 0.999999999")
    dims = choices(
        "() | (0,) | [1] | (-1,) | (0, 1) | range(1) | np.array([0]) | (5,) | 0"
    )
    dims += ["[np.int64(1)]", "{0}"]
    yield from itertools.product(
        vary(
            "hk.dropout({key}, {rate}, x, {dims})",
            rate=rates,
            dims=dims,
            key=choices(
                "hk.next_rng_key() | KEY | np.asarray(KEY) | jax.random.key(3) | "
                "None | 7 | jax.random.split(KEY)"
            ),
        ),
        [*FEW, "f32[4]", "bf16[3,4]", "np.f32[3,4]", "2.5"],
    )
    yield from itertools.product(
        ["hk.dropout(KEY, 0.5, x)", "hk.dropout(KEY, 0, x)"], DENSE
    )
    yield from itertools.product(
        vary(
            "hk.one_hot(x, {n}{dtype})",
            n=choices("4 | 0 | 1 | np.int64(4) | 4.0 | jnp.int32(4)"),
            dtype=choices(
                " | , jnp.bfloat16 | , int | , bool | , 'float16' | , dtype=np.int8"
            ),
        ),
        choices(
            "i32[3] | i32[] | 2 | np.i64[2,3] | f32[3] | [1, 2] | bool[3] | "
            "2.0 | u8[3] | True | (1, 7) | -1 | i32[0] | np.float32(1) | "
            "bf16[3] | list[3] | None"
        ),
    )
    yield from itertools.product(
        vary(
            "hk.multinomial({key}, {logits}, {n})",
            key=choices(
                "KEY | hk.next_rng_key() | np.asarray(KEY) | jax.random.key(3)"
            ),
            logits=choices("x | x.tolist() | 10 * x"),
            n=choices("5 | 1 | 0 | np.int64(5) | 5.0 | (2, 3) | jnp.int32(5)"),
        ),
        choices(
            "f32[4] | f32[3,4] | f32[2,3,4] | np.f32[3,4] | np.f64[4] | i32[4] | "
            "bf16[3,4] | f32[] | f32[0,4] | list[4] | bool[4] | (0.1, 0.9) | "
            "f32[1] | f16[4]"
        ),
    )
    calls = choices(
        "lambda a: 2 * a | lambda a: a.sum(-1) | lambda a: (a, {'b': a}) | jnp.tanh"
    )
    calls += choices(
        "lambda a: None | hk.Linear(3, w_init=jnp.ones) | hk.Flatten() | abs"
    )
    calls += choices(
        "lambda a: jnp.sum(a) | lambda a: a[0] | lambda a: np.asarray(a) | hk.Bias()"
    )
    calls += choices("lambda a: (a, 1.0) | lambda a: (a, None) | lambda a: 2.0")
    yield from itertools.product(
        [f"hk.BatchApply({c}{n})(x)" for c in calls for n in ("", ", 1")],
        choices(
            "f32[2,3,4] | np.f32[2,3,4] | f32[2,3] | f32[4] | f32[0,3,4] | "
            "f32[2,3,2,2,4] | bf16[2,3,4] | list[2,3,4] | 2.0 | None | "
            "i32[2,3,4] | f32[]"
        ),
    )
    two = [
        "hk.BatchApply(lambda a, b: a + b)(x, y)",
        "hk.BatchApply(lambda a, b: a)(x, b=y)",
    ]
    two += [
        "hk.BatchApply(lambda a, b=None: a)(x)",
        "hk.BatchApply(lambda a: a['k'] + a['l'])",
    ]
    two[-1] += "({'k': x, 'l': y})"
    two += [
        "hk.BatchApply(lambda a, b: (a, b))(x, y)",
        "hk.BatchApply(lambda a, b: a * b)(x, y)",
    ]
    two += [
        "hk.BatchApply(lambda a, b: a, np.int64(2))(x, y)",
        "hk.BatchApply(max, 0)(x, y)",
    ]
    pairs = choices(
        "f32[2,3,4]; f32[2,3,4] | f32[2,3,4]; 2.0 | f32[2,3,4]; None | 3; f32[2,3,4]"
    )
    pairs += choices(
        "f32[2,3,4]; f32[4] | f32[2,3,4]; np.f32[2,3,4] | f32[2,3]; f32[2,3,4]"
    )
    pairs += choices(
        "f32[2,3,4]; f32[3,2,4] | f32[2,3,4]; f32[] | f32[2,3,4]; True | 2; 3.0"
    )
    pairs += choices(
        "f32[2,3,4]; 'text' | f32[2,3,4]; f32[2,3] | f32[2,3,4]; f32[6,1,4]"
    )
    pairs += choices(
        "f32[2,3,4]; f32[3,3,4] | f32[2,3,4]; f32[1,1,4] | np.f32[2,3]; 2 | i32[2,3]; 1"
    )
    yield from itertools.product(two, pairs)
    yield from itertools.product(
        [f"hk.expand_apply({c}{axis})(x)" for c in calls for axis in ("", ", -1")],
        choices(
            "f32[3,4] | np.f32[3,4] | f32[] | 2.0 | i32[3] | None | [1.0, 2.0] | "
            "f32[0] | bf16[4] | True | list[3,4]"
        ),
    )
    pairs = choices(
        "f32[3]; f32[3] | f32[3]; 2.0 | f32[3]; None | 2; f32[3,4] | np.f32[3]; 1"
    )
    yield from itertools.product(
        [t.replace("BatchApply", "expand_apply") for t in two if "int64" not in t],
        pairs,
    )
    formats = choices(
        "'NHWC' | 'NCHW' | 'channels_last' | 'channels_first' | 'NC' | 'BTD' | 'TBD'"
    )
    formats += choices(
        "'N...C' | 'NC...' | 'BTHWD' | 'C' | '' | 'nchw' | 'NWC' | 'NCDHW' | 3"
    )
    formats += choices(
        "'NDHWC' | 'HWC' | 'CHW' | 'BC' | 'NTC' | 'BTC' | 'NCC' | 'NHCW' | b'NC'"
    )
    formats += choices(
        "'N C' | 'NHWC ' | 'TD' | 'BD' | 'TBDD' | 'NHW' | 'channels' | None"
    )
    for data_format in formats:
        yield f"hk.get_channel_index({data_format})", ""
    branches = choices(
        "[jnp.sin, jnp.cos] | (jnp.sin, jnp.cos, jnp.tan) | "
        "[hk.Linear(4), hk.Linear(4)]"
    )
    branches += choices(
        "[jnp.sin] | [lambda a: a, lambda a: 2 * a] | iter([jnp.sin, jnp.cos])"
    )
    index = choices(
        "0 | 1 | jnp.array(1) | np.int64(1) | 5 | -1 | jnp.array(7) | True | 1.0"
    )
    index += choices("jnp.array([1]) | jnp.uint8(1) | jnp.array(True) | np.array(0)")
    yield from itertools.product(
        product("hk.switch({i}, {b}, x)", i=index, b=branches),
        choices("f32[3,4] | np.f32[4] | [1.0, 2.0]"),
    )
    preds = choices(
        "True | False | jnp.array(True) | np.bool_(False) | 1 | 0 | jnp.array(1)"
    )
    preds += choices("1.0 | jnp.array(0.0) | jnp.array([True]) | np.array(True)")
    sides = choices(
        "jnp.sin, jnp.cos | hk.Linear(4), hk.Linear(4) | lambda a: a, lambda a: 2 * a"
    )
    sides += ["lambda a: 1.0, lambda a: 2.0", "lambda a: (a, 1), lambda a: (2 * a, 0)"]
    yield from itertools.product(
        product("hk.cond({p}, {s}, x)", p=preds, s=sides),
        choices("f32[3,4] | np.f32[4] | 2.0"),
    )
    deferred = ["hk.Deferred(lambda: hk.Linear(3))(x)", "hk.Deferred(hk.Flatten)(x)"]
    deferred += ["hk.to_module(lambda a: hk.Linear(3)(a))()(x)"]
    yield from itertools.product(deferred, FEW)


def initialisers():
    constants = choices(
        "2 | 2.5 | True | [1, 2] | (1, 2) | np.ones(2) | jnp.ones(2) | 1j"
    )
    constants += choices(
        "[[1, 2]] | np.float64(3) | jnp.int32(2) | [] | [1, 2, 3] | None | -0.0"
    )
    makers = [f"init.Constant({c})" for c in constants]
    scales = choices(
        "1.0 | 2 | 0 | np.float64(0.5) | jnp.float32(0.5) | np.float32(2) | -1.0"
    )
    scales += choices(
        "jnp.array([1.0, 2.0]) | np.array([1.0, 2.0]) | True | jnp.bfloat16(2)"
    )
    scales += choices("np.int64(2) | jnp.ones([3, 1]) | [1.0, 2.0] | '1' | 1e-8")
    for name in ("RandomNormal", "TruncatedNormal", "RandomUniform", "UniformScaling"):
        makers += [f"init.{name}({s})" for s in scales]
    makers += [f"init.{n}({s})" for n in ("Orthogonal", "Identity") for s in scales]
    makers += [f"init.RandomNormal(1.0, {s})" for s in scales]
    makers += [f"init.TruncatedNormal(1.0, {s})" for s in scales]
    makers += [f"init.TruncatedNormal(1.0, 0.0, {s}, 3)" for s in scales]
    makers += [f"init.RandomUniform({s}, 3)" for s in scales]
    makers += [f"init.VarianceScaling({s})" for s in scales]
    makers += list(
        product(
            "init.VarianceScaling(2.0, {mode}, {kind}, {axes})",
            mode=choices("'fan_in' | 'fan_out' | 'fan_avg' | 'fan' | None"),
            kind=choices("'truncated_normal' | 'normal' | 'uniform' | 'u'"),
            axes=choices(
                "None | (0,) | [0] | [-1] | () | np.array([0]) | [0, 1] | 0 | {0}"
            ),
        )
    )
    makers += [
        f"init.Orthogonal(axis={a})"
        for a in ("0", "1", "-2", "np.int64(0)", "5", "None")
    ]
    makers += choices("jnp.zeros | jnp.ones | np.ones")
    wanted = choices("(3, 2), jnp.float32 | [3, 2], jnp.float32 | (2,), jnp.float32")
    wanted += choices(
        "(), jnp.float32 | (3, 2), jnp.bfloat16 | (3, 2), int | (0, 2), jnp.float32"
    )
    wanted += choices(
        "(2, 3, 2), jnp.float16 | (3, 2), bool | (3, 2), jnp.complex64 | (2, 0), float"
    )
    wanted += choices(
        "(3, 2), 'float32' | np.array([3, 2]), jnp.float32 | (np.int64(3), 2), float"
    )
    wanted += choices(
        "2, jnp.float32 | (3, 2), np.float64 | jnp.array([3, 2]), jnp.float32"
    )
    calls = ["hk.get_parameter('w', ({w})[0], ({w})[1], {m})", "({m})(*({w}))"]
    few = [f"init.{m}" for m in ("Constant(2)", "RandomNormal()", "TruncatedNormal()")]
    few += [f"init.{m}" for m in ("RandomUniform()", "VarianceScaling()", "Identity()")]
    few += [
        f"init.{m}" for m in ("UniformScaling()", "Orthogonal()", "Orthogonal(2, 0)")
    ]
    few += [
        "init.VarianceScaling(2.0, 'fan_avg', 'normal', [0])",
        "init.Constant([[1, 2]])",
    ]
    for m, w in [
        *itertools.product(makers, [*wanted[:1], wanted[4]]),
        *itertools.product(few, wanted),
    ]:
        yield calls[1].format(m=m, w=w), ""
    for m, w in itertools.product(
        makers[:3] + ["init.RandomNormal()", "lambda *_: 2"], wanted
    ):
        yield calls[0].format(m=m, w=w), ""


def networks():
    sizes = choices(
        "[3, 2] | (3, 2) | iter([3, 2]) | [] | [3] | np.array([3, 2]) | range(1, 3)"
    )
    mlp = vary(
        "nets.MLP({sizes}, w_init={w}, b_init={b}, with_bias={bias}, activation={f}, "
        "activate_final={final})(x{call})",
        sizes=[*sizes, "[np.int64(3)]", "3", "{3}", "[3, 3, 3]"],
        w=choices("jnp.ones | None | init.Constant(1) | lambda *_: 2"),
        b=choices("None | jnp.ones | np.ones"),
        bias=["True", "False"],
        f=choices(
            "jax.nn.relu | jnp.tanh | lambda a: a | jax.nn.gelu | np.abs | jax.nn.silu"
        ),
        final=choices("False | True | 1"),
        call=choices(
            " | , 0.5, KEY | , dropout_rate=0.1, rng=hk.next_rng_key() | , 0.5 | "
            ", None | , rng=KEY | , 0, KEY | , jnp.float32(0.5), KEY | "
            ", 0.5, 3 | , 0.0, None | , 0.5, np.asarray(KEY) | "
            ", 0.5, jax.random.key(2)"
        ),
    )
    yield from itertools.product(mlp, FEW[:1])
    yield from itertools.product(
        ["nets.MLP([3, 2], w_init=jnp.ones)(x)", "nets.MLP([3])(x)"], DENSE
    )
    back = (
        "(lambda m: (m(x), m.reverse({rest})(m(x))))"
        "(nets.MLP([3, 2], activate_final=True))"
    )
    yield from itertools.product(
        product(back, rest=choices(" | False | activate_final=True | None, 'back'")),
        FEW[:1],
    )
    quantiser = "nets.{kind}(4, 6, 0.25, {rest})(x, {training})"
    inputs = choices(
        "f32[3,4] | f32[2,3,4] | f32[4] | bf16[3,4] | np.f32[3,4] | np.f64[3,4]"
    )
    inputs += choices(
        "i32[3,4] | f32[0,4] | f32[3,5] | list[3,4] | f16[3,4] | f32[2,3,2,4]"
    )
    yield from itertools.product(
        vary(
            quantiser.replace("{kind}", "VectorQuantizer"),
            rest=choices(
                " | dtype=jnp.bfloat16 | dtype=jnp.float16 | dtype='float32' | int"
            ),
            training=choices("True | False | None | jnp.array(True)"),
        ),
        inputs,
    )
    yield from itertools.product(
        vary(
            quantiser.replace("{kind}", "VectorQuantizerEMA"),
            rest=choices(
                "0.9 | 0 | 1 | np.float64(0.9) | jnp.float32(0.9) | 0.9, 1e-3 | "
                "0.9, 0 | 0.9, dtype=jnp.bfloat16 | 0.9, dtype=jnp.float16 | 2 | "
                "0.9, jnp.float32(1)"
            ),
            training=choices("True | False | 1 | np.bool_(True)"),
        ),
        [inputs[0], inputs[3], inputs[6], inputs[7]],
    )
    for kind in ("VectorQuantizer(4, 6, 0.25)", "VectorQuantizerEMA(4, 6, 0.25, 0.9)"):
        yield from itertools.product(
            [f"(lambda q: (q(jnp.ones([3, 4]), True), q.quantize(x)))(nets.{kind})"],
            choices(
                "i32[3] | i32[] | 2 | [1, 2] | np.i64[2,3] | u8[3] | i32[0] | -1 | "
                "9 | (1, 2) | bool[3] | True | np.int64(2) | f32[3] | list.i[2]"
            ),
        )
        yield from itertools.product(
            [
                f"nets.{kind.replace('0.25', c)}(x, True)"
                for c in ("1", "0", "np.float64(0.5)")
            ]
            + [f"nets.{kind.replace('0.25', 'jnp.float32(1)')}(x, True)"],
            choices("f32[3,4] | bf16[3,4] | i32[3,4]"),
        )
    resnet = (
        "nets.ResNet({blocks}, 3, {bn}, {v2}, {bottleneck}, "
        "{channels}, {proj}, {logits}, "
    )
    resnet += "strides={strides}, initial_conv_config={conv})(x, {training})"
    four = "(4, 4, 4, 4)"
    yield from itertools.product(
        vary(
            resnet,
            blocks=choices("(1, 1, 1, 1) | [1, 1, 1, 1] | np.ones(4, int)"),
            bn=choices(
                "None | {} | {'decay_rate': 0.5} | "
                "{'eps': 1, 'create_scale': False} | "
                "hk.data_structures.to_immutable_dict({'decay_rate': 0.5})"
            ),
            v2=["False", "True"],
            bottleneck=["True", "False"],
            channels=[four, "[4, 4, 4, 4]", "np.full(4, 4)"],
            proj=choices(
                "(True,) * 4 | [True, 1, 1, 1] | (False, True, True, True) | np.ones(4)"
            ),
            logits=choices("None | {'w_init': jnp.ones} | {'with_bias': False}"),
            strides=choices(
                "(1, 2, 2, 2) | [1, 1, 1, 1] | np.ones(4, int) | ((1, 2), 1, 1, 1)"
            ),
            conv=choices(
                "None | {'kernel_shape': 3} | {'stride': (1, 2), 'with_bias': True}"
            ),
            training=["True", "1"],
        ),
        ["f32[2,8,8,3]"],
    )
    yield from itertools.product(
        ["nets.ResNet((1, 1, 1, 1), 3, channels_per_group=(4, 4, 4, 4))(x, True)"],
        choices(
            "bf16[2,8,8,3] | np.f32[2,8,8,3] | f32[0,8,8,3] | f32[8,8,3] | "
            "np.f64[1,8,8,3] | i32[2,8,8,3] | u8[2,8,8,3]"
        ),
    )
    yield from itertools.product(
        vary(
            "nets.MobileNetV1({strides}, {channels}, 3, {bn})(x, {training})",
            strides=choices("(1, 2) | [1, 1] | np.array([1, 2]) | ((1, 2), 1)"),
            channels=choices("(8, 8) | [8, 4] | np.array([8, 4])"),
            bn=["True", "False"],
            training=["True", "1"],
        ),
        choices(
            "f32[2,9,8,3] | bf16[2,9,8,3] | np.f32[2,9,8,3] | i32[2,9,8,3] | "
            "f32[0,9,8,3] | f32[9,8,3]"
        ),
    )


def padding():
    ns = choices("1 | 2 | np.int64(2) | 3 | 0")
    for name in ("valid", "same", "full", "causal", "reverse_causal"):
        for size in ("3", "1", "4", "0", "np.int64(3)", "3.0", "jnp.array(3)", "-1"):
            yield f"pad.{name}({size})", ""
    values = [p for p in PADDING if "'" not in p]
    for kernel, rate in [
        ("3", "1"),
        ("(3, 2)", "1"),
        ("[3, 2]", "[1, 2]"),
        ("(3,)", "(2,)"),
    ] + [
        ("np.array([3, 2])", "1"),
        ("np.int64(3)", "np.int64(2)"),
        ("range(2, 4)", "1"),
    ]:
        for p, n in itertools.product(values, ns):
            yield f"pad.create({p}, {kernel}, {rate}, {n})", ""
            yield f"pad.create_from_padfn({p}, {kernel}, {rate}, {n})", ""
    for p, n in itertools.product(values, ns):
        yield f"pad.create_from_tuple({p}, {n})", ""
    for p in [*values, "'SAME'", "[pad.same, 1]", "[]", "[1, pad.same]"]:
        yield f"pad.is_padfn({p})", ""


FAMILIES = (affine, shapes, embeddings, convolutions, pools, norms, averages, attention)
FAMILIES += (recurrence, unrolls, functions, initialisers, networks, padding)


def _run(expression, inputs):
    f = eval(f"lambda x=None, y=None, z=None: {expression}", dict(NAMESPACE))
    args = [_value(text) for text in inputs.split("; ")] if inputs else []
    net = hk.transform_with_state(lambda *args: f(*args))
    params, state = net.init(KEY, *args)
    return params, state, net.apply(params, state, KEY, *args)


def cases():
    """Yields the name of each program and a function that runs it."""
    seen = set()
    for family in FAMILIES:
        for expression, inputs in family():
            name = f"{expression}  |  {inputs}"
            if name not in seen:
                seen.add(name)
                yield name, functools.partial(_run, expression, inputs)
        jax.clear_caches()  # or the programs of thousands would fill the memory
