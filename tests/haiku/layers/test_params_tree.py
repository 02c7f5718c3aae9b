"""Trees of parameters, an array per submodule."""

import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run
X = np.random.RandomState(0).randn(5, 3).astype(np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hk.EMAParamsTree(0.5)([X]), TypeError, "'ema_params_tree'.*list"),
        (lambda: hk.EMAParamsTree(0.5)({"a": X}), TypeError, "{module: {name: array}}"),
    ],
)
def test_other_trees_raise(call, error, message):
    with pytest.raises(error, match=message):
        run(call)()
