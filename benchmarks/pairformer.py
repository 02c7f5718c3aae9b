"""A large program of a structure predictor's make-up: one source for both Haikus.

Embeddings, a recycled trunk (templates, alignment stack, pairformer stack), a diffusion
head that is scanned over noise levels and mapped over samples, and a confidence head,
after the published algorithms (Abramson et al., 2024, supplement). Its sizes are small
and its depth is not: tracing costs what the number of modules and operations costs.
`N` tokens, `S` aligned sequences, `P` templates, `C` channels, `H` heads.
"""

import jax
import jax.numpy as jnp

import haiku as hk

PAIR, SINGLE, ALIGNED, CONDITION = 16, 24, 8, 16
RECYCLES, NOISE_LEVELS, SAMPLES = 3, 5, 2


def norm(name, scale=True, offset=True):
    return hk.LayerNorm(-1, scale, offset, name=name)


def stack(block, depth, name, each=False):
    """`block` repeated with new parameters, traced once; with inputs of `each` too."""
    repeat = hk.experimental.layer_stack(depth, with_per_layer_inputs=each, name=name)
    return repeat(block)


class Projection(hk.Module):
    """The last axis mapped to `output` axes."""

    def __init__(self, *output, init="lecun", bias=None, name=None):
        super().__init__(name=name)
        self.output, self.init, self.bias = output, init, bias

    def __call__(self, x):
        inits = {
            "lecun": hk.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal"),
            "relu": hk.initializers.TruncatedNormal((2 / x.shape[-1]) ** 0.5),
            "zeros": hk.initializers.Constant(0.0),
        }
        w = hk.get_parameter(
            "weights", (x.shape[-1], *self.output), x.dtype, inits[self.init]
        )
        axes = "xyz"[: len(self.output)]
        y = jnp.einsum(f"...c,c{axes}->...{axes}", x, w)
        if self.bias is not None:
            init = hk.initializers.Constant(self.bias)
            y = y + hk.get_parameter("bias", self.output, x.dtype, init)
        return y


class Transition(hk.Module):
    def __init__(self, factor=4, name=None):
        super().__init__(name=name)
        self.factor = factor

    def __call__(self, x):
        width = x.shape[-1]
        x = norm("norm")(x)
        gate = Projection(self.factor * width, init="relu", name="gate")(x)
        x = hk.Linear(self.factor * width, with_bias=False, name="up")(x)
        return Projection(width, init="zeros", name="down")(jax.nn.silu(gate) * x)


class TriangleProduct(hk.Module):
    """Each edge [i, j] from the products of the two others of its triangles."""

    def __init__(self, equation, name=None):
        super().__init__(name=name)
        self.equation = equation

    def __call__(self, pair):  # [N, N, C]
        width = pair.shape[-1]
        x = norm("norm")(pair)
        edges = Projection(2, width, name="projection")(x)
        edges = edges * jax.nn.sigmoid(Projection(2, width, name="gate")(x))
        product = jnp.einsum(self.equation, edges[..., 0, :], edges[..., 1, :])
        out = Projection(width, init="zeros", name="output")(norm("centre")(product))
        gate = Projection(width, init="zeros", bias=1.0, name="output_gate")(x)
        return out * jax.nn.sigmoid(gate)


class Attention(hk.Module):
    """Gated attention whose logits get a bias per head."""

    def __init__(self, heads, name=None):
        super().__init__(name=name)
        self.heads = heads

    def __call__(self, x, bias):  # [..., N, C], [H, N, N]
        width = x.shape[-1]
        each = width // self.heads
        q = Projection(self.heads, each, bias=0.0, name="query")(x)
        k = Projection(self.heads, each, name="key")(x)
        v = Projection(self.heads, each, name="value")(x)
        logits = jnp.einsum("...qhc,...khc->...hqk", q * each**-0.5, k) + bias
        out = jnp.einsum("...hqk,...khc->...qhc", jax.nn.softmax(logits), v)
        out = out.reshape(x.shape)
        gate = Projection(width, init="zeros", bias=1.0, name="gate")(x)
        return hk.Linear(width, name="output")(out * jax.nn.sigmoid(gate))


class GridAttention(hk.Module):
    """Attention along the rows of the pairs, or along the columns."""

    def __init__(self, columns, heads=2, name=None):
        super().__init__(name=name)
        self.columns, self.heads = columns, heads

    def __call__(self, pair):  # [N, N, C]
        x = norm("norm")(pair)
        bias = Projection(self.heads, name="bias")(x).transpose(2, 0, 1)
        if self.columns:
            x = x.swapaxes(0, 1)
        x = Attention(self.heads, name="attention")(x, bias)
        return x.swapaxes(0, 1) if self.columns else x


class PairBlock(hk.Module):
    def __call__(self, pair):
        pair += TriangleProduct("ikc,jkc->ijc", name="outgoing")(pair)
        pair += TriangleProduct("kjc,kic->ijc", name="incoming")(pair)
        pair += GridAttention(columns=False, name="rows")(pair)
        pair += GridAttention(columns=True, name="columns")(pair)
        return pair + Transition(name="transition")(pair)


class PairformerBlock(hk.Module):
    def __call__(self, single, pair):
        pair = PairBlock(name="pair")(pair)
        bias = Projection(4, name="bias")(norm("pair_norm")(pair)).transpose(2, 0, 1)
        single += Attention(4, name="attention")(norm("single_norm")(single), bias)
        return single + Transition(name="transition")(single), pair


class AlignmentBlock(hk.Module):
    """The alignment writes to the pairs, and they weigh what it reads of itself."""

    def __call__(self, aligned, pair):  # [S, N, C], [N, N, C]
        x = norm("outer_norm")(aligned)
        left = Projection(4, name="left")(x)
        right = Projection(4, name="right")(x)
        outer = jnp.einsum("sic,sjd->ijcd", left, right) / len(aligned)
        outer = outer.reshape(*pair.shape[:2], -1)
        pair += Projection(pair.shape[-1], bias=0.0, name="outer")(outer)

        x = norm("aligned_norm")(aligned)
        weights = jax.nn.softmax(Projection(2, name="weights")(norm("bias_norm")(pair)))
        values = Projection(2, 4, name="value")(x)
        gate = jax.nn.sigmoid(Projection(2, 4, init="zeros", name="gate")(x))
        mixed = gate * jnp.einsum("ijh,sjhc->sihc", weights, values)
        mixed = mixed.reshape(*aligned.shape[:2], -1)
        aligned += Projection(aligned.shape[-1], init="zeros", name="output")(mixed)
        aligned += Transition(name="transition")(aligned)
        return aligned, PairBlock(name="pair")(pair)


class AdaptiveNorm(hk.Module):
    """Layer norm whose scale and offset the condition sets."""

    def __call__(self, x, condition):
        x = norm("norm", scale=False, offset=False)(x)
        condition = norm("condition_norm", offset=False)(condition)
        scale = Projection(x.shape[-1], init="zeros", bias=0.0, name="scale")(condition)
        return jax.nn.sigmoid(scale) * x + hk.Linear(x.shape[-1], name="offset")(
            condition
        )


class DiffusionBlock(hk.Module):
    """Attention and transition; both open as the condition lets them."""

    def __call__(self, x, condition, bias):
        def opened(y, name):
            gate = Projection(y.shape[-1], init="zeros", bias=-2.0, name=name)
            return jax.nn.sigmoid(gate(condition)) * y

        h = AdaptiveNorm(name="attention_norm")(x, condition)
        x += opened(Attention(4, name="attention")(h, bias), "attention_gate")
        h = AdaptiveNorm(name="transition_norm")(x, condition)
        gate = Projection(2 * h.shape[-1], init="relu", name="gate")(h)
        h = jax.nn.silu(gate) * hk.Linear(2 * h.shape[-1], name="up")(h)
        h = Projection(x.shape[-1], init="zeros", name="down")(h)
        return x + opened(h, "transition_gate")


class Templates(hk.Module):
    """The mean of what each template says of the pairs."""

    def __call__(self, templates, pair):  # [P, N, N, 3], [N, N, C]
        query = norm("query_norm")(pair)

        def one(template):
            x = Projection(8, name="pair")(query)
            for i in range(templates.shape[-1]):
                x += Projection(8, name=f"feature_{i}")(template[..., i, None])
            for i in range(2):
                x = PairBlock(name=f"block_{i}")(x)
            return norm("output_norm")(x)

        mean = hk.vmap(one, split_rng=False)(templates).mean(0)
        return Projection(pair.shape[-1], name="output")(jax.nn.relu(mean))


class Trunk(hk.Module):
    def __call__(self, batch, previous):
        features = batch["features"]
        single = Projection(SINGLE, name="single")(features)
        left = hk.Linear(PAIR, name="left")(features)
        right = hk.Linear(PAIR, name="right")(features)
        offsets = batch["index"][:, None] - batch["index"][None]
        positions = jax.nn.one_hot(jnp.clip(offsets + 4, 0, 8), 9)
        pair = left[:, None] + right[None]
        pair += Projection(PAIR, name="positions")(positions)
        pair += Projection(PAIR, name="bonds")(batch["bonds"][..., None])
        pair += Projection(PAIR, init="zeros", name="recycled_pair")(
            norm("recycled_pair_norm")(previous["pair"])
        )
        single += Projection(SINGLE, init="zeros", name="recycled_single")(
            norm("recycled_single_norm")(previous["single"])
        )
        pair += Templates(name="templates")(batch["templates"], pair)

        aligned = Projection(ALIGNED, name="aligned")(batch["aligned"])
        aligned += Projection(ALIGNED, name="target")(features)

        def block(aligned, pair):
            return AlignmentBlock(name="alignment")(aligned, pair)

        _, pair = stack(block, 4, "alignment_stack")(aligned, pair)

        def block(single, pair):
            return PairformerBlock(name="pairformer")(single, pair)

        single, pair = stack(block, 48, "trunk_stack")(single, pair)
        return {"single": single, "pair": pair}


class Denoiser(hk.Module):
    """Positions without noise, from noisy ones and what the trunk knows."""

    def __call__(self, positions, level, embeddings, batch):  # [N, 3], []
        width = CONDITION
        pair = jnp.concatenate([embeddings["pair"], batch["bonds"][..., None]], -1)
        pair = Projection(PAIR, name="pair")(norm("pair_norm")(pair))
        single = jnp.concatenate([embeddings["single"], batch["features"]], -1)
        single = Projection(width, name="single")(norm("single_norm")(single))
        for i in range(2):
            pair += Transition(2, name=f"pair_transition_{i}")(pair)
            single += Transition(2, name=f"single_transition_{i}")(single)
        waves = jnp.cos(jnp.log(level) * jnp.arange(1.0, 9.0))
        single += Projection(width, name="level")(norm("level_norm")(waves))

        scale = (1 + level**2) ** -0.5
        x = Projection(width, name="positions")(positions * scale)
        x = self.atoms(x, single, pair, "encoder")
        x += hk.Linear(width, with_bias=False, name="condition")(
            norm("condition_norm")(single)
        )

        biases = Projection(6, 4, 4, name="biases")(norm("biases_norm")(pair))
        biases = biases.transpose(2, 3, 4, 0, 1)  # [6, 4, H, N, N]

        def super_block(x, biases):
            def block(x, bias):
                return DiffusionBlock(name="block")(x, single, bias), None

            return stack(block, 4, "blocks", each=True)(x, biases)

        x, _ = stack(super_block, 6, "super_blocks", each=True)(x, biases)
        x = self.atoms(norm("token_norm")(x), single, pair, "decoder")
        update = Projection(3, init="zeros", name="update")(norm("update_norm")(x))
        return positions / (1 + level**2) + update * level * scale

    def atoms(self, x, single, pair, name):
        with hk.name_scope(name):
            biases = Projection(3, 4, name="biases")(norm("norm")(pair))
            condition = hk.Linear(CONDITION, name="condition")(single)
            for i, bias in enumerate(biases.transpose(2, 3, 0, 1)):
                x = DiffusionBlock(name=f"block_{i}")(x, condition, bias)
            return x


class Confidence(hk.Module):
    """How sure each position and each distance is."""

    def __call__(self, positions, embeddings):
        distances = jnp.abs(positions[:, None] - positions[None]).sum(-1, keepdims=True)
        pair = embeddings["pair"] + Projection(PAIR, name="distance")(distances)
        single = embeddings["single"]
        for i in range(4):
            single, pair = PairformerBlock(name=f"block_{i}")(single, pair)
        out = {}
        for name, bins in {"aligned_error": 8, "distance_error": 8}.items():
            h = norm(f"{name}_norm")(pair + pair.swapaxes(0, 1))
            out[name] = Projection(bins, init="zeros", name=name)(h)
        for name, bins in {"lddt": 8, "resolved": 2}.items():
            h = norm(f"{name}_norm")(single)
            out[name] = hk.Linear(bins, name=name)(h)
        return out


def forward(batch):
    trunk = Trunk(name="trunk")
    tokens = batch["features"].shape[0]
    previous = {
        "single": jnp.zeros((tokens, SINGLE)),
        "pair": jnp.zeros((tokens, tokens, PAIR)),
    }
    previous = trunk(batch, previous)
    embeddings = hk.fori_loop(0, RECYCLES, lambda _, x: trunk(batch, x), previous)

    with hk.name_scope("diffusion"):
        denoiser = Denoiser(name="denoiser")

        def sample(key):
            def step(positions, level):
                clean = denoiser(positions, level, embeddings, batch)
                return positions + 0.5 * (clean - positions), None

            start = jax.random.normal(key, (tokens, 3))
            return hk.scan(step, start, jnp.geomspace(8.0, 0.1, NOISE_LEVELS))[0]

        keys = jax.random.split(hk.next_rng_key(), SAMPLES)
        positions = hk.vmap(sample, split_rng=False)(keys)

    confidence = Confidence(name="confidence")
    # Without confidence, only its shapes are computed.
    shapes = hk.eval_shape(confidence, positions[0], embeddings)
    assess = lambda x: confidence(x, embeddings)  # noqa: E731
    out = hk.vmap(assess, split_rng=False)(positions)
    assert jax.tree.all(jax.tree.map(lambda s, x: s.shape == x.shape[1:], shapes, out))
    with hk.name_scope("distogram"):
        pair = embeddings["pair"] + embeddings["pair"].swapaxes(0, 1)
        out["distogram"] = Projection(16, init="zeros", name="logits")(pair)
    return {"positions": positions, **out}


def inputs(tokens=12, sequences=5, templates=2):
    key = jax.random.split(jax.random.PRNGKey(1), 4)
    return {
        "features": jax.random.normal(key[0], (tokens, 10)),
        "index": jnp.arange(tokens),
        "bonds": jax.random.normal(key[1], (tokens, tokens)),
        "aligned": jax.random.normal(key[2], (sequences, tokens, 6)),
        "templates": jax.random.normal(key[3], (templates, tokens, tokens, 3)),
    }
