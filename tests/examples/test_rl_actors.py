"""The agents that learn as they act, at sizes that take a second or two."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

for needed in (
    "ale_py",
    "gymnasium",
    "matplotlib",
    "optax",
    "orbax.checkpoint",
    "tqdm",
):
    pytest.importorskip(needed)

AGENTS = pathlib.Path(__file__).parents[2] / "examples" / "rl"
SMALL = {
    "ppo": "--length 16 --environments 2 --epochs 2 --minibatches 2",
    "ppo_lstm": "--length 16 --environments 2 --epochs 2 --minibatches 2",
    "a2c": "--length 8 --environments 4",
    "impala": "--length 8 --environments 2 --actors 2 --batch 2",
    "vmpo": "--length 16 --environments 4 --epochs 2",
}


def run(agent, tmp_path, options, **others):
    options = f"--seeds 1 --evaluations 2 --out {tmp_path} --name agent {options}"
    return agent.main(argv=options.split(), **others)


@pytest.mark.parametrize("name", SMALL)
def test_agent(load, tmp_path, name):
    agent = load(name)
    mean, *others = run(agent, tmp_path, f"{SMALL[name]} --steps 256 --episodes 3")
    assert not others and 8 <= mean <= 500
    curve = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]["curve"]
    assert [step for step, _ in curve] == [0, 128, 256] and curve[-1][1] == mean
    assert (tmp_path / "agent.png").stat().st_size > 10_000
    if name in ("a2c", "impala", "vmpo"):  # what they keep is alike
        return
    show = f"--episodes 3 --show {tmp_path / 'agent-0'}"
    assert agent.main(argv=show.split()) == pytest.approx([mean])


def test_atari(load, tmp_path, capsys):
    atari = load("atari")

    def short(game, count, wrappers):
        return atari.Game(game, count, max_num_frames_per_episode=80)

    options = "--environment breakout --steps 16 --episodes 1 --evaluations 1"
    small = "--environments 1 --length 8 --epochs 1 --minibatches 2"
    mean, *others = run(atari, tmp_path, f"{options} {small}", vector=short)
    assert not others and mean >= 0 and mean == int(mean)
    assert "frames_per_second" in capsys.readouterr().out
    assert atari.speed([(1.0, 3.0)], 10) == {"frames_per_second": 10, "acting": 0.25}


class Clock:
    """Two environments that count, by 1 and by 10; one is cut off, the other ends."""

    num_envs = 2

    def __init__(self, gymnasium):
        self.single_action_space = gymnasium.spaces.Discrete(2)

    def reset(self, seed):
        self.now = np.zeros([2, 1], np.float32)
        return self.now, {}

    def step(self, actions):
        self.now = self.now + np.float32([[1], [10]])
        cut = np.array([self.now[0, 0] == 3, False])
        ended = np.array([False, self.now[1, 0] == 20])
        info = {"final_obs": self.now, "_final_obs": ended | cut}
        self.now = np.where((ended | cut)[:, None], np.float32(0), self.now)
        return self.now, np.ones(2), ended, cut, info


def test_rollouts_go_on_where_they_stopped(load):
    import gymnasium
    import jax.numpy as jnp

    def policy(params, observations, first, memory):
        memory = jnp.where(first, 0, memory) + 1  # steps of the episode
        return jnp.stack([memory, -memory], -1) * 1e3, memory

    actor = load("rollouts").Actor(policy, Clock(gymnasium), 0, jnp.zeros(2))
    first, second = actor(None, 3), actor(None, 2)
    both = [np.concatenate(x) for x in zip(first, second)]
    s_tm1, first_tm1, logits_tm1, a_tm1, r_t, ended_t, cut_t, s_t = both
    np.testing.assert_array_equal(s_tm1[..., 0].T, [[0, 1, 2, 0, 1], [0, 10, 0, 10, 0]])
    np.testing.assert_array_equal(
        s_t[..., 0].T, [[1, 2, 3, 1, 2], [10, 20, 10, 20, 10]]
    )
    np.testing.assert_array_equal(first_tm1.T, [[1, 0, 0, 1, 0], [1, 0, 1, 0, 1]])
    np.testing.assert_array_equal(cut_t.T, [[0, 0, 1, 0, 0], [0] * 5])
    np.testing.assert_array_equal(ended_t.T, [[0] * 5, [0, 1, 0, 1, 0]])
    # The memory was set back where episodes began, and kept between rollouts.
    np.testing.assert_array_equal(
        logits_tm1[..., 0].T / 1e3, [[1, 2, 3, 1, 2], [1, 2, 1, 2, 1]]
    )
    assert not a_tm1.any() and np.all(r_t == 1)


def test_learning_unrolls_the_memory_that_acting_had(load):
    import jax

    agent, actor = load("ppo_lstm"), load("rollouts").Actor
    environments = load("experiment").vector("CartPole-v1", 2, [agent.HideVelocities])
    actor = actor(agent.policy, environments, 0)
    x, first = actor.observations[None], actor.first[None]
    params = jax.jit(agent.network.init)(jax.random.key(0), x, first, None, x)
    actor(params, 30)  # so that what follows begins amid an episode
    memory = actor.memory
    batch = actor(params, 30)
    assert batch.first_tm1[1:].any() and not batch.first_tm1[0].all()
    logits_tm1, v_tm1, _, v_t = jax.jit(agent.network.apply)(
        params, batch.s_tm1, batch.first_tm1, memory, batch.s_t
    )
    np.testing.assert_allclose(logits_tm1, batch.logits_tm1, rtol=1e-5, atol=1e-6)
    # The value that follows a step is that of the next one, unless an episode begins.
    same = ~batch.first_tm1[1:]
    np.testing.assert_allclose(v_t[:-1][same], v_tm1[1:][same], rtol=1e-4, atol=1e-6)
    assert not np.allclose(v_t[:-1][~same], v_tm1[1:][~same], rtol=1e-4, atol=1e-6)


def test_a_policy_with_too_few_actions_is_named(load, tmp_path):
    with pytest.raises(ValueError, match="gives 2 logits, but there are 3 actions"):
        run(load("a2c"), tmp_path, "--environment Acrobot-v1 --steps 8 --episodes 1")


LONG = {
    "catch_q": "--steps 800 --evaluations 20 --episodes 2",
    "a2c": "--steps 2048 --length 8 --environments 4 --evaluations 4 --episodes 2",
}


@pytest.mark.parametrize("name", LONG)
def test_a_killed_training_goes_on(load, tmp_path, name, monkeypatch):
    """Bit for bit, where the game's state is part of the training."""
    options = f"{LONG[name]} --seeds 1 --name agent --out"
    started = subprocess.Popen(
        [
            *[sys.executable, AGENTS / f"{name}.py", "--save-every", "0"],
            *[*options.split(), tmp_path / "killed"],
        ],
        stderr=subprocess.DEVNULL,
    )
    kept, until = tmp_path / "killed" / "agent-0" / "training", time.monotonic() + 60
    while not list(kept.glob("[0-9]*[0-9]")) and time.monotonic() < until:
        time.sleep(0.01)
    started.send_signal(signal.SIGKILL)
    assert started.wait() == -signal.SIGKILL
    saved = max(int(path.name) for path in kept.glob("[0-9]*[0-9]"))
    assert 0 < saved < 2048

    agent, firsts = load(name), []
    resume = agent.experiment.Report.resume

    def seen(report, training):
        training, first = resume(report, training)
        firsts.append(first)
        return training, first

    monkeypatch.setattr(agent.experiment.Report, "resume", seen)

    def curve(run, *more):
        agent.main(argv=[*options.split(), str(tmp_path / run), *more])
        result = json.loads((tmp_path / run / "agent-0" / "result.json").read_text())
        return result["curve"]

    killed = curve("killed", "--resume")
    assert firsts == [saved] and killed[0][0] == 0
    assert len(killed) == (5 if name == "a2c" else 21)
    if name == "catch_q":
        assert killed == curve("whole")
