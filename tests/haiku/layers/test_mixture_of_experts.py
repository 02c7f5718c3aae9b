"""`hk.MixtureOfExperts`: beside loops over tokens, transformers' blocks, and JAX."""

import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads
from leak_checks import checking_leaks

import haiku as hk

VALUES = json.loads(
    (pathlib.Path(__file__).parents[1] / "oracle_values/experts.json").read_text()
)["cases"]
B, T, D, F = 2, 7, 4, 6
RANDOM = np.random.default_rng(0)
X = jnp.asarray(RANDOM.standard_normal((B, T, D)), jnp.float32)
MASK = jnp.array([[True] * T, [True, False, True, True, False, False, False]])
NORMAL = hk.initializers.RandomNormal(0.7)


def of_gpt_oss(gate, up):
    gate, up = jnp.minimum(gate, 7.0), jnp.clip(up, -7.0, 7.0)
    return (up + 1) * gate * jax.nn.sigmoid(1.702 * gate)


def layer(experts=5, selected=2, x=X, **options):
    net = hk.bind(hk.MixtureOfExperts, experts, selected, F, w_init=NORMAL, **options)
    model = jax.jit(lambda x: net.init(0, x))(x)
    # Biases that do something.
    noise = np.random.default_rng(1)
    params = jax.tree.map(
        lambda p: p + 0.3 * noise.standard_normal(p.shape).astype(p.dtype), model.params
    )
    return model.replace(params=params)


def in_loops(model, x, mask=None, *, selected=2, capacity=None, **options):
    """The outputs and losses, token after token and expert after expert, in NumPy."""
    router, p = (
        jax.tree.map(lambda v: np.asarray(v, float), model.params[name])
        for name in ("mixture_of_experts/router", "mixture_of_experts")
    )
    tokens = np.asarray(x, float).reshape(-1, x.shape[-1])
    mask = np.ones(len(tokens), bool) if mask is None else np.asarray(mask).reshape(-1)
    experts, y = router["w"].shape[1], np.zeros_like(tokens)
    room = np.full(experts, np.inf)
    if capacity is not None:
        room[:] = math.ceil(selected * len(tokens) * capacity / experts)
    choices, sums, squares = np.zeros(experts), np.zeros(experts), 0.0

    def linear(v, name, e):
        return v @ p[name][e] + (p[f"{name}_b"][e] if f"{name}_b" in p else 0)

    for n in np.flatnonzero(mask):
        logits = tokens[n] @ router["w"] + router.get("b", 0)
        probabilities = np.exp(logits) / np.sum(np.exp(logits))
        chosen = np.argsort(-logits, kind="stable")[:selected]
        if options.get("router") == "softmax_of_selected":
            weights = np.exp(logits[chosen]) / np.sum(np.exp(logits[chosen]))
        else:
            weights = probabilities[chosen]
            if options.get("renormalise", True):
                weights = weights / np.sum(weights)
        for e, weight in zip(chosen, weights):
            choices[e] += 1
            if choices[e] > room[e]:
                continue
            hidden, gated = linear(tokens[n], "up", e), options.get("gated", True)
            if gated:
                gate = linear(tokens[n], "gate", e)
                if callable(gated):
                    hidden = np.asarray(gated(gate, hidden))
                else:
                    hidden = gate / (1 + np.exp(-gate)) * hidden
            else:
                hidden = np.maximum(hidden, 0)
            y[n] += weight * linear(hidden, "down", e)
        sums += probabilities
        squares += np.log(np.sum(np.exp(logits))) ** 2
    count = max(1, np.sum(mask))
    balance = experts * np.sum(choices / (selected * count) * sums / count)
    return y.reshape(x.shape), (balance, squares / count)


def check_beside_loops(experts, selected, mask=None, capacity=None, **options):
    model = layer(experts, selected, capacity_factor=capacity, **options)
    y, losses = run(model, X, mask)
    want, wanted_losses = in_loops(
        model, X, mask, selected=selected, capacity=capacity, **options
    )
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(losses, wanted_losses, rtol=1e-5, atol=1e-5)


def test_parameters():
    shapes = jax.tree.map(jnp.shape, layer(with_bias=True).params)
    assert shapes == {
        "mixture_of_experts/router": {"w": (D, 5), "b": (5,)},
        "mixture_of_experts": {
            **{"gate": (5, D, F), "up": (5, D, F), "down": (5, F, D)},
            **{"gate_b": (5, F), "up_b": (5, F), "down_b": (5, D)},
        },
    }
    shapes = jax.tree.map(jnp.shape, layer(gated=False).params)
    assert set(shapes["mixture_of_experts"]) == {"up", "down"}
    assert set(shapes["mixture_of_experts/router"]) == {"w"}


def test_weights_start_in_the_scale_of_their_inputs():
    model = hk.bind(hk.MixtureOfExperts, 8, 2, 400).init(0, jnp.ones([1, 100]))
    for name, size in {"gate": 100, "up": 100, "down": 400}.items():
        std = jnp.std(model.params["mixture_of_experts"][name]) * math.sqrt(size)
        np.testing.assert_allclose(std, 0.88, atol=0.02)  # cut off at two deviations


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"renormalise": False},
        {"router": "softmax_of_selected"},
        {"gated": False, "activation": jax.nn.relu},
        {"gated": of_gpt_oss, "with_bias": True},
    ],
)
@pytest.mark.parametrize("capacity", [None, 0.6])
def test_the_layer_is_its_equation(options, capacity):
    check_beside_loops(5, 2, MASK, capacity, **options)


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.sampled_from([(1, 1), (3, 1), (3, 3), (4, 2), (14, 2), (28, 3), (40, 2)]),
    st.lists(st.booleans(), min_size=B * T, max_size=B * T),
    st.sampled_from([None, 1e-3, 0.5, 1.0, 1.1, 100.0]),
)
def test_any_number_of_experts(sizes, mask, capacity):
    check_beside_loops(*sizes, jnp.array(mask).reshape(B, T), capacity)


@pytest.mark.parametrize("counts", [(14, 0, 0), (0, 0, 14), (5, 5, 4), (13, 0, 1)])
def test_experts_with_any_load(counts):
    """The blocks suffice however uneven the choices are."""
    choice = np.repeat(np.arange(3), counts)
    x = jnp.asarray(np.eye(3)[RANDOM.permutation(choice)], jnp.float32)
    model = layer(3, 1, x)
    router = {"w": 9 * jnp.eye(3)}
    model = model.replace(params=model.params | {"mixture_of_experts/router": router})
    want, _ = in_loops(model, x, selected=1)
    np.testing.assert_allclose(run(model, x)[0], want, rtol=1e-4, atol=1e-4)


def test_equal_logits_choose_the_first():
    model = layer(4, 2, with_bias=True)
    params = jax.tree.map(jnp.zeros_like, model.params)
    number = jnp.broadcast_to(jnp.arange(4.0)[:, None], [4, D])
    params["mixture_of_experts"]["down_b"] = number
    y, losses = run(model.replace(params=params), X)
    np.testing.assert_allclose(y, 0.5)  # the mean of experts 0 and 1
    np.testing.assert_allclose(losses.load_balance, 1.0, rtol=1e-6)
    np.testing.assert_allclose(losses.z, math.log(4) ** 2, rtol=1e-6)


def test_choices_are_dropped_in_order():
    """All tokens want expert 0: the first two get it, and masked ones take no room."""
    x, mask = jnp.ones([6, 1]), jnp.array([False, True, True, False, True, True])
    model = hk.bind(
        hk.MixtureOfExperts, 3, 1, 2, capacity_factor=1.0, w_init=jnp.ones
    ).init(0, x)
    y, _ = run(model, x, mask)
    np.testing.assert_array_equal(y[:, 0] != 0, [0, 1, 1, 0, 0, 0])


# ---- Beside transformers ------------------------------------------------------------

BLOCKS = {
    "mixtral": {},
    "qwen3_moe, norm_topk_prob=True": {},
    "qwen3_moe, norm_topk_prob=False": {"renormalise": False},
    "gpt_oss": {
        **{"router": "softmax_of_selected", "with_bias": True},
        "gated": of_gpt_oss,
    },
}


@pytest.mark.parametrize("case", VALUES, ids=lambda case: case["block"])
def test_values_of_transformers(case):
    def by_module(values):
        tree = {"mixture_of_experts/router": {}, "mixture_of_experts": {}}
        for name, value in values.items():
            path, _, name = f"mixture_of_experts/{name}".rpartition("/")
            tree[path][name] = jnp.asarray(value, jnp.float32)
        return tree

    x = jnp.asarray(case["x"], jnp.float32)
    model = hk.bind(hk.MixtureOfExperts, 5, 2, 4, **BLOCKS[case["block"]]).init(0, x)
    model = model.replace(params=by_module(case["parameters"]))
    np.testing.assert_allclose(run(model, x)[0], case["y"], rtol=1e-5, atol=1e-5)
    mask = jnp.asarray(case["mask"])  # integers, as tokenizers give them
    _, losses = run(model, x, mask)
    np.testing.assert_allclose(losses.load_balance, case["load_balance"], rtol=1e-5)

    def loss(params, x):
        return jnp.sum(jnp.sin(model.replace(params=params)(x)[0]))

    params, by_x = jax.jit(jax.grad(loss, (0, 1)))(model.params, x)
    want = dict(case["gradients"])
    np.testing.assert_allclose(by_x, want.pop("x"), rtol=1e-4, atol=1e-5)
    for path, values in by_module(want).items():
        for name, value in values.items():
            np.testing.assert_allclose(params[path][name], value, rtol=1e-4, atol=1e-5)


# ---- Masks and gradients ------------------------------------------------------------


@pytest.mark.parametrize("capacity", [None, 0.6])
def test_masked_tokens_reach_nothing(capacity):
    model = layer(capacity_factor=capacity, with_bias=True)

    def loss(params, x):
        y, losses = model.replace(params=params)(x, MASK)
        return jnp.sum(jnp.sin(y)) + sum(losses), (y, losses)

    loss = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    broken = jnp.where(MASK[..., None], X, jnp.nan)
    have, want = loss(model.params, broken), loss(model.params, X)
    jax.tree.map(np.testing.assert_array_equal, have, want)
    (_, (y, _)), (_, by_x) = have
    assert not np.any(y[~MASK]) and not np.any(by_x[~MASK])


@pytest.mark.parametrize("capacity", [None, 1.0])
def test_without_tokens_losses_are_zero(capacity):
    model = layer(capacity_factor=capacity)
    for x, mask in ((X, jnp.zeros([B, T], bool)), (X[:0], None)):
        y, losses = run(model, x, mask)
        assert y.shape == x.shape and not np.any(y)
        np.testing.assert_array_equal(losses, (0.0, 0.0))
        gradient = jax.jit(jax.grad(lambda x, m: sum(model(x, m)[1])))(x, mask)
        np.testing.assert_array_equal(gradient, jnp.zeros_like(x))


def test_gradients_are_slopes():
    """In double precision, by the parameters and inputs, forward and backward."""
    with jax.enable_x64():
        x = jnp.asarray(np.asarray(X), jnp.float64)
        for capacity in (None, 0.6):
            model = layer(
                x=x, capacity_factor=capacity, renormalise=False, with_bias=True
            )

            def loss(params, x, model=model):
                y, losses = model.replace(params=params)(x, MASK)
                assert {y.dtype, *(v.dtype for v in losses)} == {jnp.dtype(float)}
                return jnp.sum(jnp.sin(y)) + losses.load_balance + losses.z

            order = 2 if capacity is None else 1
            check_grads(jax.jit(loss), (model.params, x), order, eps=1e-6)


def test_the_choice_itself_has_no_gradient():
    """`load_balance` reaches the router through its probabilities."""
    model = layer()
    path = "mixture_of_experts/router"

    def loss(w):
        params = model.params | {path: {"w": w}}
        return model.replace(params=params)(X)[1].load_balance

    w = model.params[path]["w"]
    _, chosen = jax.lax.top_k(X @ w, 2)
    part = jnp.mean(jax.nn.one_hot(chosen, 5), (0, 1, 2))
    want = jax.grad(
        lambda w: 5 * jnp.sum(part * jnp.mean(jax.nn.softmax(X @ w), (0, 1)))
    )(w)
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(w), want, rtol=1e-4, atol=1e-6)
    balance = jax.grad(lambda p: model.replace(params=p)(X)[1].load_balance)
    params = jax.jit(balance)(model.params)
    assert not any(map(np.any, params["mixture_of_experts"].values()))


# ---- JAX's transformations ----------------------------------------------------------


@pytest.mark.parametrize("capacity", [None, 0.6])
def test_vmap_over_anything(capacity):
    """Examples, parameters, both, and twice; also gradients, forward and backward."""
    model = layer(capacity_factor=capacity)
    params = jax.tree.map(lambda p: jnp.stack([p, 1.1 * p]), model.params)

    def both_of(params, x):
        y, losses = model.replace(params=params)(x)
        return jnp.sum(jnp.sin(y)) + sum(losses), y

    def loss(params, x):
        return both_of(params, x)[0]

    for f in both_of, jax.grad(loss, (0, 1)), jax.jacfwd(loss, 1):
        both = jax.jit(
            lambda params, x, f=f: jax.vmap(jax.vmap(f, (None, 0)), (0, None))(
                params, x
            )
        )(params, X)
        alone = jax.jit(f)
        for i in range(2):
            one = jax.tree.map(lambda p: p[i], params)  # noqa: B023
            for j in range(B):
                jax.tree.map(
                    lambda a, b: np.testing.assert_allclose(
                        a[i, j],  # noqa: B023
                        b,
                        rtol=1e-4,
                        atol=1e-4,
                    ),
                    both,
                    alone(one, X[j]),
                )


@pytest.mark.parametrize("capacity", [None, 0.6])
def test_in_stacks_loops_and_remat(capacity):
    options = {"capacity_factor": capacity, "w_init": NORMAL}

    def block(x):
        y, losses = hk.MixtureOfExperts(5, 2, F, **options)(x, MASK)
        return x + y, losses

    def stacked(x):
        def f(x, total):
            x, losses = hk.remat(block)(x)
            return x, jax.tree.map(jnp.add, total, losses)

        zeros = hk.RouterLosses(jnp.zeros([]), jnp.zeros([]))
        return hk.layer_stack(3)(f)(x, zeros)

    def looped(x):
        layer = hk.MixtureOfExperts(5, 2, F, **options)  # one layer, three times
        x, losses = hk.scan(
            lambda x, _: (lambda y, losses: (x + y, losses))(*layer(x, MASK)),
            x,
            None,
            length=3,
        )
        return x, jax.tree.map(jnp.sum, losses)

    for f in stacked, looped:
        net = hk.without_apply_rng(hk.transform(f))
        params = jax.jit(net.init)(jax.random.key(0), X)
        y, losses = jax.jit(net.apply)(params, X)
        one = hk.without_apply_rng(hk.transform(block))
        alone, h, total = jax.jit(one.apply), X, np.zeros(2)
        for i in range(3):
            p = list(params.values())
            if f is stacked:
                p = [jax.tree.map(lambda v: v[i], v) for v in p]  # noqa: B023
            names = [name.rpartition("mixture_of_experts")[1:] for name in params]
            h, more = alone({"".join(n): v for n, v in zip(names, p)}, h)
            total += np.array(more)
        np.testing.assert_allclose(y, h, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(losses, total, rtol=1e-4)
        with checking_leaks():
            jax.eval_shape(
                jax.jit(jax.grad(lambda p: jnp.sum(net.apply(p, X)[0]))),  # noqa: B023
                params,
            )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision(dtype):
    """The router is in single precision, so it chooses as there."""
    model = layer()
    params = jax.tree.map(lambda p: p.astype(dtype), model.params)
    y, losses = run(model.replace(params=params), X.astype(dtype))
    wide = jax.tree.map(lambda p: p.astype(jnp.float32), params)
    single = X.astype(dtype).astype(jnp.float32)
    want, wanted = run(model.replace(params=wide), single)
    assert y.dtype == dtype and losses.z.dtype == jnp.float32
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), want, rtol=0.05, atol=0.05)


def test_called_twice_it_shares():
    def f(x):
        layer = hk.MixtureOfExperts(5, 2, F)
        return layer(x)[0], layer(x)[0]

    one, other = hk.testing.transform_and_run(f)(X)
    np.testing.assert_array_equal(one, other)


def test_memory_of_a_backward_pass():
    """Stacked layers keep no copies of their weights for it."""
    net = hk.without_apply_rng(
        hk.transform(
            lambda x: hk.layer_stack(6)(lambda x: hk.MixtureOfExperts(8, 2, 64)(x)[0])(
                x
            )
        )
    )
    x = jnp.ones([16, 64])
    params = jax.jit(net.init)(jax.random.key(0), x)
    gradient = jax.jit(jax.grad(lambda p, x: jnp.sum(net.apply(p, x))))
    memory = gradient.lower(params, x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 1.2 * hk.data_structures.tree_bytes(params)


@pytest.mark.parametrize(
    ("message", "make"),
    {
        "num_selected .* at most num_experts, got 3 of 2": lambda: layer(2, 3),
        "num_experts .* at least 1, got 0": lambda: layer(0, 1),
        "num_selected .* at least 1, got 0": lambda: layer(2, 0),
        "num_selected .* at least 1, got 1.0": lambda: layer(2, 1.0),
        "hidden_size .* at least 1, got -1": lambda: hk.bind(
            hk.MixtureOfExperts, 2, 1, -1
        ).init(0, X),
        "capacity_factor .* above 0.* got 0.0": lambda: layer(capacity_factor=0.0),
        "capacity_factor .* got nan": lambda: layer(capacity_factor=math.nan),
        "capacity_factor .* got inf": lambda: layer(capacity_factor=math.inf),
        "router .* got 'sigmoid'": lambda: layer(router="sigmoid"),
        "activation would change nothing": lambda: layer(
            gated=of_gpt_oss, activation=jax.nn.gelu
        ),
        r"\[..., features\], got a scalar": lambda: layer()(jnp.ones([])),
        r"which tokens of x count, \[2, 7\]; got \[7\]": lambda: layer()(X, MASK[0]),
        "mask .* got float32: pass mask != 0": lambda: layer()(X, jnp.ones([B, T])),
    }.items(),
)
def test_bad_input_raises(message, make):
    with pytest.raises(ValueError, match=message):
        make()
