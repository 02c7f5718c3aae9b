"""Every example runs, at a size that takes seconds, and says what it promises."""

import importlib.util
import pathlib
import subprocess
import sys

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


@pytest.mark.parametrize(
    "name, epochs, worst", [("vae", 10, 30), ("vqvae", 10, 0.1), ("gan", 3, None)]
)
def test_pictures_of_digits(load, tmp_path, name, epochs, worst):
    result = load(name).main(["--epochs", str(epochs), "--out", str(tmp_path)])
    assert is_picture(tmp_path / f"{name}.png")
    assert np.isfinite(result) and (worst is None or result < worst)


def test_resnet_digits(load):
    assert load("resnet_digits").main(["--epochs", "1", "--batch-size", "128"]) > 0.15


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
