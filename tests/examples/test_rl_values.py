"""The agents that learn values, Catch, and what all agents share."""

import functools
import importlib
import json
import pathlib
from unittest import mock

import jax
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
for needed in ("matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)

AGENTS = pathlib.Path(__file__).parents[2] / "examples" / "rl"
VALUE_AGENTS = "dqn", "dqn --double", "c51", "qr_dqn"
CATCH_AGENTS = "catch_q", "catch_q_lambda", "catch_popart"


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(str(AGENTS))
    return importlib.import_module


@pytest.fixture
def short_cart_pole():
    """CartPole that is cut off after ten steps."""
    name = "ShortCartPole-v0"
    entry = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
    gymnasium.register(name, entry, max_episode_steps=10)
    yield name
    del gymnasium.registry[name]


# Agents.


@pytest.mark.parametrize("name", VALUE_AGENTS)
def test_value_agent(load, tmp_path, name):
    name, *options = name.split()
    agent, common = load(name), ["--episodes", "3", "--name", "agent"]
    small = "--steps 640 --warm-up 320 --capacity 400 --evaluations 2 --seeds 1"
    argv = [*options, *common, *small.split(), "--out", str(tmp_path)]
    (mean,) = agent.main(argv=argv)
    assert 8 <= mean <= 500
    seed = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]
    assert [step for step, _ in seed["curve"]] == [16, 320, 640]
    assert seed["curve"][-1][1] == seed["mean"] == mean
    assert (tmp_path / "agent.png").stat().st_size > 10_000
    show = [*common, "--show", str(tmp_path / "agent-0")]
    assert agent.main(argv=show) == pytest.approx([mean])


@pytest.mark.parametrize("name", CATCH_AGENTS)
def test_catch_agent_learns(load, tmp_path, name):
    steps = {"catch_q": 3600, "catch_q_lambda": 3600, "catch_popart": 13_500}[name]
    rest = f"--evaluations 1 --seeds 1 --episodes 60 --name agent --out {tmp_path}"
    agent = load(name)
    (mean,) = agent.main(argv=["--steps", str(steps), *rest.split()])
    (_, before), (_, after) = json.loads((tmp_path / "agent.json").read_text())[
        "seeds"
    ][0]["curve"]
    assert after == mean > before + 0.4
    show = f"--episodes 60 --show {tmp_path / 'agent-0'}"
    assert agent.main(argv=show.split()) == pytest.approx([mean])


# Losses, against plain loops.

TRANSITIONS = (
    np.array([[0.1, -0.2, 0.03, 0.4], [-1, 0.3, 0.1, -0.2]], np.float32),
    np.array([1, 0]),
    np.array([4.0, 2.0], np.float32),
    np.array([0.9, 0.0], np.float32),
    np.array([[0.2, 0.3, -0.1, 0.2], [-2, 0.1, 0.2, 0.7]], np.float32),
)


def setting(agent, *options):
    """The compiled network, parameters, those of the target network, and the loss."""
    init, options = jax.jit(agent.network.init), agent.parser.parse_args(options)
    params, target = (init(jax.random.key(i), TRANSITIONS[0]) for i in range(2))
    loss = jax.jit(lambda *x: agent.loss(*x, options))(params, target, TRANSITIONS)
    return jax.jit(agent.network.apply), params, target, loss


@pytest.mark.parametrize("double", [False, True])
def test_dqn_loss(load, double):
    agent = load("dqn")
    network, params, target_params, loss = setting(agent, *["--double"] * double)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    total = 0.0
    for i in range(2):
        chosen_by = params if double else target_params
        best = np.argmax(network(chosen_by, s_t)[i])
        value = network(target_params, s_t)[i, best]
        error = r_t[i] + discount_t[i] * value
        error -= network(params, s_tm1)[i, a_tm1[i]]
        total += error**2 / 2
    np.testing.assert_allclose(loss, total / 2, rtol=1e-5)


def test_c51_loss(load):
    agent = load("c51")
    network, params, target_params, loss = setting(agent)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    atoms, total = np.asarray(agent.ATOMS), 0.0
    for i in range(2):
        best = np.argmax(agent.q_values(target_params, s_t)[i])
        probs = np.asarray(jax.nn.softmax(network(target_params, s_t)))
        log_q = jax.nn.log_softmax(network(params, s_tm1)[i, a_tm1[i]])
        for place, p in zip(r_t[i] + discount_t[i] * atoms, probs[i, best]):
            near = np.clip(1 - np.abs(np.clip(place, 0, 100) - atoms) / 2, 0, 1)
            total -= p * np.sum(near * np.asarray(log_q))
    np.testing.assert_allclose(loss, total / 2, rtol=1e-4)


def test_qr_dqn_loss(load):
    agent = load("qr_dqn")
    network, params, target_params, loss = setting(agent)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    total = 0.0
    for i in range(2):
        best = np.argmax(agent.q_values(target_params, s_t)[i])
        values = np.asarray(network(target_params, s_t))[i, :, best]
        ours = np.asarray(network(params, s_tm1))[i, :, a_tm1[i]]
        for tau, x in zip(np.asarray(agent.TAU), ours):
            error = r_t[i] + discount_t[i] * values - x
            size = np.abs(error)
            huber = np.where(size < 1, error**2 / 2, size - 0.5)
            total += np.mean(np.abs(tau - (error < 0)) * huber)
    np.testing.assert_allclose(loss, total / 2, rtol=1e-4)


def test_transitions_bootstrap_where_an_episode_is_cut_off(
    load, monkeypatch, short_cart_pole
):
    value_agent, dqn, kept = load("value_agent"), load("dqn"), []

    class Kept(value_agent.Replay):
        def add(self, *columns):
            super().add(*columns)
            kept.append(columns)

    monkeypatch.setattr(value_agent, "Replay", Kept)
    options = dqn.parser.parse_args(
        ["--environment", short_cart_pole, "--steps", "640", "--warm-up", "10000"]
    )
    dqn.learn(options, 0, mock.Mock())
    columns = [np.concatenate(x) for x in zip(*kept)]
    s_tm1, a_tm1, r_t, discount_t, s_t = columns
    assert len(s_t) == 640 and np.all(r_t == 1)
    # By the physics of CartPole: each s_t follows its s_tm1, also at the end.
    np.testing.assert_allclose(s_t[:, 0], s_tm1[:, 0] + 0.02 * s_tm1[:, 1], atol=1e-6)
    np.testing.assert_allclose(s_t[:, 2], s_tm1[:, 2] + 0.02 * s_tm1[:, 3], atol=1e-6)
    assert np.all((s_t[:, 1] > s_tm1[:, 1]) == (a_tm1 == 1))
    fallen = (np.abs(s_t[:, 2]) > np.pi / 15) | (np.abs(s_t[:, 0]) > 2.4)
    np.testing.assert_array_equal(discount_t == 0, fallen)
    np.testing.assert_allclose(discount_t[~fallen], 0.99)
    # Each environment's next observation is another one where an episode was cut off.
    following = s_tm1.reshape(-1, 16, 4)[1:]
    cut = np.any(following != s_t.reshape(-1, 16, 4)[:-1], -1).ravel() & ~fallen[:-16]
    assert cut.sum() > 10


# What agents share.


def test_replay_keeps_the_last(load):
    replay = load("replay").Replay(10, seed=0)
    for start in range(0, 21, 3):
        number = np.arange(start, start + 3)
        replay.add(number, -np.stack([number, number], 1).astype(np.float32))
    assert replay.size == 10
    number, pair = replay.sample(1000)
    assert set(number) == set(range(11, 21))  # all of the last ten, and no other
    assert pair.shape == (1000, 2) and pair.dtype == np.float32
    np.testing.assert_array_equal(pair[:, 0], -number)
    np.testing.assert_array_equal(pair[:, 1], -number)
    number, pair = replay.batches(4, 5)
    assert number.shape == (4, 5) and pair.shape == (4, 5, 2)
    np.testing.assert_array_equal(pair[..., 0], -number)


def test_replay_is_drawn_from_evenly_and_by_seed(load):
    def drawn(seed):
        replay = load("replay").Replay(100, seed)
        replay.add(np.arange(8))  # The rest is empty, and never drawn.
        return replay.sample(8000)[0]

    counts = np.bincount(drawn(0), minlength=8)
    assert counts.shape == (8,) and counts.min() > 850 and counts.max() < 1150
    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert np.any(drawn(0) != drawn(1))


def test_last_observations(load):
    experiment = load("experiment")
    environments = experiment.vector("CartPole-v1", 4)
    environments.reset(seed=0)
    ends = 0
    for _ in range(60):
        actions = np.array([0, 1, 0, 1])
        observations, _, ended, _, info = environments.step(actions)
        last = experiment.last_observations(observations, info)
        # Beyond 12 degrees the pole has fallen; a new episode starts near 0.
        assert np.all((np.abs(last[:, 2]) > np.pi / 15) == ended)
        assert np.all(np.abs(observations[ended]) <= 0.05)
        np.testing.assert_array_equal(last[~ended], observations[~ended])
        ends += ended.sum()
    environments.close()
    assert ends > 8


class Counting:
    """Environment i pays 1 a step, ends every i + 1 steps, and then starts anew."""

    num_envs = 3

    def reset(self, seed):
        self.step_number, self.seed = 0, seed
        return np.zeros(3), {}

    def step(self, actions):
        assert actions.shape == (3,)
        self.step_number += 1
        over = self.step_number % (np.arange(3) + 1) == 0
        cut = over & (np.arange(3) == 1)
        return np.full(3, self.step_number), np.ones(3), over & ~cut, cut, {}


def test_evaluate_counts_the_first_episode_alone(load):
    memories, environments = [], Counting()

    def act(observations, memory):
        memories.append(memory)
        return np.zeros(3, int), (memory or 0) + 1

    returns = load("experiment").evaluate(act, environments, 7)
    np.testing.assert_array_equal(returns, [1, 2, 3])
    assert environments.seed == 7 and memories == [None, 1, 2]


def act(learned, observations, memory):
    return jax.numpy.zeros(len(observations), int) + learned["action"], memory


def test_main_evaluates_apart_from_training(load, tmp_path, monkeypatch, capsys):
    experiment, evaluated = load("experiment"), []

    def evaluate(act, environments, seed):
        evaluated.append((seed, int(act(np.zeros((4, 4)), None)[0][0])))
        return np.full(4, 100.0 + len(evaluated))

    def learn(options, seed, report):
        for step in range(0, 100, 10):
            report(step, {"action": np.array(step)}, seed=seed)
        return {"action": np.array(100)}

    monkeypatch.setattr(experiment, "evaluate", evaluate)
    parser = experiment.parser("About.", environment="CartPole-v1", steps=100)
    main = functools.partial(experiment.main, learn, act, parser)
    argv = f"--seed 3 --seeds 2 --evaluations 5 --episodes 4 --out {tmp_path}".split()
    assert main(argv=[*argv, "--name", "a"]) == [106, 112]
    curve = [(experiment.CURVE_SEED, x) for x in range(0, 100, 20)]
    assert evaluated == [*curve, (experiment.TEST_SEED, 100)] * 2
    seeds = json.loads((tmp_path / "a.json").read_text())["seeds"]
    assert [x["seed"] for x in seeds] == [3, 4]
    assert seeds[0]["curve"] == [[20 * i, 101 + i] for i in range(6)]
    assert "109 +- 3 over 2 seeds" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(argv=[*argv, "--name", "a", "--at-least", "200"])
    assert "less than 200" in capsys.readouterr().err
    main(argv=[*argv, "--name", "a", "--at-least", "100"])


def test_report_knows_the_best(load, monkeypatch):
    experiment = load("experiment")
    options = mock.Mock(steps=50, evaluations=5)
    report = experiment.Report(act, None, options, seed=0)
    values = iter([3, 8, 5, 8, 7])
    monkeypatch.setattr(report, "evaluate", lambda *_: np.full(2, next(values)))
    best = []
    for step in range(0, 51, 5):
        report(step, step)
        best.append(report.best)
    report.bar.close()
    assert report.curve == [(0, 3), (10, 8), (20, 5), (30, 8), (40, 7)]
    assert best == [0, 0, 10, 10, 10, 10, 30, 30, 30, 30, 30]


# Catch.


def test_the_rules_of_catch(load):
    catch, random = load("catch"), np.random.default_rng(0)
    step, rewards = jax.jit(catch.step), []
    for seed in range(30):
        game = catch.start(jax.random.key(seed))
        column, paddle = int(game.column), 2
        for row in range(10):
            expected = np.zeros((10, 5))
            expected[row, column] = expected[9, paddle] = 1
            np.testing.assert_array_equal(catch.board(game), expected)
            if row == 9:
                break
            action = random.integers(3)
            game, reward, ended = step(game, action)
            paddle = min(max(paddle + action - 1, 0), 4)
            assert ended == (row == 8)
            caught = 1 if paddle == column else -1
            assert reward == (caught if ended else 0)
        rewards.append(int(reward))
    assert {-1, 1} == set(rewards)


def test_balls_fall_in_every_column(load):
    keys = jax.random.split(jax.random.key(0), 500)
    columns = np.bincount(jax.vmap(load("catch").start)(keys).column)
    assert columns.shape == (5,) and columns.min() > 70


def test_games_side_by_side(load):
    catch = load("catch")
    games = catch.CatchVector("Catch", 6)
    first, _ = games.reset(seed=3)
    np.testing.assert_array_equal(games.reset(seed=3)[0], first)
    assert games.observation_space.contains(first)
    column = first[:, 0].argmax(-1)
    assert len(set(column)) > 1
    for step in range(1, 10):
        boards, rewards, ended, cut, info = games.step(np.full(6, 2))
        assert not cut.any() and np.all(ended == (step == 9))
    # All paddles went right; the boards are already those of the next episode.
    np.testing.assert_array_equal(rewards, np.where(column == 4, 1, -1))
    np.testing.assert_array_equal(boards[:, 0].sum(-1), 1)
    np.testing.assert_array_equal(boards[:, 9].argmax(-1), 2)
    np.testing.assert_array_equal(info["final_obs"][:, 9, 4], 1)
    np.testing.assert_array_equal(info["final_obs"][:, :9].sum((1, 2)), 0)
    with pytest.raises(ValueError, match="Catch is played here"):
        catch.CatchVector("CartPole-v1", 1)


def test_popart_keeps_what_the_network_stands_for(load):
    """Statistics move with the head: the real values stay, the normalised change."""
    agent = load("catch_popart")
    import rlax

    board = np.zeros((10, 5), np.float32)
    board[0, 1] = board[9, 2] = 1
    params = agent.network.init(jax.random.key(0), board)
    initial, update = rlax.popart(9, 0.1, 1e-4, 1e6)
    before = agent.values(params, initial(), board)
    outputs = np.arange(9)
    targets = np.repeat([0.01, 1, 100], 3).astype(np.float32)
    head, statistics = update(params["head"], initial(), targets, outputs)
    after = agent.values({**params, "head": head}, statistics, board)
    np.testing.assert_allclose(after[1], before[1], atol=1e-4)
    assert np.abs(after[0] - before[0]).max() > 0.1
