"""Disks without room: an error at the next call, and older checkpoints as they were."""

from checkpoint_training import start, write_without_room

import haiku as hk


def test_a_full_disk(tmp_path):
    log, folder = tmp_path / "log", tmp_path / "steps"
    process = start(write_without_room, log, folder)
    process.join(60)
    assert process.exitcode == 0, log.read_text()
    told = {}
    for line in log.read_text().splitlines():
        name, _, rest = line.partition(" ")
        told[name] = rest
    for name, step, whole in (
        ("wait:", 1, "0"),
        ("save:", 2, "0"),
        ("end:", 9, "4, 0"),
    ):
        words = f"A checkpoint in {folder} couldn't be written, the last begun is step"
        assert f"CheckpointError {words} {step} (" in told[name]
        assert "File too large" in told[name]
        assert told[name].endswith(f"Whole are: {whole}.")
    assert told["steps:"] == "[0]"
    assert told["restore:"] == "0" and told["again:"] == "True"
    assert any("tmp" in path.name for path in folder.iterdir())
    with hk.checkpoint.Checkpoints(folder) as checkpoints:
        assert not any("tmp" in path.name for path in folder.iterdir())
        assert checkpoints.steps() == [0, 4]
    assert not any("tmp" in path.name for path in folder.iterdir())
