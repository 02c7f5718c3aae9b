"""Off-policy returns beside plain loops over their equations."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
from random_streams import (
    SETTINGS,
    T,
    bootstrap,
    both_ways,
    build,
    close,
    ends,
    streams,
    with_values,
)

import rlax


def importance_loop(s):
    e = np.zeros(T)
    for t in reversed(range(s["length"])):
        delta = s["r"][t] + s["d"][t] * bootstrap(s, t) - s["v0"][t]
        after = 0.0 if ends(s, t) else e[t + 1]
        e[t] = s["rho"][t] * (delta + s["d"][t] * s["l"][t] * after)
    return e


errors = build(rlax.importance_corrected_td_errors, ("r", "d", "rho", "l", "values"))


@both_ways
@SETTINGS
@hypothesis.given(s=streams())
def test_importance_corrected_errors_equal_the_loop(parallel, s):
    s = with_values(s)
    close(errors(parallel)(s), importance_loop(s))


def test_stopped_errors_pass_gradient_to_predictions_alone():
    x = jnp.linspace(0.1, 0.9, 4)
    grads = jax.grad(
        lambda *a: rlax.importance_corrected_td_errors(
            *a[:4], jnp.append(a[4], 0.3), True
        ).sum(),
        argnums=range(5),
    )(x, x, x, x, x)
    for g in grads[:4]:
        assert not g.any()
    np.testing.assert_allclose(grads[4], -np.ones(4))
