"""`Frozen`: parameters without gradients."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax

from haiku.adapt.adaptation import FROZEN, Adaptation, Arrays

__all__ = ["Frozen"]


@dataclasses.dataclass(frozen=True, repr=False)
class Frozen(Adaptation):
    """Ends gradients at parameters of any shape.

    Parameters that adaptations keep beside a weight (`lora_a`) are not found, so that
    ``Frozen("**")`` beside :class:`LoRA` trains the update alone. A frozen dataclass;
    also a context manager, inside a transformed function.

    Args:
      pattern: Which parameters, by their path.

    Gradient:
      Zero. An optimizer that decays weights still changes them: give it a mask.

    Raises:
      ValueError: In use, `pattern` finds nothing, or a parameter is frozen already.

    Example:
      >>> model = hk.bind(hk.Linear, 2).init(0, jnp.ones([1, 3]))
      >>> model = hk.adapt.add(model, hk.adapt.Frozen("**/w"))
      >>> grads = jax.grad(lambda model: jnp.sum(model(jnp.ones([1, 3]))))(model)
      >>> bool(grads.params["linear"]["w"].any())
      False
    """

    kind: ClassVar[str] = FROZEN

    def _read(self, w: Any, own: Arrays, name: str, key: Any = None) -> Any:
        """The same without a gradient."""
        return jax.lax.stop_gradient(w)
