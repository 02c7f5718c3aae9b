"""Agents for continuous control, at sizes that take a second or two."""

import functools
import importlib
import json
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
for needed in ("matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)

ONLINE = "sac", "td3", "ddpg", "tqc", "crossq"
SMALL = "--steps 256 --warm-up 128 --evaluations 2 --seeds 1 --episodes 2 --name agent"
SMALL += " --batch-size 16 --capacity 300"


@functools.cache
def batch():
    """Four transitions, as an agent sees them: of three numbers, and one action."""
    keys = jax.random.split(jax.random.key(0), 4)
    s_tm1, s_t = jax.random.normal(keys[0], [2, 4, 3])
    a_tm1 = jax.random.uniform(keys[1], [4, 1], minval=-1.0)
    r_t, discount_t = jnp.arange(4.0), jnp.array([0.9, 0.0, 0.9, 0.9])
    return s_tm1, a_tm1, r_t, discount_t, s_t


@functools.cache
def history(name, *options):
    """An agent, and its states before and after each of six updates, [7, ...]."""
    module, off_policy = map(importlib.import_module, [name, "off_policy"])
    agent = module.rule(1, module.parser.parse_args(options)).agent
    transitions = off_policy.Transition(*batch())

    @jax.jit
    def states(key):
        first = agent.init(key, batch()[0], batch()[1])

        def update(state, key):
            state = agent.update(state, key, transitions)
            return state, state

        after = jax.lax.scan(update, first, jax.random.split(key, 6))[1]
        return jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]), first, after)

    return agent, jax.device_get(states(jax.random.key(1)))


def at(states, number):
    """The state after so many updates."""
    return jax.tree.map(lambda x: x[number], states)


def distance(one, other):
    """The largest difference between two trees."""
    gaps = jax.tree.map(lambda x, y: jnp.abs(x - y).max(), one, other)
    return float(jnp.stack(jax.tree.leaves(gaps)).max())


# Agents.


@pytest.mark.parametrize("name", ["sac", "ddpg --compiled"])
def test_agent(load, tmp_path, name):
    """Both loops, by way of the command line."""
    agent, argv = load(name.split()[0]), [*name.split()[1:], *SMALL.split()]
    (mean,) = agent.main(argv=[*argv, "--out", str(tmp_path)])
    seed = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]
    assert -2000 < mean < 0 and seed["curve"][-1] == [256, mean]
    if "--compiled" in argv:
        show = f"--episodes 2 --show {tmp_path / 'agent-0'}"
        assert agent.main(argv=show.split()) == pytest.approx([mean])
        assert (tmp_path / "agent-0.gif").stat().st_size > 1000


def test_the_car_has_a_recipe(load, monkeypatch):
    """What is given on the command line counts more."""
    sac, control, taken = load("sac"), load("control"), {}

    def main(learn, act, parser, argv):
        taken.update(vars(parser.parse_args(argv)))

    monkeypatch.setattr(control.experiment, "main", main)
    car = ["--environment", "MountainCarContinuous-v0"]
    sac.main(argv=[*car, "--follow", "0.5"])
    assert taken["hold"] and taken["temperature"] == 0.1 and taken["follow"] == 0.5
    sac.main(argv=[])
    assert not taken["hold"] and taken["temperature"] is None


@pytest.mark.parametrize("name", ONLINE)
def test_updates_are_finite_and_move_all_networks(load, name):
    _, states = history(name)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(states))
    for network in states.params:
        assert distance(at(network, 0), at(network, 6)) > 1e-4


@pytest.mark.parametrize("name", ["sac", "td3", "ddpg", "tqc"])
def test_targets_follow(load, name):
    _, states = history(name)
    part = (lambda x: x) if name in ("td3", "ddpg") else (lambda x: x.critics)
    before, after = at(states.target, 1), at(states.target, 2)
    expected = jax.tree.map(
        lambda x, y: 0.995 * x + 0.005 * y, before, part(at(states.params, 2))
    )
    assert distance(after, expected) < 1e-6 < distance(after, before)


def test_delayed_policies(load):
    for name, delay in [("td3", 2), ("crossq", 3)]:
        _, states = history(name)
        for number in range(1, 7):
            policies = [at(states.params.policy, i) for i in (number - 1, number)]
            critics = [at(states.params.critics, i) for i in (number - 1, number)]
            assert (distance(*policies) > 1e-6) == (number % delay == 0)
            assert distance(*critics) > 0


def test_noise_that_is_held_changes_with_learning_alone(load):
    sac, (_, states) = load("sac"), history("sac")
    keys = jax.random.split(jax.random.key(5))
    for options, held in [(["--hold"], True), ([], False)]:
        agent = sac.rule(1, sac.parser.parse_args(options)).agent
        first, second = (
            agent.explore(at(states, 0), key, batch()[0], 0.5) for key in keys
        )
        assert np.array_equal(first, second) == held
    assert np.abs(states.noise[0] - states.noise[1]).min() > 1e-3


# From recorded data.


@pytest.fixture
def data(tmp_path):
    """Transitions in which the better action is known: of reward -(a - s[0])^2."""
    random = np.random.default_rng(0)
    s_tm1, s_t = random.uniform(-1, 1, [2, 3000, 3]).astype(np.float32)
    a_tm1 = random.uniform(-2, 2, [3000, 1]).astype(np.float32)  # of Pendulum's bounds
    r_t = -((a_tm1[:, 0] / 2 - s_tm1[:, 0]) ** 2)
    columns = {"s_tm1": s_tm1, "a_tm1": a_tm1, "r_t": r_t, "s_t": s_t}
    np.savez(tmp_path / "data.npz", **columns, ended_t=np.ones(3000, bool))
    return tmp_path / "data.npz"


@pytest.mark.parametrize("agent", ["td3_bc", "iql --beta 300"])
def test_offline_agents_find_the_better_actions(load, data, tmp_path, agent):
    name, *more = agent.split()
    module, offline = load(name), load("offline")
    argv = "--steps 400 --evaluations 2 --batch-size 64 --learning-rate 3e-3 --data"
    options = module.parser.parse_args([*argv.split(), str(data), *more])
    rule, report = module.rule(1, options), mock.Mock()
    report.resume.side_effect = lambda training: (training, 0)
    scales = load("control").scales(gymnasium.make_vec("Pendulum-v1", 1))
    agent = load("control").translated(rule.agent, scales)
    learned = offline.learn(agent, options, 0, report)
    assert [call.args[0] for call in report.call_args_list] == [0, 200]
    seen = np.random.default_rng(1).uniform(-0.8, 0.8, [200, 3]).astype(np.float32)
    actions = rule.act(learned, scales.seen(seen))[:, 0]
    slope = np.polyfit(seen[:, 0], actions, 1)[0]
    assert slope > 0.2  # the data's is 0


def test_what_is_recorded(load, tmp_path):
    record, data = load("record"), tmp_path / "data.npz"
    policy = load("control").gaussian(1)
    params = policy.init(jax.random.key(0), jnp.zeros([1, 3]))
    with importlib.import_module("orbax.checkpoint").StandardCheckpointer() as kept:
        kept.save(tmp_path / "sac-0" / "learned", params)
    folders = [str(tmp_path / "sac-0")] * 2
    means = record.main([*folders, "--episodes", "2", "--data", str(data)])
    with np.load(data) as columns:
        columns = dict(columns)
    assert columns["s_tm1"].shape == columns["s_t"].shape == (800, 3)
    assert columns["a_tm1"].shape == (800, 1) and not columns["ended_t"].any()
    np.testing.assert_allclose(columns["r_t"].sum(), 2 * sum(means), rtol=1e-4)
    options = load("offline").parser("").parse_args(["--data", str(data)])
    memory = load("offline").recorded(options)
    np.testing.assert_allclose(memory.columns.discount_t, 0.99)
    # By the rules of the game each s_t follows its s_tm1.
    pendulum = load("pendulum")
    s_tm1, actions = columns["s_tm1"], columns["a_tm1"][:, 0]
    angle = np.arctan2(s_tm1[:, 1], s_tm1[:, 0])
    rod, r_t = pendulum.step(pendulum.Pendulum(angle, s_tm1[:, 2], 0), actions)
    np.testing.assert_allclose(columns["s_t"][:, 2], rod.speed, atol=1e-3)
    np.testing.assert_allclose(columns["r_t"], r_t, atol=1e-3)


# What they share.


def test_scales(load):
    control = load("control")
    car = gymnasium.make_vec("MountainCarContinuous-v0", 1)
    scales = control.scales(car)
    np.testing.assert_allclose(scales.seen(np.array([[0.6, -0.07]])), [[1, -1]], 1e-5)
    pole = control.scales(gymnasium.make_vec("Pendulum-v1", 1))
    np.testing.assert_allclose(pole.bounded(np.array([-1, 0.5])), [-2, 1])
    np.testing.assert_allclose(pole.unit(pole.bounded(0.3)), [0.3], 1e-6)
    car.close()
    unbounded = mock.Mock(
        single_observation_space=gymnasium.spaces.Box(-np.inf, np.inf, [2]),
        single_action_space=gymnasium.spaces.Box(0, 4, [1]),
    )
    scales = control.scales(unbounded)
    np.testing.assert_array_equal(scales.seen(np.array([7.0, -9.0])), [7, -9])
    np.testing.assert_array_equal(scales.unit(np.array([0.0])), [-1])


def test_pendulum_is_gymnasiums(load):
    pendulum, random = load("pendulum"), np.random.default_rng(0)
    step = jax.jit(pendulum.GAME.step)
    reference = gymnasium.make("Pendulum-v1")
    for seed in range(3):
        expected, _ = reference.reset(seed=seed)
        angle, speed = reference.unwrapped.state
        rod = pendulum.Pendulum(jnp.float32(angle), jnp.float32(speed), jnp.zeros([]))
        for number in range(200):
            np.testing.assert_allclose(pendulum.observation(rod), expected, atol=2e-3)
            action = random.uniform(-3, 3, 1).astype(np.float32)  # beyond the bounds
            expected, reward, ended, cut, _ = reference.step(action)
            before = rod
            rod, our_reward, our_end, our_cut = step(rod, action, None)
            np.testing.assert_allclose(our_reward, reward, atol=2e-2)
            assert (our_end, bool(our_cut)) == (ended, cut) == (False, number == 199)
            # From the same place again, so that roundings don't add up.
            angle, speed = reference.unwrapped.state
            np.testing.assert_allclose(
                [rod.angle, rod.speed], [angle, speed], atol=1e-3
            )
            rod = rod._replace(angle=jnp.float32(angle), speed=jnp.float32(speed))
            assert rod.steps == before.steps + 1


def test_pendulums_start_anywhere(load):
    keys = jax.random.split(jax.random.key(0), 1000)
    rods = jax.vmap(load("pendulum").start)(keys)
    assert -np.pi <= rods.angle.min() < -3 and 3 < rods.angle.max() <= np.pi
    assert -1 <= rods.speed.min() < -0.9 and 0.9 < rods.speed.max() <= 1


def test_the_compiled_loop_remembers_what_happens(load):
    """An agent that learns nothing, and shows which transitions it was given.

    They are of three steps, or fewer where an episode is cut off.
    """
    compiled, off_policy = load("compiled"), load("off_policy")
    pendulum, steps = load("pendulum"), "--steps 1024 --warm-up 64 --every 16"
    rest = "--updates 3 --environments 4 --evaluations 4 --capacity 100 --n-step 3"
    options = load("sac").parser.parse_args([*steps.split(), *rest.split()])

    def update(state, key, batch):
        chosen = batch.a_tm1[:, 0] == 0.5  # then those that follow are too
        angle = jnp.arctan2(batch.s_tm1[:, 1], batch.s_tm1[:, 0])
        rod, r_t = pendulum.Pendulum(angle, batch.s_tm1[:, 2], 0), 0.0
        count = jnp.round(jnp.log(batch.discount_t) / jnp.log(0.99))
        for i in range(3):
            after, reward = pendulum.step(rod, batch.a_tm1[:, 0])
            rod = jax.tree.map(functools.partial(jnp.where, i < count), after, rod)
            r_t += (i < count) * 0.99**i * reward
        s_t = jax.vmap(pendulum.observation)(rod._replace(steps=angle))
        gaps = jnp.abs(s_t - batch.s_t).max(-1), jnp.abs(r_t - batch.r_t)
        gap = jnp.where(chosen, jnp.maximum(*gaps), 0).max()
        return {
            "updates": state["updates"] + 1,
            "gap": jnp.maximum(state["gap"], gap),
            "random": ~chosen.all(),
            "cut": state["cut"] + (chosen & (count < 3)).sum(),
        }

    agent = off_policy.Agent(
        lambda key, s, a: {"updates": 0, "gap": 0.0, "random": True, "cut": 0},
        lambda state, key, s, share: jnp.full([4, 1], 0.5),
        update,
        lambda state: state,
    )
    report = mock.Mock()
    report.resume.side_effect = lambda training: (training, 0)
    learned = compiled.learn(pendulum.GAME, agent, options, 0, report)
    assert learned["updates"] == (1024 - 64) // 16 * 3
    assert learned["gap"] < 1e-3 and learned["cut"] > 0
    assert not learned["random"]  # those of the warm-up are forgotten
    assert report.played.call_count == 1024 // 4
    overs = np.stack([call.args[1] for call in report.played.call_args_list])
    assert overs.sum() == 4 and overs[199].all()  # each is cut off after 200 steps
    assert [call.args[0] for call in report.call_args_list] == [0, 64, 304, 544, 784]
