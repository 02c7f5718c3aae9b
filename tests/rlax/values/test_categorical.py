"""Projection of categorical distributions beside a plain loop."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np

import rlax

SETTINGS = hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
SEEDS = st.integers(0, 2**32 - 1)


def project_loop(z_p, probs, z_q):
    out = np.zeros(len(z_q))
    for z, p in zip(np.clip(z_p, z_q[0], z_q[-1]), probs):
        for i, atom in enumerate(z_q):
            if i and z_q[i - 1] <= z <= atom:
                share = (z - z_q[i - 1]) / (atom - z_q[i - 1])
                out[i - 1] += p * (1 - share)
                out[i] += p * share
                break
    return out


project = jax.jit(rlax.categorical_l2_project)


@SETTINGS
@hypothesis.given(seed=SEEDS)
def test_projection_equals_the_loop_and_keeps_the_mass(seed):
    random = np.random.default_rng(seed)
    z_p, probs = 3 * random.standard_normal(6), random.standard_normal(6)
    z_q = np.cumsum(0.1 + random.random(5)) - 2
    f32 = [x.astype(np.float32) for x in (z_p, probs, z_q)]
    have = project(*f32)
    np.testing.assert_allclose(have, project_loop(*f32), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(have.sum(), f32[1].sum(), rtol=1e-4, atol=1e-4)


def test_projection_onto_itself_and_onto_one_atom():
    z, p = np.linspace(-1, 1, 5), np.array([0.1, 0.2, 0.3, 0.4, 0.0])
    np.testing.assert_allclose(rlax.categorical_l2_project(z, p, z), p, atol=1e-7)
    np.testing.assert_allclose(rlax.categorical_l2_project(z, p, z[:1]), [1.0])
    unsorted = jnp.array([1.0, 0.0])
    assert jnp.isnan(rlax.categorical_l2_project(z, p, unsorted)).all()
