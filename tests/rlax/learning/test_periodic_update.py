"""Updates of a tree at some steps only."""

import jax
import jax.numpy as jnp
import numpy as np

import rlax


def test_tree_is_new_at_every_third_step_and_on_a_condition():
    new, old = {"x": jnp.ones(2)}, {"x": jnp.zeros(2)}
    for step, want in ((0, 1), (1, 0), (3, 1)):
        have = jax.jit(lambda s: rlax.periodic_update(new, old, s, 3))(step)
        np.testing.assert_array_equal(have["x"], np.full(2, want))
    assert rlax.conditional_update(new, old, 0)["x"][0] == 0
