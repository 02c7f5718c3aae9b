"""One net in one library, with parameters that are the same in every library."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

OFFSETS = "b", "bias", "offset"


def example(net):
    """The input of a net, the same at every run."""
    if net.make == "pairformer":
        import pairformer

        return pairformer.inputs()
    random = np.random.default_rng(1)
    if net.dtype == "int32":
        return jnp.asarray(random.integers(0, 256, net.shape, np.int32))
    return jnp.asarray(random.standard_normal(net.shape, np.float32))


def loss_of(out):
    return sum(jnp.mean(jnp.square(x)) for x in jax.tree.leaves(out))


def values(name, size, random):
    """Numbers for a parameter of this name: near one, near zero, or as weights."""
    noise = random.standard_normal(size, np.float32)
    *_, last = name.split("/")
    if last in OFFSETS:
        return 0.1 * noise
    if last == "scale" or "norm" in name.lower():
        return 1 + 0.1 * noise
    return noise * 1.4 * size**-0.25  # keeps what passes relu, and knows no layout


class NoPeerError(Exception):
    """The library has nothing of that kind."""


class Subject:
    """A net's functions, and variables to call them with.

    `init(key)` makes (params, rest); `apply(params, rest)` is (output, new rest);
    `value_and_grad(params, rest)` is ((loss, new rest), gradient by params).
    """

    def __init__(self, models, net):
        self.key = jax.random.PRNGKey(0)
        self.models = models
        self.laid_out = getattr(
            models, "laid_out", lambda name, x, shape: x.reshape(shape)
        )
        made = getattr(models, net.make)(**net.options)
        if made is None:
            raise NoPeerError
        self.init, self.apply, self.named = models.functions(made, example(net))

        def loss(params, rest):
            out, rest = self.apply(params, rest)
            return loss_of(out), rest

        self.value_and_grad = jax.value_and_grad(loss, has_aux=True)

    @functools.cached_property
    def shapes(self):
        """(params, rest), and the name and leaf number of each parameter as called."""
        order = []

        def init(key):
            params, rest = self.init(key)
            number = {id(x): i for i, x in enumerate(jax.tree.leaves(params))}
            order.extend((name, number[id(x)]) for name, x in self.named(params))
            return params, rest

        return jax.eval_shape(init, self.key), order

    @functools.cached_property
    def variables(self):
        """Params drawn in the order of calls, which all libraries share; rest of zeros.

        No initialiser runs: it would warm caches and take memory.
        """
        (params, rest), order = self.shapes
        leaves, tree = jax.tree.flatten(params)
        random = np.random.default_rng(0)
        for name, i in order:
            x = leaves[i]
            value = self.laid_out(name, values(name, x.size, random), x.shape)
            leaves[i] = jax.device_put(np.asarray(value, x.dtype))
        return tree.unflatten(leaves), jax.tree.map(self.zeros, rest)

    def zeros(self, x):
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):  # nnx keeps keys in its state
            return jax.random.key(0)
        return jax.device_put(np.zeros(x.shape, x.dtype))

    def sizes(self):
        """Of the parameters, in the order of calls."""
        (params, _), order = self.shapes
        leaves = jax.tree.leaves(params)
        return [leaves[i].size for _, i in order]

    @functools.cached_property
    def compiled(self):
        return jax.jit(self.value_and_grad).lower(*self.variables).compile()

    def numbers(self):
        """The loss, and the norm of its gradient by each parameter as called."""
        (loss, _), gradient = self.compiled(*self.variables)
        leaves = norms(gradient)
        return [float(loss), *(leaves[i] for _, i in self.shapes[1])]

    def outputs(self):
        """The loss without a gradient, and the norm of each array of the output."""
        out, _ = jax.jit(self.apply)(*self.variables)
        return [float(loss_of(out)), *norms(out)]

    def packed(self, params, form):
        """Params in another form, and the function that restores them."""
        leaves, tree = jax.tree.flatten(params)
        if form == "list":
            return leaves, tree.unflatten
        if form == "packed" and hasattr(self.models, "packed"):
            return self.models.packed(params)
        return params, lambda params: params


def norms(tree):
    return [float(jnp.linalg.norm(jnp.ravel(x))) for x in jax.tree.leaves(tree)]
