"""Episodes that were interrupted."""

import numpy as np

import rlax


def test_step_before_a_first_step_becomes_last():
    steps = np.array([[0, 1], [1, 1], [0, 2], [1, 0]])
    fixed = rlax.fix_step_type_on_interruptions(steps)
    np.testing.assert_array_equal(fixed, [[0, 1], [2, 1], [0, 2], [1, 0]])
