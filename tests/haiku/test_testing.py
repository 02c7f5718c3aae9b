"""`hk.testing.transform_and_run`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

run = hk.testing.transform_and_run


def record_phase_and_key(seen):
    def f(x=None):
        seen.append((hk.running_init(), hk.maybe_next_rng_key()))
        return x

    return f


def test_it_runs_init_then_apply():
    seen = []
    assert run(record_phase_and_key(seen))(3) == 3
    assert [phase for phase, _ in seen] == [True, False]


def test_it_keeps_name_and_arguments():
    @run
    def f(x, *, scale=1):
        """Docs."""
        return hk.Linear(2, w_init=jnp.ones)(x) * scale

    assert f.__name__ == "f" and f.__doc__ == "Docs."
    np.testing.assert_array_equal(f(jnp.ones([1, 3]), scale=2), [[6, 6]])


def test_it_decorates_methods_with_options():
    class Case:
        @run(run_apply=False)
        def init_only(self, x):
            return x

        @run(seed=1)
        def both(self, x):
            return type(self).__name__, hk.get_state("s", [], init=jnp.zeros), x

    assert Case().init_only(1) is None
    assert Case().both(2)[::2] == ("Case", 2)


def test_init_and_apply_get_successive_seeds():
    def draw(rng):
        return hk.transform(lambda: hk.next_rng_key()).apply({}, rng)

    for seed in (42, 7):
        seen = []
        run(record_phase_and_key(seen), seed=seed)()
        np.testing.assert_array_equal(seen[0][1], draw(jax.random.PRNGKey(seed)))
        np.testing.assert_array_equal(seen[1][1], draw(jax.random.PRNGKey(seed + 1)))
    seen = []
    run(record_phase_and_key(seen), seed=None)()
    assert [key for _, key in seen] == [None, None]


def test_state_passes_from_init_to_apply():
    @run
    def f():
        count = hk.get_state("count", [], init=jnp.zeros)
        hk.set_state("count", count + 1)
        return count

    assert f() == 0 == f()


def test_jax_transform_gets_mapped_keys():
    seen = []

    def map_rng(key):
        seen.append(key)
        return jnp.broadcast_to(key, (1, *key.shape))

    @run(jax_transform=lambda f: jax.pmap(f, "i"), map_rng=map_rng)
    def f(x):
        w = hk.get_parameter("w", [], init=jnp.ones)
        assert isinstance(w, jax.core.Tracer)
        return jax.lax.psum(w, "i") + x  # `x` is closed over, so it isn't mapped.

    assert f(2.0).tolist() == [3.0]
    assert len(seen) == 2


@pytest.mark.parametrize("f", [3, "seed"])
def test_other_values_than_functions_raise(f):
    with pytest.raises(TypeError, match="takes a function, got"):
        run(f)


def test_a_wrong_seed_raises():
    with pytest.raises(TypeError, match="integer or None, got 'a'"):
        run(lambda: 0, seed="a")()


def test_errors_pass_through_and_leave_nothing_behind():
    @run
    def f():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        f()
    with pytest.raises(ValueError, match="hk.transform"):
        hk.next_rng_key()
