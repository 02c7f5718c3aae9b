"""What the examples in docstrings may use without importing it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk
import rlax


@pytest.fixture(autouse=True)
def _names_in_docstrings(doctest_namespace):
    doctest_namespace.update(hk=hk, jax=jax, jnp=jnp, np=np, rlax=rlax)
