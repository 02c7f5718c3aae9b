"""Masks and labels, and training a part: the programs of thread #372."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import haiku as hk

sg = hk.surgery


def unrolled(layers=3):
    def f(x):
        for _ in range(layers):
            x = jax.nn.relu(hk.Linear(4, name="block")(x))
        return hk.Linear(2, name="head")(x)

    return hk.without_apply_rng(hk.transform(f))


X = jnp.arange(8.0).reshape(2, 4)


def loss(params):
    return jnp.mean(unrolled().apply(params, X) ** 2)


def test_frozen_parameters_stay_to_the_bit():
    params = unrolled().init(jax.random.key(0), X)
    labels = sg.labels(params, {"block*/**": "frozen"}, default="trained")
    optimizer = optax.multi_transform(
        {"trained": optax.adam(1e-2), "frozen": optax.set_to_zero()}, labels
    )
    state = optimizer.init(params)

    @jax.jit
    def step(params, state):
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    new = params
    for _ in range(5):
        new, state = step(new, state)
    changed = [change.path for change in sg.diff(params, new).changed]
    assert changed == ["head/b", "head/w"]
    assert loss(new) < loss(params)


def test_masked_decay_reaches_matrices_alone():
    params = unrolled().init(jax.random.key(0), X)
    params = hk.data_structures.to_immutable_dict(params)
    mask = sg.mask(params, "**/w")
    decay = optax.add_decayed_weights(0.5, mask=mask)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = decay.update(zeros, decay.init(params), params)
    assert jnp.array_equal(updates["head"]["w"], 0.5 * params["head"]["w"])
    assert not updates["head"]["b"].any()
    assert jax.tree.structure(mask) == jax.tree.structure(params)


def test_gradients_of_one_part_leave_the_other_fixed():
    params = unrolled().init(jax.random.key(0), X)
    fixed, trained = sg.split(params, "block*/**")
    grads = jax.grad(lambda trained: loss(sg.merge(fixed, trained)))(trained)
    assert not sg.diff(grads, sg.select(jax.grad(loss)(params), "head/*"), rtol=1e-6)


def test_what_parameters_are():
    vectors = {
        "b": (3,),
        "scale": (2, 3),
        "offset": (3,),
        "sinks": (4, 2),
        "up_b": (3,),
    }
    matrices = {"w": (2, 3), "up": (4, 2, 3), "embeddings": (5, 3), "lora_a": (2, 1)}
    net = {k: jnp.ones(x) for k, x in (vectors | matrices).items()}
    head = {"w": jnp.ones((3, 2)), "b": jnp.ones(2), "w_scale": jnp.ones((1, 2))}
    params = {"net/block": net, "net/head": head, "own": {"x": np.ones(2), "y": 1.0}}
    kinds = sg.kinds(params)
    assert kinds["net/block"] == {
        **{"b": "bias", "up_b": "bias", "scale": "norm", "offset": "norm"},
        **{"sinks": "other", "w": "matrix", "up": "matrix", "lora_a": "matrix"},
        "embeddings": "embedding",
    }
    assert kinds["net/head"] == {"w": "head", "b": "bias", "w_scale": "other"}
    assert kinds["own"] == {"x": "other", "y": "other"}
    assert jax.tree.structure(kinds) == jax.tree.structure(params)
