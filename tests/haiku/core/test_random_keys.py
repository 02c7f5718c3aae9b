"""Key sequences, and keys inside transformed functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

KINDS = {"legacy": jax.random.PRNGKey, "typed": jax.random.key}


@pytest.fixture(params=KINDS, ids=list(KINDS))
def key(request):
    return KINDS[request.param](3)


def data(keys):
    return [jax.random.key_data(k).tolist() for k in keys]


def chain(key, num):
    keys = []
    for _ in range(num):
        key, subkey = jax.random.split(key)
        keys.append(subkey)
    return keys


def test_sequence_splits_one_after_the_other(key):
    sequence = hk.PRNGSequence(key)
    assert data([next(sequence), sequence.next(), *sequence.take(1)]) == data(
        chain(key, 3)
    )
    assert iter(sequence) is sequence


def test_take_and_reserve_split_at_once(key):
    at_once = list(jax.random.split(key, 4)[1:])
    assert data(hk.PRNGSequence(key).take(3)) == data(at_once)
    sequence = hk.PRNGSequence(key)
    sequence.reserve(0)
    sequence.reserve(3)
    assert data([next(sequence) for _ in range(3)]) == data(at_once)


def test_many_keys_at_once(key):
    assert data(hk.PRNGSequence(key).take(100)) == data(jax.random.split(key, 101)[1:])


@pytest.mark.parametrize("seed", [7, np.int64(7), np.array(7), jnp.int32(7)])
def test_seeds(seed):
    want = data(chain(jax.random.PRNGKey(7), 1))
    assert data([next(hk.PRNGSequence(seed))]) == want
    assert data([hk.transform(hk.next_rng_key).apply({}, seed)]) == want
    if not isinstance(seed, int):
        jitted = jax.jit(lambda s: next(hk.PRNGSequence(s)))
        assert data([jitted(seed)]) == want


def test_numpy_keys():
    key = jax.random.PRNGKey(3)
    assert data([next(hk.PRNGSequence(np.asarray(key)))]) == data(chain(key, 1))


def test_state_of_a_sequence(key):
    a = hk.PRNGSequence(key)
    a.reserve(2)
    b = hk.PRNGSequence(a.internal_state)
    assert data([next(a) for _ in range(4)]) == data([next(b) for _ in range(4)])
    b.replace_internal_state(a.internal_state)
    assert data([next(a)]) == data([next(b)])
    for bad in (key, (key,)):
        with pytest.raises(ValueError, match="pair \\(key, reserved keys\\)"):
            b.replace_internal_state(bad)
    with pytest.raises(ValueError, match="starts with a key"):
        b.replace_internal_state((3.5, ()))


def test_reserve_size(key):
    at_once = list(jax.random.split(key, 6)[1:])
    with hk.config.context(rng_reserve_size=5):
        sequence = hk.PRNGSequence(key)
        sequence.reserve_up_to_full()
        assert len(sequence.internal_state[1]) == 5
        assert data([next(sequence) for _ in range(5)]) == data(at_once)
        net = hk.transform(lambda: [hk.next_rng_key() for _ in range(5)])
        assert data(net.apply({}, key)) == data(at_once)
    sequence.reserve(3)
    sequence.reserve_exactly(1)
    assert len(sequence.internal_state[1]) == 1


def test_keys_of_a_transformed_function(key):
    def f():
        first, (second, third) = hk.next_rng_key(), hk.next_rng_keys(2)
        maybe = hk.maybe_next_rng_key()
        return first, second, third, maybe

    keys = hk.transform(f).apply({}, key)
    assert len({str(k) for k in data(keys)}) == 4
    assert data(jax.jit(hk.transform(f).apply)({}, key)) == data(keys)
    assert hk.transform(hk.maybe_next_rng_key).apply({}, None) is None
    assert hk.transform(hk.maybe_get_rng_sequence_state).apply({}, None) is None


def test_with_rng_and_reserve(key):
    other = jax.random.PRNGKey(9)

    def f():
        with hk.with_rng(other):
            inside = hk.next_rng_key()
        hk.reserve_rng_keys(2)
        return inside, hk.next_rng_key(), hk.next_rng_key()

    inside, *outside = hk.transform(f).apply({}, key)
    assert data([inside]) == data(chain(other, 1))
    assert data(outside) == data(jax.random.split(key, 3)[1:])


def test_with_rng_ends_with_its_block_and_works_without_a_key():
    def f():
        with pytest.raises(RuntimeError), hk.with_rng(1):
            raise RuntimeError
        with hk.with_rng(jax.random.PRNGKey(1)):
            hk.next_rng_key()
        return hk.maybe_next_rng_key()

    assert hk.transform(f).apply({}, None) is None
    with pytest.raises(ValueError, match="not a JAX PRNGKey"):
        hk.transform(lambda: hk.with_rng("x")).apply({}, None)


def test_sequence_state_can_be_replaced(key):
    def f():
        state = hk.maybe_get_rng_sequence_state()
        first = hk.next_rng_key()
        hk.replace_rng_sequence_state(state)
        return first, hk.next_rng_key()

    first, again = hk.transform(f).apply({}, key)
    assert data([first]) == data([again])
    with pytest.raises(ValueError, match="non-None PRNGKey"):
        hk.transform(lambda: hk.replace_rng_sequence_state((key, ()))).apply({}, None)


def test_other_key_implementations():
    with jax.default_prng_impl("rbg"):
        key = jax.random.PRNGKey(1)
        assert hk.transform(hk.next_rng_key).apply({}, key).shape == (4,)
        with pytest.raises(ValueError, match="uint32\\[2\\]"):
            hk.transform(hk.next_rng_key).apply({}, key[:2])
    typed = jax.random.key(1, impl="rbg")
    net = hk.transform(lambda x: hk.Linear(3)(x))
    assert net.init(typed, jnp.ones((1, 2)))["linear"]["w"].shape == (2, 3)


def test_draw_is_the_draw_of_the_next_key(key):
    from haiku._core import draw

    def both():
        state = hk.maybe_get_rng_sequence_state()
        drawn = draw(_normal, (3,)), draw(_normal, [2])  # a list can't be hashed
        hk.replace_rng_sequence_state(state)
        a, b = hk.next_rng_key(), hk.next_rng_key()
        plain = jax.random.normal(a, (3,)), jax.random.normal(b, (2,))
        return drawn, plain

    for size in (1, 4):
        with hk.config.context(rng_reserve_size=size):
            drawn, plain = hk.transform(both).apply({}, key)
            assert jax.tree.all(jax.tree.map(jnp.array_equal, drawn, plain))


def _normal(key, rounded, shape):
    return rounded(jax.random.normal(key, tuple(shape)))


def test_optimize_rng_use(key):
    def f(x):
        a = hk.next_rng_key()
        b = hk.Linear(3)(x)
        return a, hk.next_rng_key(), b

    net = hk.transform(hk.experimental.optimize_rng_use(f))
    params = net.init(key, jnp.ones((1, 2)))
    a, b, _ = net.apply(params, key, jnp.ones((1, 2)))
    assert data([a, b]) == data(jax.random.split(key, 3)[1:])
    w_key = jax.random.split(key, 4)[2]  # at init `w` takes the second of three keys
    drawn = jax.random.truncated_normal(w_key, -2, 2, (2, 3)) / jnp.sqrt(2)
    assert jnp.allclose(params["linear"]["w"], drawn, 1e-6)
    without = hk.transform(
        hk.experimental.optimize_rng_use(lambda: hk.maybe_next_rng_key())
    )
    assert without.apply({}, None) is None
