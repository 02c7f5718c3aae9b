"""Residual networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
KEY = jax.random.key(0, impl="unsafe_rbg")  # the fastest to compile
X = np.random.RandomState(0).randn(2, 8, 9, 3).astype(np.float32)


def small(**options):
    options = {"channels_per_group": (4,) * 4, "strides": (1,) * 4} | options
    return lambda x, **call: hk.nets.ResNet((1, 1, 1, 1), 3, **options)(x, **call)


@pytest.mark.parametrize("resnet_v2", [True, False])
@pytest.mark.parametrize(
    "bottleneck", [True, pytest.param(False, marks=pytest.mark.tables)]
)
def test_averages_after_one_step_are_the_statistics_of_the_batch(resnet_v2, bottleneck):
    net = hk.transform_with_state(small(resnet_v2=resnet_v2, bottleneck=bottleneck))
    params, state = jax.jit(lambda k: net.init(k, X, is_training=True))(KEY)
    params = jax.tree.map(
        lambda p: p + 0.1 * np.random.RandomState(p.size).randn(*p.shape), params
    )

    @jax.jit
    def outs(params, state):
        out, state = net.apply(params, state, None, X, is_training=True)
        local, _ = net.apply(
            params, state, None, X, is_training=False, test_local_stats=True
        )
        averaged, after = net.apply(params, state, None, X, is_training=False)
        return out, local, averaged, state, after

    out, local, averaged, state, after = outs(params, state)
    assert out.shape == (2, 3)
    np.testing.assert_allclose(out, local, rtol=1e-3, atol=1e-4)
    # After one update the debiased averages are the statistics of that batch.
    np.testing.assert_allclose(out, averaged, rtol=1e-2, atol=1e-2)
    jax.tree.map(np.testing.assert_array_equal, state, after)


def test_configurations_reach_their_layers():
    def f():
        net = hk.nets.ResNet18(
            5,
            bn_config={"decay_rate": 0.5},
            logits_config={"with_bias": False, "name": "head"},
            initial_conv_config={"kernel_shape": 3, "stride": 1},
            strides=(1, 1, 1, 2),
        )
        assert net.initial_batchnorm.mean_ema.decay == 0.5
        assert (net.logits.with_bias, net.logits.name) == (False, "head")
        assert net.initial_conv.kernel_shape == (3, 3)
        assert net.initial_conv.output_channels == 64
        assert net.block_groups[3].blocks[0].proj_conv.stride == (2, 2)
        assert not hasattr(net.block_groups[0].blocks[0], "proj_conv")

    run(f)()


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152, 200])
def test_the_depth_counts_convolutions_and_the_last_layer(depth):
    def layers():
        net = getattr(hk.nets, f"ResNet{depth}")(10)
        blocks = [block for group in net.block_groups for block in group.blocks]
        return 2 + sum(len(block.layers) for block in blocks)

    assert run(layers)() == depth


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hk.nets.ResNet((1, 1, 1), 3), "`blocks_per_group` .* 4 not 3"),
        (
            lambda: hk.nets.ResNet((1,) * 4, 3, channels_per_group=(1,) * 5),
            "`channels_per_group` .* 4 not 5",
        ),
        (
            lambda: hk.nets.ResNet((1,) * 4, 3, use_projection=(True,)),
            "`use_projection` .* 4 not 1",
        ),
        (lambda: hk.nets.ResNet18(3, strides=(1, 2)), "`strides` .* 4 not 2"),
    ],
)
def test_wrong_lengths_raise(call, message):
    with pytest.raises(ValueError, match=message):
        run(call)()


def test_integer_images_raise():
    with pytest.raises(ValueError, match="float32"):
        run(lambda: hk.nets.ResNet18(3)(jnp.ones([1, 8, 8, 3], jnp.uint8), True))()
