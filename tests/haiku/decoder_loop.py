"""A decoder as plain loops over one text, in NumPy and double precision."""

import math

import numpy as np

from haiku.nets.layer_plan import plan_of

ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "gelu_tanh": lambda x: (
        x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2
    ),
    "relu": lambda x: np.maximum(x, 0),
    "relu_squared": lambda x: np.maximum(x, 0) ** 2,
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
}
SLOPES = {4: [2**-2, 2**-4, 2**-6, 2**-8]}  # ALiBi's, by number of heads


def decoder_loop(config, params, tokens, positions=None, length=None):
    """The output and the hidden state of one text ``[T]`` that fills its places.

    `length` is that of the longest text of the batch.
    """
    places = np.arange(len(tokens)) if positions is None else positions
    length = max(places, default=-1) + 1 if length is None else length
    params = {
        path: {k: np.asarray(v, float) for k, v in named.items()}
        for path, named in params.items()
    }
    embeddings = params["decoder/embed"]["embeddings"]
    h = embeddings[tokens]
    if config.embedding_scale is not None:
        h = h * config.embedding_scale
    if config.position == "learned":
        h = h + params["decoder/positions"]["embeddings"][places]
    for i in range(config.num_layers):
        h = _block(config, _of_layer(config, params, i), i, h, places, length)
    h = _norm(config, params["decoder/norm"], h)
    if config.head is None:
        return h, h
    if config.head == "classes":
        return h[-1] @ params["decoder/head"]["w"], h
    y = h @ (embeddings.T if config.tied else params["decoder/head"]["w"])
    cap = config.final_soft_cap
    return y if cap is None else cap * np.tanh(y / cap), h


def _of_layer(config, params, i):
    """The parameters of a layer, by the path inside its block."""
    plan = plan_of([config.window(i) for i in range(config.num_layers)])
    if not plan.start <= i < plan.stop:
        prefix, at = f"decoder/block_{i}/", ...
    else:
        at, place = divmod(i - plan.start, plan.period)
        prefix = "decoder/blocks/" + (f"block_{place}/" if plan.period > 1 else "")
    return {
        path.removeprefix(prefix): {k: v[at] for k, v in named.items()}
        for path, named in params.items()
        if path.startswith(prefix)
    }


def _block(config, p, i, h, places, length):
    window = config.windows[i] if config.windows else None

    def attention(x):
        query, key, value = (
            _linear(p[f"attention/{name}"], x).reshape(len(x), -1, config.head_size)
            for name in ("query", "key", "value")
        )
        if config.qk_norm is not None:
            query = _norm_of_heads(config, p["attention/query_norm"], query)
            key = _norm_of_heads(config, p["attention/key_norm"], key)
        if config.position == "rotary":
            local = window is not None and config.local_rotary is not None
            rotary = config.local_rotary if local else config.rotary
            query, key = (_turned(rotary, x, places, length) for x in (query, key))
        scale = config.scale or config.head_size**-0.5
        out = np.zeros_like(query)
        for t in range(len(x)):
            for head in range(config.num_heads):
                group = head // (config.num_heads // config.num_kv_heads)
                first = 0 if window is None else max(t - window + 1, 0)
                logits = key[first : t + 1, group] @ query[t, head] * scale
                cap = config.attention_soft_cap
                if cap is not None:
                    logits = cap * np.tanh(logits / cap)
                if config.position == "alibi":
                    distance = places[t] - places[first : t + 1]
                    logits = logits - SLOPES[config.num_heads][head] * distance
                weights = np.exp(logits)
                total = np.sum(weights)
                if config.sinks:
                    total += np.exp(p["attention"]["sinks"][head])
                out[t, head] = weights / total @ value[first : t + 1, group]
        return _linear(p["attention/output"], out.reshape(len(x), -1))

    def mlp(x):
        activation = ACTIVATIONS[config.activation]
        hidden = _linear(p["mlp/up"], x)
        if config.gated:
            return _linear(
                p["mlp/down"], activation(_linear(p["mlp/gate"], x)) * hidden
            )
        return _linear(p["mlp/down"], activation(hidden))

    for name, f in {"attention": attention, "mlp": mlp}.items():
        y = h
        if config.norm_position in ("pre", "both"):
            y = _norm(config, p[f"{name}_norm"], y)
        y = f(y)
        if config.norm_position in ("post", "both"):
            y = _norm(config, p[f"{name}_norm_post"], y)
        h = h + y
    return h


def _linear(p, x):
    return x @ p["w"] + p.get("b", 0)


def _norm(config, p, x):
    if config.norm == "layer":
        x = x - np.mean(x, axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + config.norm_eps)
    if config.norm == "rms_offset":
        return x * (1 + p["scale"])
    return x * p["scale"] + p.get("offset", 0)


def _norm_of_heads(config, p, x):
    if config.qk_norm == "head":
        return _norm(config, p, x)
    return _norm(config, p, x.reshape(len(x), -1)).reshape(x.shape)


def _turned(rotary, x, places, length):
    frequencies, factor = rotary.frequencies(x.shape[-1], length)
    size = len(frequencies)
    angles = np.asarray(places)[:, None, None] * np.asarray(frequencies, float)
    turned = (x[..., :size] + 1j * x[..., size : 2 * size]) * np.exp(1j * angles)
    parts = turned.real * factor, turned.imag * factor, x[..., 2 * size :]
    return np.concatenate(parts, axis=-1)
