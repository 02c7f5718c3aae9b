import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
run = hk.testing.transform_and_run


def normal(*shape, seed=0):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def with_params(f, x):
    """Parameters of `f` with random biases, and what it returns with them."""
    net = hk.transform(f)
    params = jax.tree.map(lambda p: normal(*p.shape), net.init(KEY, x))
    return next(iter(params.values())), jax.jit(net.apply)(params, None, x)


def slid(x, w, stride, rate, zeros, groups=1):
    """A convolution by its definition: x [B, T, C], w [k, C / groups, D]."""
    x = np.pad(x, ((0, 0), zeros, (0, 0)))
    reach = (w.shape[0] - 1) * rate + 1
    size_in, size_out = x.shape[-1] // groups, w.shape[-1] // groups
    out = []
    for t in range(0, x.shape[1] - reach + 1, stride):
        window = x[:, t : t + reach : rate]
        parts = [
            np.einsum(
                "bkc,kcd->bd",
                window[..., g * size_in : (g + 1) * size_in],
                w[..., g * size_out : (g + 1) * size_out],
            )
            for g in range(groups)
        ]
        out.append(np.concatenate(parts, -1))
    return np.stack(out, 1)


@pytest.mark.parametrize(
    ("options", "zeros"),
    [
        ({}, (1, 1)),
        ({"padding": "VALID", "stride": 2}, (0, 0)),
        ({"padding": hk.pad.causal, "rate": 2}, (4, 0)),
        ({"padding": (3, 1), "stride": 3}, (3, 1)),
        ({"padding": [hk.pad.reverse_causal]}, (0, 2)),
        ({"feature_group_count": 2}, (1, 1)),
    ],
)
def test_conv_is_its_definition(options, zeros):
    x = normal(2, 9, 4)
    params, out = with_params(lambda x: hk.Conv1D(6, 3, **options)(x), x)
    groups = options.get("feature_group_count", 1)
    want = slid(
        x,
        params["w"],
        options.get("stride", 1),
        options.get("rate", 1),
        zeros,
        groups,
    )
    assert params["w"].shape == (3, 4 // groups, 6)
    np.testing.assert_allclose(out, want + params["b"], rtol=1e-4, atol=1e-4)


def test_mask_hides_weights():
    x = normal(2, 9, 4)
    mask = np.zeros([3, 4, 6], np.float32)
    mask[0] = 1
    params, out = with_params(lambda x: hk.Conv1D(6, 3, mask=mask)(x), x)
    want = slid(x, params["w"] * mask, 1, 1, (1, 1)) + params["b"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("cls", [hk.ConvND, hk.ConvNDTranspose])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_batch_axis_may_be_missing(n, cls, data_format):
    space = (5, 4, 3)[:n]
    last = data_format == "channels_last"
    x = normal(*(1, *space, 2) if last else (1, 2, *space))
    layer = lambda x: cls(n, 3, 2, data_format=data_format)(x)  # noqa: E731
    net = hk.transform(layer)
    params = net.init(KEY, x)
    without = jax.jit(net.apply)(params, None, x[0])
    np.testing.assert_allclose(
        jax.jit(net.apply)(params, None, x)[0], without, rtol=1e-5, atol=1e-5
    )
    assert without.shape == ((*space, 3) if last else (3, *space))


@pytest.mark.parametrize(
    ("n", "bias"), [(1, (6, 1)), (2, (6, 1, 1)), (3, (6, 1, 1, 1))]
)
def test_depthwise_with_channels_first_has_a_bias(n, bias):
    cls = (hk.DepthwiseConv1D, hk.DepthwiseConv2D, hk.DepthwiseConv3D)[n - 1]
    x = normal(2, 3, *(6, 5, 4)[:n])
    f = lambda x: cls(2, 3, data_format="channels_first")(x)  # noqa: E731
    params, out = with_params(f, x)
    assert params["b"].shape == bias
    assert out.shape == (2, 6, *x.shape[2:])


def test_depthwise_keeps_channels_apart():
    x = normal(2, 9, 3)
    params, out = with_params(lambda x: hk.DepthwiseConv1D(2, 3, rate=2)(x), x)
    want = slid(x, params["w"], 1, 2, (2, 2), groups=3) + params["b"]
    np.testing.assert_allclose(out, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", [hk.pad.causal, (2, 0), [(2, 0)], "SAME", "VALID"])
def test_depthwise_paddings(padding):
    x = normal(9, 3)  # no batch axis
    out = run(lambda: hk.DepthwiseConv1D(1, 3, padding=padding)(x))()
    assert out.shape == (7 if padding == "VALID" else 9, 3)


def test_separable_is_two_depthwise():
    x = normal(2, 5, 6, 3)
    net = hk.transform(
        lambda x: hk.SeparableDepthwiseConv2D(2, (3, 2), stride=2, b_init=jnp.ones)(x)
    )
    params = net.init(KEY, x)
    first, second = params.values()
    assert {k: v.shape for k, v in first.items()} == {"w": (3, 1, 1, 6)}
    assert {k: v.shape for k, v in second.items()} == {"w": (1, 2, 1, 6), "b": (6,)}
    assert net.apply(params, None, x).shape == (2, 3, 3, 6)


@pytest.mark.parametrize(
    ("padding", "stride", "kernel"),
    list(itertools.product(["SAME", "VALID"], [1, 2, 3], [2, 3])),
)
def test_transpose_is_the_gradient_of_a_convolution(padding, stride, kernel):
    """Up to a flip of the kernel, where the convolution gives the input's size."""
    x = normal(1, 4, 2)
    params, out = with_params(
        lambda x: hk.ConvNDTranspose(1, 3, kernel, stride, padding=padding)(x), x
    )
    size = 4 * stride if padding == "SAME" else 3 * stride + max(kernel, stride)
    assert out.shape == (1, size, 3)
    forward = lambda y: jax.lax.conv_general_dilated(  # noqa: E731
        y,
        jnp.flip(jnp.asarray(params["w"]), 0),
        (stride,),
        padding,
        dimension_numbers=("NWC", "WIO", "NWC"),
    )
    like = jnp.zeros([1, size, 3])
    if forward(like).shape != x.shape or (padding == "SAME" and kernel < stride):
        return  # such sizes have several transposes
    _, pull = jax.vjp(forward, like)
    got, want = out - params["b"], pull(jnp.asarray(x))[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("padding", "sizes"), [("SAME", (7, 8)), ("VALID", (9, 10)), ("SAME", 8)]
)
def test_output_shape(padding, sizes):
    x = normal(2, 4, 4, 3)
    layer = lambda x: hk.Conv2DTranspose(  # noqa: E731
        5, 3, stride=2, output_shape=sizes, padding=padding
    )(x)
    wanted = (sizes, sizes) if isinstance(sizes, int) else sizes
    _, out = with_params(layer, x)
    assert out.shape == (2, *wanted, 5)


def test_output_shape_with_channels_first():
    x = normal(2, 3, 4, 5)
    layer = lambda x: hk.Conv2DTranspose(  # noqa: E731
        5, 3, stride=2, output_shape=(7, 10), data_format="NCHW"
    )(x)
    assert with_params(layer, x)[1].shape == (2, 5, 7, 10)


@pytest.mark.parametrize("padding", [hk.pad.full, (2, 2), [(2, 2), (2, 2)]])
def test_transpose_paddings(padding):
    x = normal(2, 4, 5, 3)
    _, out = with_params(lambda x: hk.Conv2DTranspose(2, 3, padding=padding)(x), x)
    assert out.shape == (2, 6, 7, 2)  # the input, and a zero more on each side


def test_transpose_mask():
    mask = np.zeros([3, 2, 3], np.float32)
    x = normal(2, 5, 3)
    params, out = with_params(lambda x: hk.Conv1DTranspose(2, 3, mask=mask)(x), x)
    np.testing.assert_array_equal(out, np.broadcast_to(params["b"], out.shape))


@pytest.mark.parametrize(
    ("data_format", "index"),
    [
        ("channels_first", 1),
        ("channels_last", -1),
        ("NC", 1),
        ("NCHW", 1),
        ("NCDHW", 1),
        ("NHWC", -1),
        ("NWC", -1),
        ("BTD", -1),
        ("TBD", -1),
        ("BTHWD", -1),
    ],
)
def test_channel_index(data_format, index):
    assert hk.get_channel_index(data_format) == index


@pytest.mark.parametrize("data_format", ["foo", "NCHC", "BTDTD", "NHW", "HWC", "nhwc"])
def test_unknown_data_format(data_format):
    with pytest.raises(ValueError, match=f"'{data_format}'.*channels_first"):
        hk.get_channel_index(data_format)


def test_data_format_that_is_no_string():
    with pytest.raises(TypeError, match="None"):
        hk.get_channel_index(None)


X = jnp.ones([2, 6, 7, 4])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.ConvND(0, 1, 3), ValueError, "num_spatial_dims=0"),
        (lambda: hk.ConvNDTranspose(-2, 1, 3), ValueError, "num_spatial_dims=-2"),
        (
            lambda: hk.Conv2D(3, 3)(X[0, 0]),
            ValueError,
            r"rank in \[3, 4\].*\(7, 4\).*'conv2_d'",
        ),
        (lambda: hk.Conv2DTranspose(3, 3)(X[None]), ValueError, r"rank in \[3, 4\]"),
        (
            lambda: hk.DepthwiseConv2D(3, 3)(X[None]),
            ValueError,
            r"DepthwiseConv2D.*rank",
        ),
        (lambda: hk.Conv2D(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME.*VALID"),
        (lambda: hk.Conv2DTranspose(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME"),
        (lambda: hk.DepthwiseConv2D(3, 3, padding="FOO"), ValueError, "'FOO'.*SAME"),
        (lambda: hk.Conv2D(3, 3, padding=0), TypeError, "got 0"),
        (lambda: hk.Conv2D(3, 3, data_format="FOO"), ValueError, "'FOO'"),
        (lambda: hk.Conv2D(3, (3, 3, 3)), TypeError, "kernel_shape.*length 2"),
        (lambda: hk.Conv2D(3, 3, stride=(1, 1, 1)), TypeError, "stride must"),
        (lambda: hk.Conv2D(3, 3, rate=(1, 1, 1)), TypeError, "rate must"),
        (
            lambda: hk.Conv2D(4, 3, feature_group_count=3)(X),
            ValueError,
            "4 channels.*output_channels=4.*feature_group_count=3",
        ),
        (
            lambda: hk.Conv2D(3, 3, feature_group_count=2)(X),
            ValueError,
            "output_channels=3.*feature_group_count=2",
        ),
        (
            lambda: hk.Conv2D(3, 3, mask=jnp.ones([3, 3, 4, 1]))(X),
            ValueError,
            r"same shape as weights.*\(3, 3, 4, 1\).*\(3, 3, 4, 3\)",
        ),
        (
            lambda: hk.Conv2DTranspose(3, 3, output_shape=9, padding=(1, 1)),
            ValueError,
            "`padding` must be 'SAME' or 'VALID'",
        ),
        (
            lambda: hk.Conv2DTranspose(3, 3, output_shape=9, padding="SAME_LOWER")(X),
            ValueError,
            "must be 'VALID' or 'SAME'.*Passed: 'SAME_LOWER'",
        ),
        (
            lambda: hk.Conv2DTranspose(3, 3, stride=2, output_shape=9)(X),
            ValueError,
            "size 6 into output_shape 9.*maps 9 to 5",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
