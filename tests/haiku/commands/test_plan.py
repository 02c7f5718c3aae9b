"""`python -m haiku plan`: tables for sets of rules, and what can't be planned."""

import json
import os
import re
import subprocess
import sys

import pytest

from haiku._commands import plan

CONFIG = {"vocab_size": 64, "model_size": 16, "num_layers": 2, "num_heads": 4}


def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.run(
        [sys.executable, "-m", "haiku", "plan", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )


def test_it_compares_rules(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    options = ["--devices", 4, "--model-axis", 2, "--length", 16]
    done = run("--model", file, *options, "--rules", "data", "fsdp+tensor")
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.strip().split("\n\n")
    assert first.startswith("data, 4 rows of 16 tokens, bfloat16 parameters")
    assert second.startswith("fsdp+tensor, 2 rows of 16 tokens")
    assert "Each of 4 devices, {'data': 4, 'model': 1}" in first
    assert "Each of 4 devices, {'data': 2, 'model': 2}" in second
    assert "all-gather" not in first and "all-gather" in second

    def bytes_of(text):
        line = next(x for x in text.splitlines() if "parameters  " in x)
        number, unit = line.split()[-2:]
        return float(number) * {"B": 1, "KB": 1000}[unit]

    # In bfloat16; only norms and small arrays are on every device.
    assert bytes_of(second) < bytes_of(first) / 2


@pytest.mark.tables
def test_a_training_that_does_not_fit_is_told(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG))
    options = ["--devices", 4, "--length", 16, "--memory", 1e-6]
    done = run("--model", file, *options, "--rules", "data")
    assert done.returncode == 1  # 1000 bytes are too few
    assert "does not fit" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "9q", "--devices", 2, "--rules", "data"], "must be one of 1b, 7b"),
        (["--model", "7b", "--devices", 2, "--rules", "fast"], "names joined by \\+"),
        (["--model", "7b", "--devices", 0, "--rules", "data"], "at least 1, got 0"),
        (
            ["--model", "7b", "--devices", 8, "--rules", "tensor+data"]
            + ["--model-axis", 3],
            "must divide --devices, got 3 and 8",
        ),
    ],
)
def test_options_that_cannot_be(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(plan.jax.config, "update", lambda *_: None)
    assert plan.main(list(map(str, arguments))) == 1
    assert re.search(message, capsys.readouterr().err)
