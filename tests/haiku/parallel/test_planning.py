"""`plan`: exact bytes, products and collectives of a step that nobody ran."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sharded_training import KEY, NETS, bytes_by_device, mesh_of

import haiku as hk
from haiku.parallel.program_text import read_program

R = hk.parallel
TOKENS = jax.ShapeDtypeStruct([8, 16], jnp.int32)


def test_bytes_are_those_of_a_real_training():
    net, rules = NETS["MLP"](), R.fully_sharded() | R.tensor()
    mesh, adam = mesh_of(data=4, model=2), optax.adam(1e-3)
    pair = hk.transform(net.forward)
    found = R.plan(pair, rules, mesh, net.inputs, optimizer=adam)
    with jax.set_mesh(mesh):
        params = R.sharded(pair, rules).init(KEY, net.inputs)
        opt_state = R.follow(adam.init)(params)
    assert [found.params_bytes] * 8 == bytes_by_device(params, 8)
    assert [found.optimizer_bytes] * 8 == bytes_by_device(opt_state, 8)
    assert found.temporary_bytes > 0
    assert found.bytes == (
        found.params_bytes + found.optimizer_bytes + found.temporary_bytes
    )
    moved = sum(c.bytes for c in found.collectives)
    assert found.seconds == found.flops / 459e12 + moved / 100e9
    assert "all-reduce" in str(found)
    assert "'data': 4" in str(found)


def test_products_in_a_stack_count_for_each_layer():
    # Forward, and backward for inputs and weights: 3 products of 2 N operations each.
    net = hk.transform(
        lambda x: hk.layer_stack(5)(lambda x: jnp.tanh(hk.Linear(32, False)(x)))(x)
    )
    x = jax.ShapeDtypeStruct([16, 32], jnp.float32)
    found = R.plan(net, R.data(), mesh_of(data=8), x)
    backward_to_x = 2 * 16 * 32 * 32  # nobody needs it for the first layer
    wanted = 3 * 5 * 2 * 16 * 32 * 32 // 8
    assert wanted - backward_to_x // 8 <= found.flops <= wanted
    (reduced,) = found.collectives
    assert reduced.kind == "all-reduce"
    # Gradients of five matrices, and the loss.
    assert reduced.bytes >= 5 * 32 * 32 * 4


def test_a_gathered_stack_counts_each_layers_gather():
    net = hk.transform(
        lambda x: hk.layer_stack(6)(lambda x: jnp.tanh(hk.Linear(64, False)(x)))(x)
    )
    x = jax.ShapeDtypeStruct([16, 64], jnp.float32)
    found = R.plan(net, R.fully_sharded(), mesh_of(data=8), x)
    by_kind = {c.kind: c for c in found.collectives}
    assert by_kind["all-gather"].count >= 2 * 6 - 1  # each way
    assert by_kind["all-reduce"].scatterable == 6 * 64 * 64 * 4


@pytest.mark.tables
def test_the_largest_batch_fits_and_a_larger_one_does_not():
    net = hk.transform(NETS["decoder"]().forward)
    mesh, rules = mesh_of(data=8), R.data()
    budget = 3e6
    found = R.plan(net, rules, mesh, TOKENS, memory=budget)
    best = found.largest_batch
    assert best % 8 == 0

    def bytes_of(rows):
        tokens = jax.ShapeDtypeStruct([rows, 16], jnp.int32)
        return R.plan(net, rules, mesh, tokens).bytes

    assert bytes_of(best) <= 1.05 * budget
    assert bytes_of(best + 16) > 0.95 * budget
    assert re.search(rf"largest batch, about +{best}\n", str(found))


def test_a_net_with_state_and_a_loss_of_ones_own():
    x = jax.ShapeDtypeStruct([16, 8], jnp.float32)
    pair = hk.transform_with_state(
        lambda x: hk.BatchNorm(True, True, 0.9)(hk.Linear(4)(x), True)
    )

    def loss(out, x):
        return jnp.sum(out) + jnp.sum(x)

    found = R.plan(
        pair,
        R.data(),
        mesh_of(data=8),
        x,
        optimizer=optax.sgd(0.1),
        loss=loss,
    )
    params, state = jax.eval_shape(pair.init, KEY, x)
    assert found.params_bytes == hk.data_structures.tree_bytes((params, state))
    assert found.optimizer_bytes == 0


def test_only_nets_are_planned():
    with pytest.raises(TypeError, match=r"hk\.parallel\.plan takes what hk\.transform"):
        R.plan(lambda x: x, R.data(), mesh_of(data=8), TOKENS)


PROGRAM = """\
HloModule step

%body (p: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %p = (s32[], f32[8,4]{1,0}) parameter(0)
  %x = f32[8,4]{1,0} get-tuple-element(%p), index=1
  %whole = bf16[16,4]{1,0} all-gather(%x), dimensions={0}
  %parts = (f32[8,4]{1,0}, f32[2]{0}) all-reduce(%x, %y), to_apply=%add
  %product = f32[8,6]{1,0} dot(%x, %whole), lhs_contracting_dims={1}, rhs={0}
  ROOT %out = (s32[], f32[8,4]{1,0}) tuple(%i, %x)
}

%cond (p: (s32[], f32[8,4])) -> pred[] {
  %p = (s32[], f32[8,4]{1,0}) parameter(0)
  ROOT %lt = pred[] compare(%i, %n), direction=LT
}

ENTRY %main (a: f32[8,4]) -> f32[8,4] {
  %a = f32[8,4]{1,0} parameter(0)
  %loop = (s32[], f32[8,4]{1,0}) while(%t), condition=%cond, body=%body, \
backend_config={"known_trip_count":{"n":"7"}}
  %start = (f32[4]{0}, f32[8]{0}) all-gather-start(%b), dimensions={0}
  %done = f32[8]{0} all-gather-done(%start)
  %cut = f32[8,4]{1,0} all-reduce(%a), to_apply=%add
  ROOT %slice = f32[1,4]{1,0} dynamic-slice(%cut, %i, %j)
}
"""


def test_programs_are_read_with_loops_pairs_and_tuples():
    collectives, flops = read_program(PROGRAM)
    found = {c.kind: (c.count, c.bytes, c.scatterable) for c in collectives}
    assert found == {
        "all-gather": (8, 7 * 16 * 4 * 2 + 8 * 4, 0),
        "all-reduce": (8, 7 * (8 * 4 + 2) * 4 + 8 * 4 * 4, 8 * 4 * 4),
    }
    assert flops == 7 * 2 * 8 * 6 * 4
    assert np.isclose(sum(c.bytes for c in collectives), 7 * (128 + 136) + 32 + 128)
