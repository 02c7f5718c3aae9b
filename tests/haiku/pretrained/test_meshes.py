"""Folders from and to a mesh of devices and processes."""

import json
import os
import pathlib
import pickle
import socket
import subprocess
import sys
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn_models import drawn_model
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
from sharded_training import bytes_by_device, mesh_of

import haiku as hk
from haiku.adapt import Int4, Int8
from haiku.pretrained.layouts import Source

R = hk.parallel
TOKENS = np.arange(8 * 5).reshape(8, 5) % 64
SIZES = {
    **{"vocab_size": 64, "model_size": 32, "num_layers": 2, "num_heads": 8},
    "hidden_size": 64,
}
NETS = {
    "llama": (hk.nets.Decoder, hk.nets.DecoderConfig(**SIZES)),
    "bert": (
        hk.nets.Encoder,
        hk.nets.EncoderConfig(
            **SIZES,
            max_length=16,
            token_types=2,
            head="tokens",
            transform=True,
            tied=True,
        ),
    ),
}
RULES = {  # rules, the mesh, and where some parameters live
    "fully sharded": (
        R.fully_sharded(),
        {"data": 8},
        {
            "embed/embeddings": P("data"),
            "blocks/attention/query/w": P(None, "data"),
            "blocks/mlp/up/w": P(None, None, "data"),
            "norm/scale": P(),
        },
    ),
    "tensor": (
        R.tensor(),
        {"model": 8},
        {
            "embed/embeddings": P("model"),
            "blocks/attention/query/w": P(None, None, "model"),
            "blocks/attention/output/w": P(None, "model"),
            "blocks/mlp/up/w": P(None, None, "model"),
            "norm/scale": P(),
        },
    ),
    "both": (
        R.fully_sharded() | R.tensor(),
        {"data": 4, "model": 2},
        {
            "embed/embeddings": P("model", "data"),
            "blocks/attention/query/w": P(None, "data", "model"),
            "blocks/mlp/down/w": P(None, "model", "data"),
        },
    ),
    "layers": (
        R.pipeline("pipe"),
        {"pipe": 2},
        {"blocks/attention/query/w": P("pipe"), "blocks/mlp/up/w": P("pipe")},
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each net."""
    found = {}
    for name, (net, config) in NETS.items():
        found[name] = tmp_path_factory.mktemp(name)
        text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
        hk.pretrained.save(found[name], drawn_model(net, config, text, spread=0.2))
    return found


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def parameters(model, end):
    """Those whose path ends in this."""
    found = [
        x
        for path, named in model.params.items()
        for name, x in named.items()
        if f"{path}/{name}".endswith(end)
    ]
    assert found
    return found


@pytest.mark.tables
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", RULES)
def test_a_model_on_a_mesh_is_that_of_one_device(name, net, folders, tmp_path):
    rules, sizes, specs = RULES[name]
    plain = hk.pretrained.load(folders[net]).model
    blueprint = hk.Blueprint(*NETS[net])
    with jax.set_mesh(mesh_of(**sizes)):
        model = hk.pretrained.load(folders[net], sharding=rules).model
        pair = R.sharded(hk.transform(lambda x: blueprint(x)), rules)
        wanted = R.shardings(R.eval_shape(pair.init, jax.random.key(0), TOKENS))
        logits = jax.jit(lambda m, x: m(x))(model, TOKENS)
        hk.pretrained.save(tmp_path / "again", model)
    assert R.shardings(model.params) == wanted
    for end, spec in specs.items():
        assert all(x.sharding.spec == spec for x in parameters(model, end))
    assert len({*bytes_by_device(model.params, mesh_of(**sizes).size)}) == 1
    jax.tree.map(np.testing.assert_array_equal, model.params, plain.params)
    np.testing.assert_allclose(logits, plain(TOKENS), rtol=1e-5, atol=1e-5)
    assert files_of(tmp_path / "again") == files_of(folders[net])


def test_activations_follow_the_rules(folders):
    with jax.set_mesh(mesh_of(data=4, model=2)):
        rules = R.data() | R.tensor()
        model = hk.pretrained.load(folders["llama"], sharding=rules).model
        text = str(jax.make_jaxpr(lambda m, x: m(x))(model, TOKENS))
        assert model(TOKENS).sharding.spec[0] == "data"
        again = pickle.loads(pickle.dumps(model))
    assert "sharding_constraint" in text and "'model'" in text
    assert jax.tree.structure(again) == jax.tree.structure(model)
    assert "hooks=[Rules(axes={'batch': 'data', " in repr(model)
    outside = str(jax.make_jaxpr(lambda m, x: m(x))(model, TOKENS))
    assert "sharding_constraint" not in outside


def test_without_a_mesh_rules_change_nothing(folders):
    plain = hk.pretrained.load(folders["llama"]).model
    model = hk.pretrained.load(folders["llama"], sharding=R.fully_sharded()).model
    for x, y in zip(jax.tree.leaves(model), jax.tree.leaves(plain)):
        assert x.sharding == y.sharding
    np.testing.assert_array_equal(model(TOKENS), plain(TOKENS))


def test_a_model_on_a_mesh_generates(folders):
    options = {"max_new_tokens": 3, "temperature": 0}
    plain = hk.pretrained.load(folders["llama"]).model
    wanted = hk.generation.generate(plain, TOKENS, **options)
    with jax.set_mesh(mesh_of(data=4, model=2)):
        rules = R.fully_sharded() | R.tensor()
        model = hk.pretrained.load(folders["llama"], sharding=rules).model
        found = hk.generation.generate(model, TOKENS, **options)
    np.testing.assert_array_equal(found.tokens, wanted.tokens)


def test_explicit_axes(folders, tmp_path):
    plain = hk.pretrained.load(folders["llama"]).model
    with jax.set_mesh(mesh_of(AxisType.Explicit, data=8)):
        rules = R.fully_sharded()
        model = hk.pretrained.load(folders["llama"], sharding=rules).model
        tokens = R.global_batch(TOKENS, rules)
        logits = jax.jit(lambda m, x: m(x))(model, tokens)
        hk.pretrained.save(tmp_path / "again", model)
    (embeddings,) = parameters(model, "embed/embeddings")
    assert embeddings.sharding.spec == P("data")
    np.testing.assert_allclose(logits, plain(TOKENS), rtol=1e-5, atol=1e-5)
    assert files_of(tmp_path / "again") == files_of(folders["llama"])


# ---- Memory --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fully sharded", "both", "layers"])
def test_each_part_is_read_once_and_alone(name, folders, monkeypatch):
    rules, sizes, _ = RULES[name]
    number = mesh_of(**sizes).size
    before = {id(x) for x in jax.live_arrays()}
    read, peaks = [], []
    plain_read = Source.read

    def spied(self, place):
        part = plain_read(self, place)
        read.append(part.nbytes)
        # By buffer: an array on a mesh is there again as one on each device.
        held = {
            (shard.device, shard.data.unsafe_buffer_pointer()): shard.data.nbytes
            for x in jax.live_arrays()
            if id(x) not in before
            for shard in x.addressable_shards
        }
        total = dict.fromkeys(jax.devices(), 0)
        for (device, _), size in held.items():
            total[device] += size
        peaks.append(max(total.values()))
        return part

    monkeypatch.setattr(Source, "read", spied)
    with jax.set_mesh(mesh_of(**sizes)):
        model = hk.pretrained.load(folders["llama"], sharding=rules).model
    share = bytes_by_device(model.params, number)[0]
    assert 0 < max(peaks) <= share
    leaves = jax.tree.leaves(model.params)
    assert sum(read) == sum(x.nbytes for x in leaves)
    assert max(read) == max(x.addressable_data(0).nbytes for x in leaves)


def test_a_save_holds_one_tensor_at_a_time(tmp_path):
    sizes = {"vocab_size": 512, "model_size": 256, "num_layers": 4, "num_heads": 8}
    config = hk.nets.DecoderConfig(**sizes, hidden_size=1024)
    text = jax.ShapeDtypeStruct((1, 1), jnp.int32)
    model = drawn_model(hk.nets.Decoder, config, text)
    hk.pretrained.save(tmp_path / "one", model)
    with jax.set_mesh(mesh_of(data=8)):
        loaded = hk.pretrained.load(tmp_path / "one", sharding=R.fully_sharded()).model
    largest, whole = 4 * 256 * 1024, sum(x.nbytes for x in jax.tree.leaves(model))
    assert whole > 10 * largest
    hk.pretrained.save(tmp_path / "again", loaded)  # imports what it needs
    tracemalloc.start()
    try:
        hk.pretrained.save(tmp_path / "again", loaded)
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A tensor, and the same in the file's order.
    assert peak < 2 * largest + 500_000
    assert left < 500_000
    assert files_of(tmp_path / "again") == files_of(tmp_path / "one")


# ---- Adaptations, and other shardings ------------------------------------------------


@pytest.mark.parametrize("name", ["fully sharded", "tensor", "layers"])
def test_integers_on_a_mesh(name, folders):
    rules, sizes, _ = RULES[name]
    adaptations = [Int8("**/attention/*/w"), Int4("**/mlp/*/w", group_size=8)]
    options = {"adaptations": adaptations, "dtype": jnp.bfloat16}
    plain = hk.pretrained.load(folders["llama"], **options).model
    with jax.set_mesh(mesh_of(**sizes)):
        model = hk.pretrained.load(folders["llama"], **options, sharding=rules).model
        logits = jax.jit(lambda m, x: m(x))(model, TOKENS)
    for x, y in zip(jax.tree.leaves(model), jax.tree.leaves(plain), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x.astype(np.float32), y.astype(np.float32))
    up = model.params["decoder/blocks/mlp/up"]
    spec = {"layers": P("pipe"), "tensor": P(None, None, "model")}
    assert up["w"].sharding.spec == spec.get(name, P(None, None, "data"))
    assert up["w_scale"].sharding.spec == (P("pipe") if name == "layers" else P())
    assert hk.adapt.adaptations(model) == tuple(adaptations)
    np.testing.assert_allclose(
        logits.astype(np.float32), plain(TOKENS).astype(np.float32), atol=0.1
    )
    with pytest.raises(ValueError, match="adaptations that aren't merged"):
        hk.pretrained.save("nowhere", model)


def test_adapters_on_a_mesh(folders, tmp_path):
    lora = hk.adapt.DoRA("**/attention/*/w", rank=2)
    plain = hk.pretrained.load(folders["llama"]).model
    adapted = hk.adapt.add(plain, lora, rng_key=0)
    hk.pretrained.save_adapters(tmp_path / "one", adapted)
    with jax.set_mesh(mesh_of(data=8)):
        rules = R.fully_sharded()
        model = hk.pretrained.load(folders["llama"], sharding=rules).model
        again = hk.pretrained.load_adapters(tmp_path / "one", model)
        hk.pretrained.save_adapters(tmp_path / "again", again)
        hk.pretrained.save(tmp_path / "merged", hk.adapt.merge(again))
    assert files_of(tmp_path / "again") == files_of(tmp_path / "one")
    merged = hk.pretrained.load(tmp_path / "merged").model
    np.testing.assert_allclose(merged(TOKENS), adapted(TOKENS), atol=1e-4)


def test_a_function_may_choose_a_kind_of_memory(folders):
    mesh = mesh_of(x=8)

    def sharding(path, shape):
        if path.endswith("embeddings"):
            return jax.sharding.NamedSharding(mesh, P("x"), memory_kind="pinned_host")
        return jax.sharding.SingleDeviceSharding(jax.devices()[3])

    model = hk.pretrained.load(folders["llama"], sharding=sharding).model
    (embeddings,) = parameters(model, "embed/embeddings")
    assert embeddings.sharding.memory_kind == "pinned_host"
    (head,) = parameters(model, "head/w")
    assert head.devices() == {jax.devices()[3]}
    assert model.hooks == ()
    plain = hk.pretrained.load(folders["llama"]).model
    jax.tree.map(np.testing.assert_array_equal, model.params, plain.params)


# ---- Mistakes ------------------------------------------------------------------------


def test_rules_that_do_not_divide(folders):
    with jax.set_mesh(mesh_of(model=6)), pytest.raises(ValueError) as error:
        hk.pretrained.load(folders["llama"], sharding=R.tensor())
    text = str(error.value)
    assert "decoder/blocks/attention/key/w of shape [2, 32, 32]" in text
    assert "rules | hk.parallel.Rules({'heads': None})" in text


def test_a_pattern_that_finds_nothing(folders):
    rules = R.Rules(arrays={"**/nothing": ("model",)})
    with (
        jax.set_mesh(mesh_of(model=8)),
        pytest.raises(ValueError, match=r"'\*\*/nothing'"),
    ):
        hk.pretrained.load(folders["llama"], sharding=rules)


@pytest.mark.parametrize(
    ("sharding", "message"),
    [
        (P("data"), r"must be hk\.parallel\.Rules, or a function .*, got P\('data',\)"),
        ("fsdp", r"got 'fsdp'\. Write sharding=hk\.parallel\.fully_sharded\(\)"),
        (R.tensor, r"got <function tensor.*Write sharding=hk\.parallel\.tensor\(\)"),
        (lambda path, shape: P(), r"a jax\.sharding\.Sharding for decoder/.*, got P\("),
    ],
)
def test_a_sharding_of_another_type(sharding, message, folders):
    with pytest.raises(TypeError, match=message):
        hk.pretrained.load(folders["llama"], sharding=sharding)


# ---- Processes -----------------------------------------------------------------------


def test_two_processes(folders, tmp_path):
    script = pathlib.Path(__file__).with_name("process_folders.py")
    one, plain = tmp_path / "one", hk.pretrained.load(folders["llama"]).model
    hk.pretrained.save(one, plain, max_shard_size=20_000)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    paths = [str(script.parent.parent), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    flags = environment.get("XLA_FLAGS", "").split()
    kept = [flag for flag in flags if "host_platform_device_count" not in flag]
    environment["XLA_FLAGS"] = " ".join(kept)
    running = [
        subprocess.Popen(
            [sys.executable, str(script), port, str(i), str(one)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    found = []
    for process in running:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error[-3000:]
        found.append(json.loads(out.splitlines()[-1]))
    failed = [x.pop("error") for x in found]
    assert failed[0].startswith("FileExistsError: ")
    assert failed[1].startswith("RuntimeError: hk.pretrained: process 0 could not")
    assert failed[1].endswith(failed[0])
    wanted = np.asarray(plain(TOKENS))
    for own in found:
        assert list(own) == ["explicit", "both", "layers", "copies"]
        for name, file in own.items():
            np.testing.assert_allclose(np.load(file), wanted, rtol=1e-5, atol=1e-5)
            assert files_of(tmp_path / name) == files_of(one)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".saving")]
    lora = hk.adapt.LoRA("**/attention/*/w", rank=2)
    hk.pretrained.save_adapters(
        tmp_path / "adapted", hk.adapt.add(plain, lora, rng_key=0)
    )
    assert {*files_of(tmp_path / "adapters")} == {*files_of(tmp_path / "adapted")}
    adapted = hk.pretrained.load_adapters(tmp_path / "adapters", plain)
    np.testing.assert_array_equal(adapted(TOKENS), plain(TOKENS))
