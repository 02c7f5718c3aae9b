"""Nets with drawn parameters: compiling `init` takes longer than most tests."""

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk


def drawn(shapes, seed=1, spread=0.3):
    """Normal parameters of these shapes; scales around 1."""
    random = np.random.default_rng(seed)
    return {
        path: {
            name: jnp.asarray(
                random.normal(size=x.shape) * spread + (name == "scale"), x.dtype
            )
            for name, x in named.items()
        }
        for path, named in shapes.items()
    }


def drawn_model(net, config, *inputs, seed=0, spread=0.4):
    """A bound net with parameters of the shapes that `init` makes."""
    blueprint = hk.Blueprint(net, config)
    init = hk.transform(lambda *x: blueprint(*x)).init
    shapes = jax.eval_shape(init, jax.random.key(0), *inputs)
    return hk.bind(blueprint).to(drawn(shapes, seed, spread))
