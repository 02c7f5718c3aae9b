"""Every example runs, at a size that takes seconds, and says what it promises."""

import dataclasses
import gzip
import importlib.util
import json
import pathlib
import subprocess
import sys
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import haiku as hk

for needed in ("matplotlib", "optax", "sklearn", "tqdm"):
    pytest.importorskip(needed)

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"
FILES = sorted(path.stem for path in EXAMPLES.glob("*.py"))


@pytest.fixture
def load(monkeypatch):
    """Imports an example as `python examples/NAME.py` would."""
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def is_picture(path):
    from matplotlib.image import imread

    pixels = imread(path)
    return pixels.ndim == 3 and np.ptp(pixels[..., :3]) > 0.5


@pytest.mark.parametrize("has_graphviz", [True, False])
def test_demo(load, tmp_path, capsys, monkeypatch, has_graphviz):
    demo = load("demo")
    if not has_graphviz:
        monkeypatch.setattr(demo.shutil, "which", lambda name: None)
    elif not demo.shutil.which("dot"):
        pytest.skip("Graphviz is not installed")
    assert demo.main(["--epochs", "4", "--out", str(tmp_path)]) > 0.9
    for name in ("learning_curve", "wrong_digits", "graph", "table"):
        assert is_picture(tmp_path / f"{name}.png"), name
    table = (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert "linear_2 (Linear)" in table and table.strip() in capsys.readouterr().out
    assert "digit_classifier" in (tmp_path / "graph.dot").read_text()


def test_char_transformer(load, capsys):
    small = "--steps 12 --batch-size 8 --context 16 --width 32 --heads 2 --layers 1"
    bits = load("char_transformer").main([*small.split(), "--write", "20"])
    assert bits < 6.5  # log2 of the number of letters, all alike, is 6.6.
    assert "The statement " in capsys.readouterr().out


def test_char_lstm(load, capsys):
    small = "--steps 20 --batch-size 16 --window 16 --width 32 --learning-rate 0.02"
    assert load("char_lstm").main([*small.split(), "--write", "20"]) < 5.5
    assert "The statement " in capsys.readouterr().out


SMALL = (
    "--steps 10 --batch-size 8 --context 16 --tests 16 --width 32 --heads 2 --layers 1"
)
LETTERS = len(set("\n".join(topics.values())))  # 103 in Python 3.11, 104 in 3.13
BLIND = np.log(LETTERS)  # the loss of letters all alike, in nats


def test_gpt(load, tmp_path, capsys):
    out = ["--out", str(tmp_path)]
    losses = load("gpt").main([*SMALL.split(), *out, "--seeds", "2", "--write", "20"])
    assert len(losses) == 2 and max(losses) < BLIND
    assert is_picture(tmp_path / "gpt.png")
    printed = capsys.readouterr().out
    assert "The statement " in printed and "the same in PyTorch" in printed
    model, _ = hk.pretrained.load(tmp_path / "gpt")
    assert model(np.zeros([1, 16], np.int32)).shape == (1, 16, LETTERS)


def test_gpt_starts_and_decays_as_nanogpt(load):
    gpt = load("gpt")
    arguments = gpt.parser_of("").parse_args(["--layers", "2"])
    params = gpt.start(hk.nets.Decoder, gpt.config_of(LETTERS, arguments), 0).params
    blocks = "decoder/blocks/"
    last = params[f"{blocks}mlp/down"], params[f"{blocks}attention/output"]
    for deviation, named in [
        *((0.01, named) for named in last),
        *((0.02, params[f"{blocks}{name}"]) for name in ("mlp/up", "attention/query")),
    ]:
        np.testing.assert_allclose(named["w"].std(), deviation, rtol=0.02)
        assert not named["b"].any()
    optimizer = gpt.optimizer_of(params, 400, 1e-3)
    state, zeros = optimizer.init(params), jax.tree.map(np.zeros_like, params)
    for _ in range(2):  # the first step has a rate of 0
        updates, state = optimizer.update(zeros, state, params)
    moved = {x for x in hk.surgery.paths(params) if _at(updates, x).any()}
    assert moved == set(hk.surgery.paths(params, "decoder/blocks/**/w"))


def _at(tree, path):
    module, _, name = path.rpartition("/")
    return tree[module][name]


def test_curves_of_pytorch(load):
    found = json.loads(load("gpt").PYTORCH.read_text())
    assert len(found["curves"]) == 3
    for steps, losses in found["curves"]:
        assert steps[0] == 0 and steps[-1] == 2000 and len(steps) == len(losses)
        assert losses[0] > 4 and losses[-1] < 1.5


def test_language_models(load, tmp_path):
    out = ["--out", str(tmp_path)]
    rows = load("language_models").main([*SMALL.split(), *out])
    assert [row[0] for row in rows] == ["gpt", "mamba", "experts"]
    for name, size, active, loss, _ in rows:
        assert (active < size) == (name == "experts") and loss < BLIND
    assert is_picture(tmp_path / "language_models.png")


def test_lora(load, tmp_path):
    folders = ["--out", str(tmp_path), "--model", str(tmp_path / "none")]
    small = [*SMALL.split(), *folders, "--base-steps", "10", "--rank", "2"]
    before, lora, merged, full = load("lora").main(small)
    assert lora[1] == 512 and full[1] > 16_000 and lora[2] < 10 < full[2]
    assert lora[3] < before[3] and full[3] < before[3]
    np.testing.assert_allclose(merged[3:5], lora[3:5], rtol=1e-5)
    assert is_picture(tmp_path / "lora.png")
    held = hk.pretrained.load(tmp_path / "lora_beside").model.net.arguments["config"]
    with pytest.raises(SystemExit, match=f"knows {LETTERS} letters, and .* has 4"):
        load("lora").base_model(tmp_path / "lora_beside", "abcd", None, None, None)
    assert held.vocab_size == LETTERS


def test_speculative(load, tmp_path):
    of_draft = "--draft-steps 4 --draft-width 16 --draft-tokens 1 3"
    options = f"{SMALL} {of_draft} --prompts 2 --rounds 1 --out {tmp_path}"
    rows = load("speculative").main(options.split())
    assert [row[0] for row in rows] == [0, 1, 3] and min(row[1] for row in rows) > 0
    assert all(0 <= kept <= ahead for ahead, *_, kept in rows)
    assert is_picture(tmp_path / "speculative.png")


def test_letters_kept_of_a_draft(load):
    written = np.array([[1, 2, 3, 4, 5, 6, 7, 8, 9]])

    def draft(tokens):  # wrong after 3 and after 8
        right = jnp.where((tokens == 3) | (tokens == 8), 0, tokens + 1)
        return jax.nn.one_hot(right, 12)

    # 1, 2, 3 stay and 4 is wrong; 5, 6, 7, 8 follow, and the round after is cut off.
    kept = load("speculative").mean_kept(draft, np.array([[0]]), written, 3)
    assert kept == 3
    kept = load("speculative").mean_kept(draft, np.array([[0]]), written, 5)
    assert kept == 3


@pytest.mark.parametrize(
    "name, epochs, worst", [("vae", 10, 30), ("vqvae", 10, 0.1), ("gan", 3, None)]
)
def test_pictures_of_digits(load, tmp_path, name, epochs, worst):
    result = load(name).main(["--epochs", str(epochs), "--out", str(tmp_path)])
    assert is_picture(tmp_path / f"{name}.png")
    assert np.isfinite(result) and (worst is None or result < worst)


def test_resnet_digits(load):
    assert load("resnet_digits").main(["--epochs", "1", "--batch-size", "128"]) > 0.15


def test_diffusion(load, tmp_path):
    small = "--steps 50 --batch-size 64 --width 16 --layers 1 --draw-steps 3"
    diffusion = load("diffusion")
    rows = diffusion.main([*small.split(), "--out", str(tmp_path)])
    assert is_picture(tmp_path / "diffusion.png")
    right, frechet, nearest = rows["held-out"]
    assert right > 0.95 and 0 < frechet < 1 and 0.5 < nearest < 2
    # So short a training leaves digits that are still far from real ones.
    assert frechet < rows["drawn"][1] < 100 and nearest < rows["drawn"][2] < 10


def test_diffusion_follows_the_velocity_it_is_given(load):
    def model(images, times, labels):
        # Towards 3 for label 1, and 1 without a label, along straight lines.
        goals = jnp.where(labels == 1, 3.0, 1.0)[:, None, None, None]
        return (goals - images) / (1 - 0.5 * times[:, None, None, None] / 1000)

    diffusion = load("diffusion")
    noise, labels = np.zeros([2, 2, 2, 1], np.float32), np.array([1, 10])
    way = diffusion.draw(model, noise, labels, 400, 1.0)
    assert way.shape == (401, 2, 2, 2, 1) and not way[0].any()
    # dx/dt = (goal - x) / (1 - t / 2) has x = goal (1 - (1 - t / 2)^2).
    np.testing.assert_allclose(way[-1, :, 0, 0, 0], [2.25, 0.75], rtol=1e-4)
    np.testing.assert_allclose(way[200, :, 0, 0, 0], [3 * 7 / 16, 7 / 16], rtol=1e-4)
    guided = diffusion.draw(model, noise, labels, 400, 2.0)
    np.testing.assert_allclose(guided[-1, :, 0, 0, 0], [3.75, 0.75], rtol=1e-4)


def test_frechet_distance_is_that_of_normal_distributions(load):
    frechet_distance = load("diffusion").frechet_distance
    some = np.random.default_rng(0).normal(size=[500, 4])
    np.testing.assert_allclose(frechet_distance(some, some), 0, atol=1e-5)
    np.testing.assert_allclose(frechet_distance(some, some + 2), 16, rtol=1e-4)
    # Standard deviations that are thrice as large: 4 tr(C).
    want = 4 * np.trace(np.cov(some, rowvar=False)) + 4 * np.sum(some.mean(0) ** 2)
    np.testing.assert_allclose(frechet_distance(some, 3 * some), want, rtol=1e-4)


def idx(array):
    """An array of bytes as an IDX file has it."""
    shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


@pytest.fixture
def clothes(tmp_path):
    """A folder of images that are told apart by a bright row."""
    folder = tmp_path / "clothes"
    folder.mkdir()
    for part, number, pack in ("train", 320, gzip.compress), ("t10k", 40, bytes):
        labels = np.arange(number) % 10
        images = np.zeros([number, 28, 28])
        images[np.arange(number), 2 * labels + 4] = 255
        end = ".gz" if part == "train" else ""
        (folder / f"{part}-images-idx3-ubyte{end}").write_bytes(pack(idx(images)))
        (folder / f"{part}-labels-idx1-ubyte{end}").write_bytes(pack(idx(labels)))
    return folder


def tiny(fashion, monkeypatch):
    """Nets that compile in a second."""
    blueprints = fashion.blueprints()

    def smaller(name, **sizes):
        net = blueprints[name]
        config = dataclasses.replace(net.arguments["config"], **sizes)
        return net.replace(config=config)

    vit = {"patch_size": 14, "model_size": 8, "num_layers": 2, "num_heads": 1}
    vit |= {"head_size": 8, "hidden_size": 8}
    convnext = {"patch_size": 4, "model_sizes": (4,), "num_layers": (1,)}
    nets = {"vit": smaller("vit", **vit), "convnext": smaller("convnext", **convnext)}
    monkeypatch.setattr(fashion, "blueprints", lambda: nets)


def test_fashion(load, tmp_path, clothes, capsys, monkeypatch):
    fashion = load("fashion")
    tiny(fashion, monkeypatch)
    options = ["--epochs", "2", "--batch-size", "32", "--learning-rate", "0.01"]
    results = fashion.main([*options, "--data", str(clothes), "--out", str(tmp_path)])
    assert is_picture(tmp_path / "fashion.png") and list(results) == ["vit", "convnext"]
    out = capsys.readouterr().out
    for name, learned in results.items():
        (_, first, _), (_, last, right) = learned.curve
        assert last < first < 3 and f"{learned.parameters:,}" in out and 0 <= right <= 1
        assert learned.probabilities.shape == (40, 10) and name in out


def test_fashion_reads_packed_files_and_plain_ones(load, clothes):
    fashion = load("fashion")
    for part, number in ("train", 320), ("t10k", 40):
        images, labels = fashion.read_part(clothes, part)
        assert images.shape == (number, 28, 28) and images.dtype == np.uint8
        np.testing.assert_array_equal(images.argmax(1)[:, 0], 2 * labels + 4)


def test_fashion_moves_and_mirrors(load):
    fashion = load("fashion")
    image = np.zeros([28, 28], np.uint8)
    image[10, 5] = 9
    out = np.asarray(fashion.varied(hk.PRNGSequence(0).next(), np.stack([image] * 500)))
    places = {tuple(place) for place in np.argwhere(out)[:, 1:].tolist()}
    rows, columns = range(8, 13), range(3, 8)
    both = {*columns, *(27 - c for c in columns)}
    assert places == {(r, c) for r in rows for c in both} and out.sum() == 9 * 500


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: None, "neither t10k-labels.*apt-get install.*--data"),
        (
            lambda data: data[:-1],
            "an array of \\[40\\], which takes 48 bytes, but it has",
        ),
        (lambda data: data[:6], "copy it again"),
        (lambda data: b"", "begins with nothing"),
        (lambda data: b"\x1f\x8b" + data, "IDX file of bytes.*begins with 1f 8b 00"),
        (
            lambda data: idx(np.zeros([39])),
            "a label for each of the 40 images.*\\[39\\]",
        ),
        (lambda data: idx(np.full([40], 10)), "labels from 0 to 9, got 10"),
    ],
)
def test_fashion_refuses_bad_files(load, clothes, spoil, message):
    path = clothes / "t10k-labels-idx1-ubyte"
    data = spoil(path.read_bytes())
    path.unlink() if data is None else path.write_bytes(data)
    with pytest.raises(SystemExit, match=message):
        load("fashion").main(["--data", str(clothes)])


def test_fashion_refuses_other_archives_and_images(load, clothes):
    fashion = load("fashion")
    path = clothes / "train-images-idx3-ubyte.gz"
    for data in b"none", path.read_bytes()[:-20]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match="can't be unpacked"):
            fashion.read_part(clothes, "train")
    path.write_bytes(gzip.compress(idx(np.zeros([320, 8, 8]))))
    with pytest.raises(ValueError, match="28x28 pixels.*got \\[320, 8, 8\\]"):
        fashion.read_part(clothes, "train")


def test_pruning(load, tmp_path):
    options = ["--epochs", "3", "--epochs-per-cut", "1", "--out", str(tmp_path)]
    rows = load("pruning").main(options)
    assert rows[0][2] > 0.85 and len(rows) == 8 and is_picture(tmp_path / "pruning.png")


def test_pruning_masks_hold(load):
    pruning = load("pruning")
    w, b = np.arange(-3, 3, dtype=np.float32), np.arange(3, dtype=np.float32)
    params = {"mlp": {"w": w, "b": b}}
    mask = pruning.cut(params, 0.5)
    out = pruning.masked(params, mask)["mlp"]
    assert np.sum(out["w"] == 0) == 3 and out["b"] is b


def test_flax_interop(load):
    pytest.importorskip("flax")
    apart, right = load("flax_interop").main(["--epochs", "2"])
    assert apart < 1e-4 and right > 0.8


def test_draw_graph(load, tmp_path):
    draw_graph = load("draw_graph")
    x = np.ones([2, 4], np.float32)
    f = hk.transform(lambda x: hk.MultiHeadAttention(2, 2, w_init_scale=1.0)(x, x, x))
    dot = hk.to_dot(f.apply)(f.init(0, x), None, x)
    draw_graph.draw(dot, tmp_path / "graph.png")
    assert is_picture(tmp_path / "graph.png")
    root, arrows = draw_graph.parsed(dot)
    draw_graph.lay_out(root, arrows)
    check_places(root)
    draw_graph.draw(hk.to_dot(lambda: None)(), tmp_path / "empty.png")


def check_places(box):
    """Items stay inside their box and off each other."""
    for i, item in enumerate(box.items):
        assert abs(item.x - box.x) <= (box.width - item.width) / 2 + 1e-6
        assert abs(item.y - box.y) <= (box.height - item.height) / 2 + 1e-6
        for other in box.items[:i]:
            beside = abs(item.x - other.x) >= (item.width + other.width) / 2 - 1e-6
            above = abs(item.y - other.y) >= (item.height + other.height) / 2 - 1e-6
            assert beside or above, (item.title, other.title)
        check_places(item)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_help(name):
    command = [sys.executable, EXAMPLES / f"{name}.py", "--help"]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "usage" in out and len(out.splitlines()) > 5


def test_the_table_lists_every_example():
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}.py`" in table for name in FILES)


def test_distributed_worker(tmp_path):
    subprocess.run(
        [sys.executable, EXAMPLES / "distributed.py", "--out", str(tmp_path)]
        + ["--steps", "13", "--count", "1", "--index", "0"],
        check=True,
        capture_output=True,
    )
    lines = (tmp_path / "curve.jsonl").read_text().splitlines()
    curve = [(line["step"], line["loss"]) for line in map(json.loads, lines)]
    assert [step for step, _ in curve] == list(range(13))
    assert curve[-1][1] < curve[0][1] - 0.5


@pytest.mark.slow
def test_distributed_goes_on_after_a_kill(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "distributed.py", "--out", str(tmp_path)]
        + ["--steps", "60"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "killed one of two at step 3" in done.stdout
    assert is_picture(tmp_path / "distributed.png")
