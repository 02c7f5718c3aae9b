"""Every layer and net, exported for any batch and length, and served without haiku.

A row is exported once, for three platforms, and its artifact runs at two sizes in a
process that can't import haiku (`artifact_server.py`). `conftest.py` prints how many
rows hold.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from module_table import ROWS, USES, inputs

import haiku as hk

PLATFORMS = ("cpu", "cuda", "tpu")
KEY = jax.random.key(3, impl="unsafe_rbg")  # compiles fast
RAW_KEY = np.asarray(jax.random.PRNGKey(3))
SUBJECTS = {**ROWS, **USES}

# Rows whose length is an axis that the other tables don't vary, and the most steps.
LENGTHS = {
    "Embed": (1, 128),
    "Linear, no bias": (1, 128),
    "Conv1D": (1, 128),
    "Conv1DTranspose": (1, 128),
    "DepthwiseConv1D": (1, 128),
    "AdaptiveNorm": (1, 128),
    "LearnedPositions": (1, 9),
    "dynamic_unroll of batches": (1, 128),
    "nets.Encoder": (1, 128),
    "nets.Encoder after ModernBERT": (1, 128),
    "nets.CLIP": (1, 128),
    "nets.Decoder with experts": (1, 128),
    "nets.Whisper": (1, 9),
    "nets.VectorQuantizer": (1, 128),
    "nets.VectorQuantizerEMA": (1, 128),
}
# Their state or output has the shape of the values that they get, so it is a number.
FIXED = ("ExponentialMovingAverage", "ExponentialMovingAverage, warm", "EMAParamsTree")
# The plain suite runs these, and `make tables` all.
PLAIN = (
    "MultiHeadAttention",
    "BatchNorm",
    "dynamic_unroll of LSTM",
    "LearnedPositions",
)


class Server:
    """The process that serves artifacts."""

    def __init__(self, folder):
        self.folder, self.number = folder, 0
        program = pathlib.Path(__file__).with_name("artifact_server.py")
        self.process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def outputs(self, exported, *calls):
        """The leaves of the outputs of each call, a tuple of arguments."""
        self.number += 1
        artifact = self.folder / f"{self.number}.jax"
        artifact.write_bytes(exported.serialize())
        files = []
        for i, args in enumerate(calls):
            files.append(str(self.folder / f"{self.number}-{i}.npz"))
            np.savez(files[-1], *map(np.asarray, jax.tree.leaves(args)))
        asked = {"artifact": str(artifact), "calls": files}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        reply = json.loads(self.process.stdout.readline())
        assert "error" not in reply, reply["error"]
        return [list(np.load(file).values()) for file in reply["files"]]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("artifacts"))
    yield server
    server.process.stdin.close()
    assert server.process.wait(60) == 0
    server.process.stdout.close()


def shapes_of(tree):
    return jax.tree.map(lambda v: jax.ShapeDtypeStruct(v.shape, v.dtype), tree)


def symbols(shape, batch=None, time=None, most=128):
    names = [str(n) for n in shape]
    if batch is not None:
        names[batch] = "b"
    if time is not None:
        names[time] = "t"
    constraints = [] if time is None else [f"t <= {most}"]
    return export.symbolic_shape(", ".join(names), constraints=constraints)


def exported(apply, *args):
    return export.export(jax.jit(apply), platforms=PLATFORMS)(*args)


def close(leaves, tree, tolerance=1e-5):
    wanted = jax.tree.leaves(tree)
    assert len(leaves) == len(wanted)
    for have, want in zip(leaves, wanted):
        assert have.shape == want.shape and have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=tolerance, atol=tolerance)


@functools.cache
def made(name):
    net = hk.transform_with_state(SUBJECTS[name].call)
    return net, *jax.jit(net.init)(KEY, inputs(SUBJECTS[name]))


@pytest.mark.parametrize(
    "name",
    [n if n in PLAIN else pytest.param(n, marks=pytest.mark.tables) for n in SUBJECTS],
)
def test_row(name, server):
    row = SUBJECTS[name]
    net, *values = made(name)
    x = inputs(row)
    time, most = LENGTHS.get(name, (row.time, 128))
    shape = x.shape if name in FIXED else symbols(x.shape, row.batch, time, most)
    program = exported(
        net.apply,
        *shapes_of((*values, RAW_KEY)),
        jax.ShapeDtypeStruct(shape, x.dtype),
    )
    assert program.platforms == PLATFORMS
    others = [x]
    if name not in FIXED:
        larger = np.concatenate([x, x[::-1], x], axis=row.batch)
        if time is not None:
            larger = np.concatenate([larger, np.take(larger, [0, 1], time)], time)
        others.append(larger)
    calls = [(*values, RAW_KEY, x) for x in others]
    for leaves, args in zip(server.outputs(program, *calls), calls):
        close(leaves, jax.jit(net.apply)(*args))


def _decoder(**options):
    config = hk.nets.DecoderConfig(5, 8, 2, 2, hidden_size=6, **options)
    return lambda x, size: hk.nets.Decoder(config)(x, cache_size=size)


def _translated(x, size):
    config = hk.nets.EncoderDecoderConfig(
        *(5, 8, 2, 2), hidden_size=6, relative_buckets=6
    )
    read = jnp.broadcast_to(jnp.arange(3)[None], (x.shape[0], 3))
    return hk.nets.EncoderDecoder(config)(read, x, cache_size=size)


def _heard(x, size):
    config = hk.nets.WhisperConfig(5, 8, 1, 2, 3, 4, hidden_size=6, max_length=9)
    frames = jnp.cos(jnp.arange(24, dtype=jnp.float32)).reshape(1, 8, 3)
    frames = jnp.broadcast_to(frames, (x.shape[0], 8, 3))
    return hk.nets.Whisper(config)(frames, x, cache_size=size)


def _mamba(x, size):
    config = hk.nets.MambaConfig(5, 8, 2, state_size=3)
    return hk.nets.Mamba(config)(x, cache_size=size)


CACHED = {
    "Decoder": _decoder(),
    "Decoder with windows": _decoder(windows=(3, None)),
    "Decoder with learned positions": _decoder(position="learned", max_length=9),
    "Decoder with alibi": _decoder(position="alibi"),
    "EncoderDecoder": _translated,
    "Whisper": _heard,
    "Mamba": _mamba,
}


@pytest.mark.parametrize(
    "name",
    [
        n if n == "Decoder" else pytest.param(n, marks=pytest.mark.tables)
        for n in CACHED
    ],
)
def test_row_with_a_cache(name, server):
    """Two programs, of a prompt of any length and of one token, and their state."""
    call = CACHED[name]
    net = hk.transform_with_state(call)
    text = np.random.RandomState(0).randint(0, 5, [3, 6]).astype(np.int32)
    params, _ = jax.jit(net.init, static_argnums=2)(KEY, text, None)

    def step(params, state, tokens):
        return net.apply(params, state, None, tokens, 8)

    prompts = symbols(text.shape, 0, 1, 8)
    prompts = jax.ShapeDtypeStruct(prompts, text.dtype)
    prompt_program = exported(step, shapes_of(params), {}, prompts)
    (b,) = export.symbolic_shape("b")  # a constraint on t would ask for a t
    first, one = (jax.ShapeDtypeStruct((b, n), text.dtype) for n in (4, 1))
    _, state = jax.eval_shape(step, params, {}, first)
    step_program = exported(step, shapes_of(params), state, one)

    for rows in (text[:2], text):
        wanted, _ = net.apply(params, {}, None, rows, None)
        leaves, *_ = server.outputs(prompt_program, (params, {}, rows[:, :4]))
        for at in (4, 5):
            close(leaves[:1], wanted[:, :at][:, -leaves[0].shape[1] :])
            kept = jax.tree.unflatten(jax.tree.structure(state), leaves[1:])
            token = rows[:, at : at + 1]
            leaves, *_ = server.outputs(step_program, (params, kept, token))
        close(leaves[:1], wanted[:, 5:])


def test_more_tokens_than_a_cache_holds():
    """An error where a constraint says how many, else NaN: never a silent number."""
    net = hk.transform_with_state(_decoder())
    text = np.zeros([2, 5], np.int32)
    params, _ = jax.eval_shape(net.init, KEY, text, None)
    values = jax.tree.map(lambda p: np.full(p.shape, 0.1, p.dtype), params)

    def run(params, tokens):
        return net.apply(params, {}, None, tokens, 8)[0]

    for constraints in ([], ["t <= 8"]):
        shape = export.symbolic_shape("2, t", constraints=constraints)
        tokens = jax.ShapeDtypeStruct(shape, text.dtype)
        program = export.export(jax.jit(run))(params, tokens)
        assert np.isfinite(program.call(values, text)).all()
        if constraints:
            with pytest.raises(ValueError, match="t <= 8"):
                program.call(values, np.zeros([2, 9], np.int32))
        else:
            assert np.isnan(program.call(values, np.zeros([2, 9], np.int32))).any()


@pytest.mark.tables
def test_generation_is_served(server):
    config = hk.nets.DecoderConfig(5, 8, 2, 2, hidden_size=6)
    text = np.random.RandomState(0).randint(0, 5, [3, 6]).astype(np.int32)
    model = hk.bind(hk.nets.Decoder, config).init(3, text)

    def write(params, key, tokens):
        out = hk.generation.generate(
            model.replace(params=params),
            tokens,
            max_new_tokens=4,
            rng_key=key,
            temperature=0.7,
            top_p=0.9,
            eos=2,
        )
        return out._asdict()

    tokens = jax.ShapeDtypeStruct(symbols(text.shape, 0, 1), text.dtype)
    program = exported(write, *shapes_of((model.params, RAW_KEY)), tokens)
    calls = [(model.params, RAW_KEY, rows) for rows in (text, text[:1, :3])]
    for leaves, args in zip(server.outputs(program, *calls), calls):
        close(leaves, write(*args))


# Which sizes can't be symbols: the shape, words of the error, and why.
NUMBERS = {
    "static_unroll of LSTM": ("t, b, 5", "use hk.dynamic_unroll", "a Python loop"),
    "ExponentialMovingAverage": ("b, 4", "averages arrays of shape", "state's shape"),
    "EMAParamsTree": ("b, 4", "averages arrays of shape", "state's shape"),
    "Conv1DLSTM": ("b, t, 4", "input_shape is", "the state has an image's shape"),
    "Upsample, linear": ("b, t, 4", "export one program", "weights for each size"),
    "nets.UNet": ("b, 4*h, 4*w, 3", "export one program", "weights for each size"),
    "nets.VisionTransformer": (
        *("b, 2*h, 2*w, 3", "export one program"),
        "weights for each size",
    ),
    "nets.DiT": ("b, 2*h, 2*w, 3", "export one program", "positions for each size"),
    "adaptive_avg_pool": ("b, h, w, 4", "export one program", "windows for each size"),
    "PatchEmbed": ("b, h, w, 5", r"'b, 2\*h, 2\*w, 3'", "patches must divide images"),
    "pixel_unshuffle": ("b, h, w, 3", "that 2 divides", "blocks must divide images"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_size_that_must_be_a_number(name):
    shape, words, _ = NUMBERS[name]
    row = SUBJECTS[name]
    net = hk.transform_with_state(row.call)
    values = jax.eval_shape(net.init, KEY, inputs(row))
    x = jax.ShapeDtypeStruct(export.symbolic_shape(shape), inputs(row).dtype)
    with pytest.raises((ValueError, TypeError), match=words):
        jax.eval_shape(net.apply, *values, KEY, x)


@pytest.mark.parametrize(
    ("name", "shape", "constraints", "size"),
    [
        ("PatchEmbed", "b, 2*h, 2*w, 5", (), (3, 8, 2, 5)),
        ("nets.ConvNeXt", "b, h, w, 3", ("h >= 4", "w >= 4"), (1, 5, 6, 3)),
        ("nets.MobileNetV1", "b, h, w, 3", ("h >= 9", "w >= 8"), (1, 11, 9, 3)),
        ("nets.ResNet", "b, h, w, 3", (), (1, 9, 12, 3)),
    ],
)
@pytest.mark.tables
def test_images_of_any_size(name, shape, constraints, size, server):
    net, *values = made(name)
    x = np.random.RandomState(1).randn(*size).astype(np.float32)
    symbolic = export.symbolic_shape(shape, constraints=constraints)
    program = exported(
        net.apply,
        *shapes_of((*values, RAW_KEY)),
        jax.ShapeDtypeStruct(symbolic, x.dtype),
    )
    leaves, *_ = server.outputs(program, (*values, RAW_KEY, x))
    close(leaves, jax.jit(net.apply)(*values, RAW_KEY, x))


@pytest.mark.parametrize(
    "name",
    ["LearnedPositions", pytest.param("nets.Whisper", marks=pytest.mark.tables)],
)
def test_more_steps_than_positions_are_nan(name):
    """Without a constraint it isn't known before the program runs."""
    row = SUBJECTS[name]
    net = hk.transform_with_state(row.call)
    values = jax.jit(net.init)(KEY, inputs(row))
    (axis, most), x = LENGTHS[name], inputs(row)
    shape = [str(n) for n in x.shape]
    shape[axis] = "t"
    shape = jax.ShapeDtypeStruct(export.symbolic_shape(", ".join(shape)), x.dtype)
    program = export.export(jax.jit(net.apply))(*values, RAW_KEY, shape)
    x = np.concatenate([x] * 3, axis)[:, : most + 2]
    y, _ = program.call(*values, RAW_KEY, x)
    assert np.isnan(y[:, most:]).all() and np.isfinite(y[:, :most]).all()


def test_named_tuples_come_back_where_haiku_is_imported():
    core = hk.transform(lambda x, state: hk.LSTM(3)(x, state))
    state = hk.LSTMState(jnp.ones([2, 3]), jnp.zeros([2, 3]))
    x = jnp.ones([2, 4])
    params = core.init(KEY, x, state)
    apply = hk.without_apply_rng(core).apply
    program = exported(apply, params, x, state)
    program = export.deserialize(program.serialize())
    _, new = program.call(params, x, state)
    assert isinstance(new, hk.LSTMState)
    assert "haiku.LSTMState" in repr(program.serialize())


GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "export.md"


def test_the_guides_program_in_two_processes(tmp_path):
    """The first exports a decoder; the second, which serves it, can't import haiku."""
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.S | re.M)
    making = [b for b in blocks if "# the training's process" in b]
    serving = [b for b in blocks if "# another process" in b]
    assert len(making) == len(serving) == 1
    save = "\nnp.save('wanted.npy', apply(params, example))"
    load = "\nnp.testing.assert_allclose(logits, np.load('wanted.npy'), atol=1e-5)"
    ours = {**os.environ, "PYTHONPATH": str(pathlib.Path(hk.__file__).parents[1])}
    blocked = "import sys; sys.modules['haiku'] = None\n"
    for program in (making[0] + save, blocked + serving[0] + load):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=tmp_path,
            env=ours,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
