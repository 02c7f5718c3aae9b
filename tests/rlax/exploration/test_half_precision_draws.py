"""A key gives half precision the draw that it gives float32, rounded."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import rlax

KEY = jax.random.key(7)
X = jax.random.normal(jax.random.key(1), (64, 5))
DRAWS = {
    "add_gaussian_noise": lambda x: rlax.add_gaussian_noise(KEY, x, 0.5),
    "add_ornstein_uhlenbeck_noise": lambda x: rlax.add_ornstein_uhlenbeck_noise(
        KEY, x[0], x[1], 0.2, 0.5
    ),
    "add_dirichlet_noise": lambda x: rlax.add_dirichlet_noise(
        KEY, jax.nn.softmax(x), 0.5, 0.5
    ),
    "epsilon_greedy": lambda x: rlax.epsilon_greedy(0.5).sample(KEY, x),
    "greedy": lambda x: rlax.greedy().sample(KEY, x),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("name", DRAWS)
def test_draws(name, dtype):
    x = X.astype(dtype)
    half, single = DRAWS[name](x), DRAWS[name](x.astype(jnp.float32))
    if jnp.issubdtype(single.dtype, jnp.floating):
        assert half.dtype == dtype
    np.testing.assert_allclose(half.astype(jnp.float32), single, atol=0.04, rtol=0)
