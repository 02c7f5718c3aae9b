"""`MLP`: linear layers with an activation in between."""

from collections.abc import Callable, Iterable
from typing import Any

import jax

from haiku._core import Module, PRNGSequence
from haiku._layers.cached_tracing import jit_activation
from haiku._layers.functional import dropout
from haiku._layers.linear import Linear
from haiku.initializers import Initializer

__all__ = ["MLP"]


class MLP(Module):
    """A multi-layer perceptron: linear layers with an activation in between.

    Args:
      output_sizes: Size of each layer's output.
      w_init: Initializer of all weights, see :class:`Linear`.
      b_init: Initializer of all biases. Default: zeros.
      with_bias: Whether the layers have biases.
      activation: Function applied after each layer except, by default, the last.
      activate_final: Whether to apply it after the last layer too.
      name: Name of the module.

    Raises:
      ValueError: `b_init` is given with ``with_bias=False``.

    Example:
      >>> net = hk.transform(lambda x: hk.nets.MLP([300, 100, 10])(x))
    """

    def __init__(
        self,
        output_sizes: Iterable[int],
        w_init: Initializer | None = None,
        b_init: Initializer | None = None,
        with_bias: bool = True,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        activate_final: bool = False,
        name: str | None = None,
    ):
        if not with_bias and b_init is not None:
            raise ValueError(
                "When with_bias=False b_init must not be set: leave one of the two out."
            )
        super().__init__(name=name)
        self.with_bias = with_bias
        self.w_init = w_init
        self.b_init = b_init
        self.activation = activation
        self.activate_final = activate_final
        output_sizes = tuple(output_sizes)
        self.layers = tuple(
            Linear(
                output_size=size,
                w_init=w_init,
                b_init=b_init,
                with_bias=with_bias,
                name=f"linear_{i}",
            )
            for i, size in enumerate(output_sizes)
        )
        self.output_size = output_sizes[-1] if output_sizes else None

    @property
    def _own_axes(self):
        """Names of its parameters' axes: pairs of layers, to hidden units and back."""
        axes: dict[str, Any] = {}
        for i in range(0, len(self.layers) - 1, 2):
            axes[f"**/linear_{i}/w"] = "embed", "mlp"
            axes[f"**/linear_{i}/b"] = ("mlp",)
            axes[f"**/linear_{i + 1}/w"] = "mlp", "embed"
        return axes

    def __call__(
        self,
        inputs: jax.Array,
        dropout_rate: float | None = None,
        rng: Any = None,
    ) -> jax.Array:
        """Applies all layers.

        Args:
          inputs: ``[..., features]``.
          dropout_rate: Rate of a :func:`dropout` before each activation. Default: no
            dropout.
          rng: A key for dropout.

        Returns:
          ``[..., output_sizes[-1]]``.

        Raises:
          ValueError: Only one of `dropout_rate` and `rng` is given.
        """
        if dropout_rate is not None and rng is None:
            raise ValueError(
                "When using dropout an rng key must be passed: "
                "mlp(x, dropout_rate, hk.next_rng_key())."
            )
        if dropout_rate is None and rng is not None:
            raise ValueError(
                "RNG should only be passed when using dropout: pass dropout_rate too, "
                "mlp(x, 0.1, hk.next_rng_key()), or leave rng out."
            )
        keys = PRNGSequence(rng) if rng is not None else None
        activation = jit_activation(self.activation)
        num_activations = len(self.layers) - (0 if self.activate_final else 1)
        out = inputs
        for i, layer in enumerate(self.layers):
            out = layer(out)
            if i < num_activations:
                if dropout_rate is not None and keys is not None:
                    out = dropout(next(keys), dropout_rate, out)
                out = activation(out)
        return out

    def reverse(
        self, activate_final: bool | None = None, name: str | None = None
    ) -> "MLP":
        """Makes a new MLP that maps outputs to inputs, with layer sizes reversed.

        Args:
          activate_final: See the constructor. Default: that of this MLP.
          name: Name of the new module. Default: this one's, followed by ``_reversed``.

        Returns:
          The new module, which has its own parameters.

        Raises:
          ValueError: This module hasn't been called, so its input size is unknown.
        """
        sizes = [layer.input_size for layer in self.layers]
        if None in sizes:
            raise ValueError(
                "You cannot reverse an MLP until it has been called: "
                f"{self.module_name!r} knows all its sizes after y = mlp(x)."
            )
        return MLP(
            output_sizes=reversed(sizes),  # type: ignore[arg-type]
            w_init=self.w_init,
            b_init=self.b_init,
            with_bias=self.with_bias,
            activation=self.activation,
            activate_final=(
                self.activate_final if activate_final is None else activate_final
            ),
            name=f"{self.name}_reversed" if name is None else name,
        )
