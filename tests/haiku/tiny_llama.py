"""A Llama of two layers for the tests here; loading it compiles nothing."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import haiku as hk

FOLDER = pathlib.Path(__file__).parents[1] / "golden/nets"
TOKENS = jnp.asarray([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]], jnp.int32)
QUERY = "decoder/blocks/attention/query"


@functools.cache
def llama(dtype=None):
    return hk.pretrained.load(FOLDER / "llama-plain", dtype=dtype).model


@jax.jit
def call(model, tokens=TOKENS):
    return model(tokens)


def with_random_updates(model):
    """The model with other numbers in `lora_b` and `lora_magnitude`."""
    draws = np.random.RandomState(0)
    params = {
        path: {
            name: x + 0.1 * jnp.asarray(draws.randn(*x.shape), x.dtype)
            if name.startswith(("lora_b", "lora_magnitude"))
            else x
            for name, x in named.items()
        }
        for path, named in model.params.items()
    }
    return model.replace(params=params)


def linear(w, **others):
    """A bound `hk.Linear` without bias."""
    net = hk.Blueprint(hk.Linear, w.shape[-1], with_bias=False)
    return hk.bind(net).to({"linear": {"w": jnp.asarray(w), **others}})
