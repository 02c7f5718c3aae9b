"""Bound nets with drawn parameters; making them compiles nothing."""

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk


def drawn_model(net, config, *inputs, seed=0, spread=0.4):
    """A net with normal parameters of the shapes that `init` makes."""
    blueprint = hk.Blueprint(net, config)
    init = hk.transform(lambda *x: blueprint(*x)).init
    shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
    draw = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda x: jnp.asarray(spread * draw.standard_normal(x.shape), x.dtype), shapes
    )
    return hk.bind(blueprint).to(params)
