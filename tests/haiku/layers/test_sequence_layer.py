"""Layers that run a sequence at once or step by step keep one protocol."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from hypothesis import given, settings
from hypothesis import strategies as st
from leak_checks import checking_leaks
from sequence_layers import (
    LAYERS,
    B,
    D,
    T,
    X,
    close,
    made,
    noisy,
    one_by_one,
    parallel,
)

import haiku as hk


def some_state(name):
    _, state = run(made(name), X)
    noise = np.random.default_rng(2)
    return jax.tree.map(
        lambda s: jnp.asarray(noise.standard_normal(s.shape), s.dtype), state
    )


def steps_of(name):
    """The layer unrolled step by step, with the parameters of `made(name)`."""
    return one_by_one(name).to(made(name).params)


# ---- In parallel as step by step -----------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_steps_make_the_same_parameters(name):
    whole, steps = (
        jax.jit(lambda x, f=f: f(name).init(0, x).params)(X)
        for f in (parallel, one_by_one)
    )
    close(whole, steps, 0)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_states_and_gradients_are_those_of_steps(name):
    params, state = made(name).params, some_state(name)
    noise = np.random.default_rng(3)
    weights = jax.tree.map(
        lambda s: jnp.asarray(noise.standard_normal(s.shape), s.dtype),
        run(made(name), X, state),
    )

    def results(model):
        def loss(params, x, state):
            out = model.replace(params=params)(x, state)
            return sum(
                (jnp.sin(v) * w).sum()
                for v, w in zip(jax.tree.leaves(out), jax.tree.leaves(weights))
            ), out

        return jax.jit(jax.value_and_grad(loss, (0, 1, 2), has_aux=True))(
            params, X, state
        )

    close(results(made(name)), results(steps_of(name)))


@pytest.mark.parametrize("name", LAYERS)
def test_the_state_goes_on_where_a_call_ended(name):
    model = made(name)
    y, state = run(model, X)
    first, between = run(model, X[:, :3])
    second, last = run(model, X[:, 3:], between)
    close((jnp.concatenate([first, second], axis=1), last), (y, state))


@pytest.mark.tables
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_without_batch(name):
    def step(x, batch):
        layer = LAYERS[name]()
        return layer.step(x, layer.initial_state(batch))

    model = hk.bind(step).init(0, X[:, 0], B)
    y, state = model(X[:, 0], B)
    close(model(X[1, 0], None), (y[1], jax.tree.map(lambda s: s[1], state)))


@pytest.mark.tables
def test_chunks_change_no_numbers():
    x = jnp.asarray(np.random.default_rng(4).standard_normal((1, 50, D)), jnp.float32)
    for build in (
        lambda size: hk.bind(hk.Mamba2, 3, 4, 2, chunk_size=size),
        lambda size: hk.bind(hk.GatedDeltaNet, 2, 3, 4, chunk_size=size),
    ):
        params = noisy(build(64).init(0, x).params)
        results = [
            jax.jit(build(size).init(0, x).replace(params=params))(x)
            for size in (1, 7, 16, 50, 64)
        ]
        for result in results[1:]:
            close(result, results[0])


def test_a_mamba_beyond_one_chunk():
    x = jnp.asarray(np.random.default_rng(4).standard_normal((1, 300, D)), jnp.float32)
    model = made("Mamba1")
    steps = one_by_one("Mamba1").init(0, x).replace(params=model.params)
    close(jax.jit(model)(x), jax.jit(steps)(x))


# ---- Padding -------------------------------------------------------------------------


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.booleans(), min_size=T, max_size=T), min_size=B, max_size=B),
    st.sampled_from(sorted(LAYERS)),
)
def test_padding_anywhere_is_as_if_it_were_not_there(mask, name):
    mask, model, before = np.array(mask), made(name), some_state(name)
    x = jnp.asarray(np.where(mask[:, :, None], X, np.nan))
    y, state = run(model, x, before, mask=jnp.asarray(mask))
    assert not np.any(np.asarray(y)[~mask])
    for row in range(B):
        own = jax.tree.map(lambda s, row=row: s[row : row + 1], before)
        want, after = run(model, X[row : row + 1, mask[row]], own)
        np.testing.assert_allclose(y[row, mask[row]], want[0], rtol=1e-5, atol=1e-5)
        close(jax.tree.map(lambda s, row=row: s[row : row + 1], state), after)


@pytest.mark.parametrize("name", LAYERS)
def test_no_gradient_passes_padding(name):
    model, mask = made(name), jnp.arange(T)[None] >= 3

    def loss(params, x, mask):
        y, state = model.replace(params=params)(x, mask=mask)
        parts = jax.tree.leaves((y, state))
        return sum(jnp.sin(v).sum() for v in parts)

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    grads, of_x = gradient(model.params, X[:1], mask)
    assert not np.any(of_x[:, :3])
    close((grads, of_x[:, 3:]), gradient(model.params, X[:1, 3:], None), 3e-5)


# ---- Dtypes and transformations ------------------------------------------------------


@pytest.mark.tables
@pytest.mark.parametrize("name", LAYERS)
def test_half_precision(name):
    model, x = made(name), X.astype(jnp.bfloat16)
    params = jax.tree.map(lambda p: p.astype(x.dtype), model.params)

    def loss(params):
        y, state = model.replace(params=params)(x)
        return y.astype(jnp.float32).sum(), (y, state)

    grads, (y, state) = jax.grad(loss, has_aux=True)(params)
    assert y.dtype == jnp.bfloat16
    assert {s.dtype for s in jax.tree.leaves(state)} == {jnp.dtype(np.float32)}
    assert all(np.isfinite(g.astype(np.float32)).all() for g in jax.tree.leaves(grads))
    close((y, state), model(X), 0.1)
    # A state of the caller's dtype stays one, as a loop needs.
    half = jax.tree.map(lambda s: s.astype(x.dtype), state)
    _, after = model.replace(params=params)(x, half)
    assert {s.dtype for s in jax.tree.leaves(after)} == {jnp.dtype(jnp.bfloat16)}


@pytest.mark.parametrize("name", LAYERS)
def test_strict_promotion_with_a_mask(name):
    model, mask, state = made(name), jnp.ones([B, T], bool), some_state(name)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for x in (X, X.astype(jnp.bfloat16)):
            params = jax.tree.map(lambda p, x=x: p.astype(x.dtype), model.params)
            jax.eval_shape(model.replace(params=params), x, state, mask=mask)


@pytest.mark.tables
@pytest.mark.parametrize("name", LAYERS)
def test_inside_vmap_and_scan(name):
    def mapped(x):  # [N, B, T, D]
        layer = LAYERS[name]()
        return hk.vmap(layer, split_rng=not hk.running_init())(x)

    def scanned(x):
        layer = LAYERS[name]()
        return hk.scan(lambda _, x: (None, layer(x)), None, x)[1]

    x, model = jnp.stack([X, 0.5 * X]), made(name)
    want = jax.tree.map(lambda *r: jnp.stack(r), model(x[0]), model(x[1]))
    for f in (mapped, scanned):
        net = hk.bind(f).init(0, x).replace(params=model.params)
        close(jax.jit(net)(x), want)


@pytest.mark.parametrize("name", LAYERS)
def test_leaks(name):
    with checking_leaks():
        jax.eval_shape(lambda: one_by_one(name).init(0, X)(X))


@pytest.mark.tables
@pytest.mark.parametrize("name", LAYERS)
def test_strong_and_weak_inputs_give_finite_gradients(name):
    model = parallel(name).init(0, X)
    gradient = jax.jit(
        jax.grad(lambda p, x: model.replace(params=p)(x)[0].sum(), argnums=(0, 1))
    )
    for scale in (0.0, 1e-20, 1e3):
        grads = gradient(model.params, scale * X)
        assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads)), scale


# ---- Errors --------------------------------------------------------------------------


def checked(layer, *args, **options):
    return hk.bind(lambda *a, **o: layer()(*a, **o)).init(0, *args, **options)


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_shapes(name):
    build = LAYERS[name]
    with pytest.raises(ValueError, match=r"\[batch, steps, features\], got \(7, 6\)"):
        checked(build, X[0])
    with pytest.raises(ValueError, match=r"\[batch, features\], got \(2, 7, 6\)"):
        hk.bind(lambda x: build().step(x, None)).init(0, X)
    state = some_state(name)
    wrong = jax.tree.map(lambda s: s[:1], state)
    with pytest.raises(ValueError, match=r"start from initial_state\(2\)"):
        checked(build, X, wrong)
    with pytest.raises(ValueError, match=r"start from initial_state\(2\)"):
        checked(build, X, (state, state))
    with pytest.raises(ValueError, match=r"\[B, T\] = \[2, 7\]; got \[2, 6\]"):
        checked(build, X, mask=jnp.ones([2, 6]))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: hk.RGLRU(6, 4), "must divide its size, got 4 for 6"),
        (lambda: hk.RGLRU(8, 2), r"it needs as many features"),
        (lambda: hk.S5(6, 2), "got 6 for 2"),
        (lambda: hk.S5(0), "state_size of 's5' must be at least 1, got 0"),
        (lambda: hk.Mamba1(0), "state_size of 'mamba1' must be at least 1, got 0"),
        (lambda: hk.Mamba1(conv_size=0), "conv_size of 'mamba1' must be at least 1"),
        (lambda: hk.Mamba2(4, 3, num_groups=2), "must divide its heads, got 2 for 3"),
        (lambda: hk.Mamba2(4), r"got 64 for 2 \* 6: pass another head_size"),
        (lambda: hk.GatedDeltaNet(2, 0, 4), "key_size of 'gated_delta_net' must"),
        (lambda: hk.MinGRU(0), "size of 'min_gru' must be at least 1, got 0"),
    ],
)
def test_wrong_sizes(layer, message):
    with pytest.raises(ValueError, match=message):
        checked(layer, X)


@pytest.mark.parametrize(
    ("build", "argument"),
    [(lambda: hk.Mamba1(), "inner_size"), (lambda: hk.Mamba2(), "num_heads")],
)
def test_a_state_of_unknown_size(build, argument):
    with pytest.raises(ValueError, match=f"build it with {argument}=..."):
        hk.bind(lambda: build().initial_state(2)).init(0)


def test_the_state_of_a_mamba_after_a_call():
    def both(x):
        layer = hk.Mamba1(3)
        _, state = layer(x)
        return state, layer.initial_state(B)

    state, initial = hk.bind(both).init(0, X)(X)
    shapes = [jax.tree.map(jnp.shape, s) for s in (state, initial)]
    assert shapes[0] == shapes[1] == ((B, 3, 2 * D), (B, 2 * D, 3))
