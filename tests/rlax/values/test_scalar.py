"""One-step TD errors: each next value, and gradients of targets."""

import jax
import numpy as np
import pytest

import rlax

R, G = 0.5, 0.9
Q0, Q1 = np.array([1.0, 2.0, 3.0]), np.array([4.0, 6.0, 5.0])


def test_each_error_has_its_next_value():
    """The next value of each op, written out."""

    def at(v):
        return R + G * v - Q0[1]

    errors = {
        "sarsa": (rlax.sarsa(Q0, 1, R, G, Q1, 2), at(5)),
        "expected_sarsa": (
            rlax.expected_sarsa(Q0, 1, R, G, Q1, np.array([0.5, 0.25, 0.25])),
            at(4.75),
        ),
        "q_learning": (rlax.q_learning(Q0, 1, R, G, Q1), at(6)),
        "double_q": (rlax.double_q_learning(Q0, 1, R, G, Q1, -Q1), at(4)),
        "persistent": (
            rlax.persistent_q_learning(Q0, 2, R, G, Q1, 0.25),
            R + G * (0.75 * 6 + 0.25 * 5) - 3,
        ),
        "qv": (rlax.qv_learning(Q0, 1, R, G, 7.0), at(7)),
        "qv_max": (rlax.qv_max(2.0, R, G, Q1), at(6)),
        "td": (rlax.td_learning(2.0, R, G, 7.0), at(7)),
    }
    for name, (have, want) in errors.items():
        np.testing.assert_allclose(have, want, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("stop", [True, False])
def test_stopped_target_passes_no_gradient(stop):
    grads = jax.grad(rlax.td_learning, (0, 1, 2, 3))(2.0, R, G, 7.0, stop)
    np.testing.assert_allclose(grads, [-1, 0, 0, 0] if stop else [-1, 1, 7, G])
