"""Layers of sequences: each equation as a loop in NumPy, and initial values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled_calls import run
from sequence_layers import LAYERS, B, D, X, made

import haiku as hk

# ---- The equations, one step after the other, in NumPy -------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.log1p(np.exp(x))


def rms(x, eps=1e-5):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + eps)


def affine(p, x):
    return x @ p["w"] + p.get("b", 0)


def convolved(p, x):
    """`x [T, C]`, each element by its own sum."""
    w, y = p["w"][:, 0], np.zeros_like(x)
    for t in range(len(x)):
        for k in range(len(w)):
            if t - k >= 0:
                y[t] += w[len(w) - 1 - k] * x[t - k]
    return silu(y + p.get("b", 0))


def min_gru(p, x):
    z, c = sigmoid(affine(p["gate"], x)), affine(p["candidate"], x)
    h, out = np.zeros(z.shape[1]), []
    for t in range(len(x)):
        h = (1 - z[t]) * h + z[t] * c[t]
        out.append(h)
    return np.stack(out)


def rglru(p, x):
    def gate(name):
        blocks = p[name]["w"]
        full, size = np.zeros((D, D)), blocks.shape[1]
        for i, block in enumerate(blocks):
            full[i * size : (i + 1) * size, i * size : (i + 1) * size] = block
        return sigmoid(x @ full + p[name]["b"])

    r, i = gate("recurrence_gate"), gate("input_gate")
    a = np.exp(-8 * r * softplus(p["decay"]))
    h, out = np.zeros(D), []
    for t in range(len(x)):
        h = a[t] * h + np.sqrt(1 - a[t] ** 2) * i[t] * x[t]
        out.append(h)
    return np.stack(out)


def mamba1(p, x):
    inner, size = p["a_log"].shape
    both = affine(p["in"], x)
    z, c = both[:, inner:], convolved(p["conv"], both[:, :inner])
    selected = affine(p["selection"], c)
    delta = softplus(affine(p["time_step"], selected[:, : -2 * size]))
    h, out = np.zeros((inner, size)), []
    for t in range(len(x)):
        b_t, c_t = selected[t, -2 * size : -size], selected[t, -size:]
        h = np.exp(delta[t][:, None] * -np.exp(p["a_log"])) * h
        h = h + np.outer(delta[t] * c[t], b_t)
        out.append(h @ c_t + p["d"] * c[t])
    return affine(p["out"], np.stack(out) * silu(z))


def mamba2(p, x, heads, size, groups, limits=(0, np.inf)):
    inner, n = heads * size, 3
    z, v, delta = np.split(affine(p["in"], x), [inner, -heads], axis=-1)
    v = convolved(p["conv"], v)
    v, b, c = np.split(v, [inner, inner + groups * n], axis=-1)
    delta = np.clip(softplus(delta + p["time_step_bias"]), *limits)
    h, out = np.zeros((heads, size, n)), np.zeros((len(x), heads, size))
    for t in range(len(x)):
        for i in range(heads):
            g = i // (heads // groups)
            b_t, c_t = (y[t, g * n : (g + 1) * n] for y in (b, c))
            x_t = v[t, i * size : (i + 1) * size]
            h[i] *= np.exp(-delta[t, i] * np.exp(p["a_log"][i]))
            h[i] += delta[t, i] * np.outer(x_t, b_t)
            out[t, i] = h[i] @ c_t + p["d"][i] * x_t
    y = (out.reshape(-1, inner) * silu(z)).reshape(len(x), groups, -1)
    return affine(p["out"], rms(y).reshape(-1, inner) * p["norm"]["scale"])


def s5(p, x):
    def number(y):
        return y[..., 0] + 1j * y[..., 1]

    eigenvalues = number(p["eigenvalues"])
    eigenvalues = np.minimum(eigenvalues.real, -1e-4) + 1j * eigenvalues.imag
    # The whole real system: each eigenvalue and its conjugate.
    b, c = (number(p[k]) for k in "bc")
    eigenvalues = np.concatenate([eigenvalues, eigenvalues.conj()])
    step = np.tile(np.exp(p["log_time_step"]), 2)
    b, c = np.concatenate([b, b.conj()], 1), np.concatenate([c, c.conj()], 0)
    decay = np.exp(step * eigenvalues)
    h, out = np.zeros(len(decay), complex), []
    for t in range(len(x)):
        h = decay * h + (decay - 1) / eigenvalues * (x[t] @ b)
        y = h @ c
        assert abs(y.imag).max() < 1e-9
        out.append(y.real + p["d"] * x[t])
    return np.stack(out)


def gated_delta_net(p, x):
    heads, keys, values = 2, 3, 4
    q, k, v = (affine(p[name], x) for name in ("query", "key", "value"))
    qkv = convolved(p["conv"], np.concatenate([q, k, v], -1))
    q, k, v = np.split(qkv, [heads * keys, 2 * heads * keys], -1)
    q, k = (y.reshape(-1, heads, keys) for y in (q, k))
    v = v.reshape(-1, heads, values)
    q, k = (y / np.sqrt((y**2).sum(-1, keepdims=True) + 1e-6) for y in (q, k))
    alpha = np.exp(-np.exp(p["a_log"]) * softplus(affine(p["decay"], x)))
    beta = sigmoid(affine(p["beta"], x))
    s, out = np.zeros((heads, keys, values)), np.zeros((len(x), heads, values))
    for t in range(len(x)):
        for i in range(heads):
            k_t, b = k[t, i], beta[t, i]
            s[i] = alpha[t, i] * (np.eye(keys) - b * np.outer(k_t, k_t)) @ s[i]
            s[i] += b * np.outer(k_t, v[t, i])
            out[t, i] = s[i].T @ q[t, i] / np.sqrt(keys)
    gate = silu(affine(p["gate"], x)).reshape(out.shape)
    y = rms(out) * p["norm"]["scale"] * gate
    return affine(p["output"], y.reshape(len(x), -1))


EQUATIONS = {
    "MinGRU": min_gru,
    "MinGRU, no bias": min_gru,
    "RGLRU": rglru,
    "Mamba1": mamba1,
    "Mamba2": lambda p, x: mamba2(p, x, 4, 2, 2),
    "Mamba2, limits": lambda p, x: mamba2(p, x, 2, 4, 1, (0.1, 0.5)),
    "S5": s5,
    "GatedDeltaNet": gated_delta_net,
}


def by_part(params):
    """`{module/part: {name: array}}` as one module's `{part: {name: array}}`."""
    root, p = min(params, key=len).split("/")[0], {}
    for path, named in params.items():
        part = path.removeprefix(root).strip("/")
        values = {k: np.asarray(v, np.float64) for k, v in named.items()}
        p |= {part: values} if part else values
    return p


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_is_its_equation(name):
    model = made(name)
    y, _ = run(model, X)
    p = by_part(model.params)
    for row in range(B):
        want = EQUATIONS[name](p, np.asarray(X[row], np.float64))
        np.testing.assert_allclose(y[row], want, rtol=2e-5, atol=2e-5)


# ---- Initial values ------------------------------------------------------------------


def params_of(model, x):
    return jax.jit(lambda x: model.init(0, x).params)(x)


def test_initial_decays_of_rglru():
    params = params_of(hk.bind(hk.RGLRU, 600, 2), jnp.ones([1, 1, 600]))
    a = np.exp(-8 * softplus(np.asarray(params["rglru"]["decay"])))
    assert a.min() > 0.899
    assert a.max() < 0.9995
    assert abs(a.mean() - 0.9495) < 0.01


@pytest.mark.parametrize(
    ("layer", "module", "bias"),
    [
        (lambda: hk.Mamba1(4), "mamba1/time_step", "b"),
        (lambda: hk.Mamba2(4, 500, 2), "mamba2", "time_step_bias"),
        (lambda: hk.GatedDeltaNet(500, 2, 2), "gated_delta_net/decay", "b"),
    ],
)
def test_initial_time_steps_are_log_uniform(layer, module, bias):
    x = jnp.ones([1, 1, 250])
    params = params_of(hk.bind(lambda x: layer()(x)), x)
    log = np.log(softplus(np.asarray(params[module][bias], np.float64)))
    assert log.min() > np.log(0.00099)
    assert log.max() < np.log(0.101)
    assert abs(log.mean() - np.log(0.01)) < 0.2
    if module.startswith("mamba1"):
        w = np.asarray(params[module]["w"])
        assert 0.9 * 16**-0.5 < abs(w).max() <= 16**-0.5
        a = np.exp(np.asarray(params["mamba1"]["a_log"]))
        np.testing.assert_allclose(a, np.tile([1, 2, 3, 4], (500, 1)), rtol=1e-6)
    else:
        a = np.exp(np.asarray(params[module.split("/")[0]]["a_log"]))
        assert 1 <= a.min() < 2
        assert 15 < a.max() <= 16


def test_the_initial_system_of_s5_is_hippo():
    """The real system that `b` and `c` stand for has the normal part of HiPPO-LegS."""
    size, blocks = 8, 2
    params = params_of(hk.bind(hk.S5, 2 * size, blocks), jnp.ones([1, 1, 3]))
    p = {k: np.asarray(v, np.float64) for k, v in params["s5"].items()}
    n = np.arange(size)
    root = np.sqrt(2 * n + 1)
    legs = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    low_rank = np.sqrt(n + 0.5)
    want = np.linalg.eigvals(legs + np.outer(low_rank, low_rank))
    assert np.allclose(want.real, -0.5)
    want = np.sort(want.imag[want.imag > 0])
    have = p["eigenvalues"].reshape(blocks, size // 2, 2)
    np.testing.assert_allclose(have[..., 0], -0.5, rtol=1e-6)
    for block in have:
        np.testing.assert_allclose(np.sort(block[:, 1]), want, rtol=1e-5)
    assert np.exp(p["log_time_step"]).min() >= 0.00099
    assert np.exp(p["log_time_step"]).max() <= 0.101
