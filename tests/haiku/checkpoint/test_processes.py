"""Two processes over this machine's network: one training, its ends, its errors."""

import os
import signal
import socket
import time

import jax
import pytest
from checkpoint_processes import (
    Position,
    hang,
    hang_alone,
    is_equal,
    resume_and_stop,
    save_and_disagree,
    state_on,
)
from checkpoint_training import start, wait_for
from jax.sharding import AxisType

import haiku as hk


def start_two(target, folder, name):
    """Both processes, and their logs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = [folder.parent / f"{name}-{process}" for process in range(2)]
    processes = [start(target, logs[p], p, port, folder) for p in range(2)]
    return processes, logs


def end(processes, logs, code=0, seconds=60.0):
    for process, log in zip(processes, logs):
        process.join(seconds)
        if process.exitcode is None:
            process.kill()
        assert process.exitcode == code, log.read_text()


def line(log, head):
    lines = [x for x in log.read_text().splitlines() if x.startswith(head)]
    assert len(lines) == 1, log.read_text()
    return lines[0].removeprefix(head).strip()


@pytest.fixture(scope="module")
def mesh():
    return jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def test_two_processes_save_and_disagree_and_resume_and_stop(tmp_path, mesh):
    folder = tmp_path / "steps"
    processes, logs = start_two(save_and_disagree, folder, "save")
    end(processes, logs)
    for log in logs:
        assert line(log, "equal:") == "True 1 8"
        error = line(log, "loader:")
        assert (
            "Processes disagree on the loader's position: other in process 1" in error
        )
        assert "Processes disagree on key" in line(log, "key:")
        assert "Processes disagree on p0, p1" in line(log, "other tree:")
        assert "every" in line(log, "arguments:")
        assert line(log, "same:") == "no error"
        error = line(log, "other:")
        assert "RuntimeError 2 processes run different programs. Other" in error
        assert "than the rest: process 1." in error
        assert "dense<2.0" in error and "dense<3.0" in error
        error = line(log, "versions:")
        assert "RuntimeError 2 processes have different versions. Other" in error
        assert f"jax {jax.__version__}" in error and "jax 0.9.9" in error
    assert "Process 1 of 2 failed" in line(logs[0], "one fails:")
    assert "count is a str" in line(logs[1], "one fails:")

    # One process takes up what two wrote, on another mesh, and the other way round.
    with hk.checkpoint.Checkpoints(folder, keep=9) as checkpoints:
        assert checkpoints.steps() == [0, 1]
        position = Position(0)
        state, at = checkpoints.restore(state_on(mesh, 0), position)
        assert at == 1 and position.position == 8
        assert is_equal(state, state_on(mesh, 1))
        checkpoints.save(4, state_on(mesh, 4), Position(16))
    with hk.checkpoint.Checkpoints(folder, keep=9) as checkpoints:
        checkpoints.save(5, state_on(mesh, 5), Position(20))
    files = (p for p in (folder / "5").rglob("*") if p.is_file())
    largest = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[-len(content) // 4] ^= 1  # In the last rows: those of process 1.
    largest.write_bytes(content)

    processes, logs = start_two(resume_and_stop, folder, "resume")
    wait_for(logs[1], "running", processes[1])
    os.kill(processes[1].pid, signal.SIGTERM)
    end(processes, logs)
    for log in logs:
        assert "CheckpointError" in line(log, "damaged:")
        assert line(log, "equal:") == "True 4 16"
    assert line(logs[0], "stops") == line(logs[1], "stops")
    stopped = int(line(logs[0], "stops").split()[0])
    with hk.checkpoint.Checkpoints(folder, keep=9) as checkpoints:
        assert checkpoints.steps() == [0, 1, 4, stopped]


def test_a_process_that_hangs_ends_all(tmp_path):
    folder = tmp_path / "steps"
    folder.mkdir()
    began = time.monotonic()
    processes, logs = start_two(hang, folder, "hang")
    end(processes, logs, code=75)
    assert time.monotonic() - began < 60
    for process, log in enumerate(logs):
        text = log.read_text()
        assert f"Process {process} of 2 hangs: no step was finished for 3 s" in text
        assert "the last one is 2" in text
        assert "All that speak have done the same: the last one is 2. At " in text
        assert "(a_loader_that_hangs): process 1." in text
        assert "ends with code 75" in text and "\nend\n" not in text
    assert "a_loader_that_hangs" in logs[1].read_text()
    assert "sync_global_devices" in logs[0].read_text()


def test_c_code_that_keeps_the_interpreter_is_ended_too(tmp_path):
    log = tmp_path / "log"
    process = start(hang_alone, log, tmp_path / "steps")
    process.join(60)
    assert process.exitcode == 1
    assert "hang_alone" in log.read_text().partition("hangs")[2]
