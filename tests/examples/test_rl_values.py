"""The agents that learn values, Catch, and what all agents share."""

import functools
import json
import pathlib
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium")
for needed in ("matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)

AGENTS = pathlib.Path(__file__).parents[2] / "examples" / "rl"
COMPILED = "rainbow --compiled"
VALUE_AGENTS = "dqn --double", "c51", "qr_dqn", "iqn", "munchausen_dqn", COMPILED
CATCH_AGENTS = "catch_q", "catch_q_lambda", "catch_popart"


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
    assert [step for step, _ in seed["curve"]] == [0, 320, 640]
    assert seed["curve"][-1][1] == seed["mean"] == mean
    assert (tmp_path / "agent.png").stat().st_size > 10_000
    show = [*common, "--show", str(tmp_path / "agent-0")]
    assert agent.main(argv=show) == pytest.approx([mean])


def test_pqn(load, tmp_path):
    small = "--steps 512 --environments 8 --length 16 --epochs 1 --minibatches 2"
    rest = f"--evaluations 2 --seeds 1 --episodes 3 --name agent --out {tmp_path}"
    (mean,) = load("pqn").main(argv=[*small.split(), *rest.split()])
    assert 8 <= mean <= 500
    seed = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]
    assert [step for step, _ in seed["curve"]] == [0, 256, 512]
    assert 8 <= seed["training"] <= 64  # an episode in each of 8 games, or more


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
    """The network, parameters, those of the target network, and the loss."""
    rule = agent.rule(2, agent.parser.parse_args(options))
    init = jax.jit(rule.init)
    params, target = (init(jax.random.key(i), TRANSITIONS[0]) for i in range(2))
    loss = jax.jit(rule.loss)(params, target, jax.random.key(2), TRANSITIONS)
    return jax.jit(agent.network(2).apply), params, target, loss.mean()


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
        error = 0.01 * r_t[i] + discount_t[i] * value
        error -= network(params, s_tm1)[i, a_tm1[i]]
        size = abs(error)
        total += error**2 / 2 if size < 1 else size - 0.5
    np.testing.assert_allclose(loss, total / 2, rtol=1e-5)


def test_c51_loss(load):
    agent = load("c51")
    network, params, target_params, loss = setting(agent)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    atoms, total = np.asarray(agent.ATOMS), 0.0
    for i in range(2):
        probs = np.asarray(jax.nn.softmax(network(target_params, s_t)))
        best = np.argmax(probs[i] @ atoms)
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
        best = np.argmax(network(target_params, s_t)[i].mean(0))
        values = np.asarray(network(target_params, s_t))[i, :, best]
        ours = np.asarray(network(params, s_tm1))[i, :, a_tm1[i]]
        for tau, x in zip(np.asarray(agent.TAU), ours):
            error = 0.01 * r_t[i] + discount_t[i] * values - x
            size = np.abs(error)
            huber = np.where(size < 0.1, error**2 / 2, 0.1 * (size - 0.05))
            total += np.mean(np.abs(tau - (error < 0)) * huber)
    np.testing.assert_allclose(loss, total / 2, rtol=1e-4)


def test_munchausen_loss(load):
    agent = load("munchausen_dqn")
    network, params, target_params, loss = setting(agent)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    total = 0.0
    for i in range(2):
        q_target = np.asarray(network(target_params, s_t))[i]
        log_pi = np.asarray(jax.nn.log_softmax(q_target / 3e-4))
        soft = np.sum(np.exp(log_pi) * (q_target - 3e-4 * log_pi))
        before = network(target_params, s_tm1)[i] / 3e-4
        bonus = np.clip(3e-4 * jax.nn.log_softmax(before)[a_tm1[i]], -0.01, 0)
        error = 0.01 * r_t[i] + 0.9 * bonus + discount_t[i] * soft
        error -= network(params, s_tm1)[i, a_tm1[i]]
        size = abs(error)
        total += error**2 / 2 if size < 1 else size - 0.5
    np.testing.assert_allclose(loss, total / 2, rtol=1e-4)


def test_iqn_loss(load):
    agent = load("iqn")
    network, params, target_params, loss = setting(agent)
    s_tm1, a_tm1, r_t, discount_t, s_t = TRANSITIONS
    tau_tm1, tau_t = np.asarray(
        jax.random.uniform(jax.random.key(2), (2, 2, agent.SAMPLES))
    )
    total = 0.0
    for i in range(2):
        following = np.asarray(network(target_params, s_t, tau_t))[i]
        values = following[:, np.argmax(following.mean(0))]
        ours = np.asarray(network(params, s_tm1, tau_tm1))[i, :, a_tm1[i]]
        for tau, x in zip(tau_tm1[i], ours):
            error = r_t[i] + discount_t[i] * values - x
            size = np.abs(error)
            huber = np.where(size < 1, error**2 / 2, size - 0.5)
            total += np.mean(np.abs(tau - (error < 0)) * huber)
    np.testing.assert_allclose(loss, total / 2, rtol=1e-4)


def test_pqn_returns(load):
    """They end where an episode ends, and bootstrap where it is cut off."""
    pqn, games = load("pqn"), load("games")
    random, shape = np.random.default_rng(0), (6, 2)
    net, options = pqn.network(3), pqn.parser.parse_args([])
    s_tm1, s_t = random.normal(size=(2, *shape, 4)).astype(np.float32)
    r_t = random.normal(size=shape).astype(np.float32)
    ended_t, cut_t = np.zeros(shape, bool), np.zeros(shape, bool)
    ended_t[2, 0] = cut_t[3, 1] = True
    played = games.Step(s_tm1, np.zeros(shape, int), r_t, ended_t, cut_t, s_t)
    params = net.init(jax.random.key(0), s_t[0])
    values = np.asarray(net.apply(params, s_t.reshape(-1, 4)).max(-1)).reshape(shape)
    expected, following = np.zeros(shape), values[-1]
    for t in reversed(range(6)):
        blend = options.lambda_ * following + (1 - options.lambda_) * values[t]
        blend = np.where(cut_t[t], values[t], blend)
        following = r_t[t] + options.discount * ~ended_t[t] * blend
        expected[t] = following
    returns = pqn.returns(net, params, played, options)
    np.testing.assert_allclose(returns, expected, rtol=1e-4, atol=1e-5)


def test_noisy_layers(load):
    """Their noise has the mean 0, is another one for each key, and can be left out."""
    rainbow = load("rainbow")
    net = rainbow.hk.transform(lambda x: rainbow.NoisyLinear(3, 0.5)(x))
    x = np.array([[1.0, -2.0, 0.5]], np.float32)
    params = net.init(jax.random.key(0), x)
    (weights,) = params.values()
    plain = net.apply(params, None, x)
    np.testing.assert_allclose(plain, x @ weights["w"] + weights["b"], rtol=1e-5)
    keys = jax.random.split(jax.random.key(1), 4000)
    noisy = jax.jit(jax.vmap(lambda key: net.apply(params, key, x)))(keys)
    assert np.asarray(noisy).std(0).min() > 0.3
    np.testing.assert_allclose(noisy.mean(0), plain, atol=0.08)


def test_convolution(load):
    """As a product it is what haiku's Conv2D computes."""
    value_agent = load("value_agent")
    hk = value_agent.hk
    ours = hk.transform(lambda x: value_agent.convolution(x, 5))
    theirs = hk.transform(lambda x: hk.Conv2D(5, 3, padding="VALID")(x))
    x = jax.random.normal(jax.random.key(0), (2, 6, 7, 4))
    (weights,) = ours.init(jax.random.key(1), x).values()
    same = {"w": weights["w"].reshape(3, 3, 4, 5), "b": weights["b"] + 1}
    np.testing.assert_allclose(
        theirs.apply({"conv2_d": same}, None, x),
        ours.apply({"convolution": weights}, None, x) + 1,
        atol=1e-5,
    )


def test_transitions_bootstrap_where_an_episode_is_cut_off(load, short_cart_pole):
    _, (s_tm1, a_tm1, r_t, discount_t, over_t, s_t) = remembered(load, short_cart_pole)
    assert len(s_t) == 640 and np.all(r_t == 1)
    # By the physics of CartPole: each s_t follows its s_tm1, also at the end.
    np.testing.assert_allclose(s_t[:, 0], s_tm1[:, 0] + 0.02 * s_tm1[:, 1], atol=1e-6)
    np.testing.assert_allclose(s_t[:, 2], s_tm1[:, 2] + 0.02 * s_tm1[:, 3], atol=1e-6)
    assert np.all((s_t[:, 1] > s_tm1[:, 1]) == (a_tm1 == 1))
    fallen = (np.abs(s_t[:, 2]) > np.pi / 15) | (np.abs(s_t[:, 0]) > 2.4)
    np.testing.assert_array_equal(discount_t == 0, fallen)
    np.testing.assert_allclose(discount_t[~fallen], 0.99)
    # Each environment's next observation is another one where an episode was cut off.
    following = s_tm1.reshape(-1, 8, 4)[1:]
    new = np.any(following != s_t.reshape(-1, 8, 4)[:-1], -1).ravel()
    np.testing.assert_array_equal(over_t[:-8], new)
    assert (new & ~fallen[:-8]).sum() > 10


def test_transitions_of_three_steps(load, short_cart_pole):
    """They add up rewards to the end of an episode, and not beyond."""
    off_policy = load("off_policy")
    memory, single = remembered(load, short_cart_pole)
    options = mock.Mock(n_step=3, environments=8)
    count = 640 - 2 * 8
    joined = off_policy.transitions(memory, jnp.arange(count), options)
    for i in range(count):
        total, discount, at = 0.0, 1.0, i
        for at in (i, i + 8, i + 16):
            total += discount * single.r_t[at]
            discount *= single.discount_t[at]
            if single.over_t[at]:
                break
        np.testing.assert_array_equal(joined.s_tm1[i], single.s_tm1[i])
        np.testing.assert_array_equal(joined.s_t[i], single.s_t[at])
        np.testing.assert_allclose(joined.r_t[i], total, rtol=1e-6)
        np.testing.assert_allclose(joined.discount_t[i], discount, rtol=1e-6)
    assert set(np.round(joined.r_t.tolist(), 4)) == {1, 1.99, 2.9701}


def test_what_was_remembered_before_a_stop_has_no_next_step(load, short_cart_pole):
    off_policy = load("off_policy")
    memory, single = remembered(load, short_cart_pole)
    last = np.arange(640 - 8, 640)
    after = off_policy.cut_off(memory, 8)
    over_t = after.columns.over_t[:640]
    assert np.all(over_t[last]) and not np.all(single.over_t[last])
    np.testing.assert_array_equal(over_t[: last[0]], single.over_t[: last[0]])
    # A value still counts there: only what follows does not.
    after = replay_of_more(load, after)
    options = mock.Mock(n_step=3, environments=8)
    joined = off_policy.transitions(after, jnp.asarray(last), options)
    np.testing.assert_array_equal(joined.s_t, single.s_t[last])
    np.testing.assert_array_equal(joined.discount_t, single.discount_t[last])


def replay_of_more(load, memory):
    """The memory with one more step of eight environments, unlike the others."""
    first = jax.tree.map(lambda x: x[:8], memory.columns)
    other = first._replace(s_tm1=first.s_tm1 + 7, s_t=first.s_t + 7)
    return load("replay").add(memory, other)


def test_transitions_go_round_the_ring(load):
    """Where the memory is full, the next step may lie before."""
    off_policy, replay = load("off_policy"), load("replay")
    step = off_policy.Step(0, 0, 0.0, 0.0, False, 0)
    memory = replay.empty(7, step)
    for t in range(6):  # two environments: 5 of the 12 steps are gone
        numbers = np.array([10 * t, 10 * t + 1])
        ones = np.ones(2, np.float32)
        new = off_policy.Step(
            numbers, numbers, ones, 0.5 * ones, ones < 0, numbers + 10
        )
        memory = replay.add(memory, new)
    at = replay.places(memory, jax.random.key(0), [1000], newest=4)
    options = mock.Mock(n_step=3, environments=2)
    drawn = off_policy.transitions(memory, at, options)
    assert set(drawn.s_tm1.tolist()) == {21, 30, 31}
    np.testing.assert_array_equal(drawn.s_t, drawn.s_tm1 + 30)
    np.testing.assert_array_equal(drawn.r_t, np.full(1000, 1.75))
    np.testing.assert_array_equal(drawn.discount_t, np.full(1000, 0.125))


@pytest.mark.parametrize("few", ["--warm-up 8 --every 16", "--capacity 16"])
def test_too_little_memory_for_transitions_is_named(load, few):
    off_policy, dqn, value_agent = map(load, ("off_policy", "dqn", "value_agent"))
    argv = f"--n-step 3 --environments 8 {few}".split()
    options = dqn.parser.parse_args(argv)
    agent = value_agent.agent(dqn.rule(2, options), options)
    with pytest.raises(ValueError, match="finds 16 steps.* more than the 16"):
        off_policy.learner(agent, options)
    off_policy.learner(agent, dqn.parser.parse_args(["--warm-up", "0"]))


def remembered(load, environment):
    """The memory after 640 random steps, and these in a row."""
    dqn, off_policy, value_agent = map(load, ("dqn", "off_policy", "value_agent"))
    random = "--steps 648 --warm-up 10000 --capacity 700"
    options = dqn.parser.parse_args([*random.split(), "--environment", environment])

    class Report:
        def resume(self, training):
            return training, 0

        def __call__(self, step, learned, training):
            self.memory = jax.tree.map(np.array, training[1])

        def played(self, rewards, over):
            pass

    report = Report()
    agent = value_agent.agent(dqn.rule(2, options), options)
    off_policy.learn(agent, options, 0, report)
    memory = jax.tree.map(jnp.asarray, report.memory)
    return memory, jax.tree.map(lambda x: x[: memory.added], report.memory.columns)


def test_a_submarine_on_the_surface_is_cut_off(load, monkeypatch):
    pytest.importorskip("pgx")
    minatar = load("minatar")
    monkeypatch.setattr(minatar, "LONGEST", 40)
    monkeypatch.setattr(minatar, "game", minatar.game.__wrapped__)  # none kept
    environments = minatar.vector("seaquest", 2)
    environments.reset(seed=0)
    ends = []
    for _ in range(80):
        _, _, ended, cut, _ = environments.step(np.array([0, 0]))  # stays where it is
        ends.append((ended, cut))
    ended, cut = np.array(ends).swapaxes(0, 1)
    assert not ended.any()
    np.testing.assert_array_equal(np.flatnonzero(cut[:, 0]), [39, 79])


# What agents share.


def test_report_evaluates_at_even_distances(load, monkeypatch):
    experiment = load("experiment")
    options = mock.Mock(steps=50, evaluations=5)
    report = experiment.Report(lambda *_: None, None, options, seed=0)
    values = iter([3, 8, 5, 8, 7])
    monkeypatch.setattr(report, "evaluate", lambda *_: np.full(2, next(values)))
    for step in range(0, 51, 5):
        report(step, step)
    report.bar.close()
    assert report.curve == [(0, 3), (10, 8), (20, 5), (30, 8), (40, 7)]


def test_resume_goes_on_for_more_steps(load, tmp_path, monkeypatch):
    agent = load("catch_q")
    small = "--evaluations 2 --seeds 1 --episodes 2 --name agent --save-every 0"
    learned = []
    resume = agent.experiment.Report.resume

    def seen(report, training):
        training, first = resume(report, training)
        learned.append((first, report.options.steps))
        return training, first

    monkeypatch.setattr(agent.experiment.Report, "resume", seen)
    for steps, more in ((90, ""), (90, "--resume"), (180, "--resume")):
        options = f"{small} --steps {steps} --out {tmp_path} {more}"
        agent.main(argv=options.split())
    # The second run has nothing left to do.
    assert [steps for _, steps in learned] == [90, 180]
    assert learned[0][0] == 0 < learned[1][0] < 180


def test_replay_keeps_the_last(load):
    replay = load("replay")
    memory = replay.empty(10, (0, np.zeros(2, np.float32)))
    add = jax.jit(replay.add)
    for start in range(0, 21, 3):
        number = np.arange(start, start + 3)
        pair = -np.stack([number, number], 1).astype(np.float32)
        memory = add(memory, (number, pair))
    assert replay.size(memory) == 10
    number, pair = replay.sample(memory, jax.random.key(0), 1000)
    assert set(number.tolist()) == set(range(11, 21))  # all of the last ten alone
    assert pair.shape == (1000, 2) and pair.dtype == np.float32
    np.testing.assert_array_equal(pair[:, 0], -number)
    np.testing.assert_array_equal(pair[:, 1], -number)


def test_replay_is_drawn_from_evenly_and_by_seed(load):
    replay = load("replay")
    memory = replay.add(replay.empty(100, 0), np.arange(8))  # 92 are never drawn.

    def drawn(seed):
        return replay.sample(memory, jax.random.key(seed), 8000)

    counts = np.bincount(drawn(0), minlength=8)
    assert counts.shape == (8,) and counts.min() > 850 and counts.max() < 1150
    np.testing.assert_array_equal(drawn(0), drawn(0))
    assert np.any(drawn(0) != drawn(1))


def test_replay_by_priority(load):
    """Places are drawn by priority, and the weights make up for it."""
    replay = load("replay")
    memory = replay.add(replay.empty(100, 0, True), np.arange(4))
    memory = memory._replace(priorities=memory.priorities.at[:4].set([4, 0, 1, 9]))
    draw = jax.jit(replay.prioritised_places, static_argnums=2)
    at, weights = draw(memory, jax.random.key(0), (2, 4000), 0.5, 1.0)
    counts = np.bincount(np.asarray(at).ravel(), minlength=4)
    np.testing.assert_allclose(counts / 8000, [2 / 6, 0, 1 / 6, 3 / 6], atol=0.02)
    expected = np.array([1 / 2, 0, 1, 1 / 3])[np.asarray(at)]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    at, _ = draw(memory, jax.random.key(1), (2, 4000), 0.5, 1.0, 1)  # not the newest
    np.testing.assert_array_equal(np.unique(at), [0, 2])
    later = replay.add(memory, np.arange(2))
    np.testing.assert_array_equal(later.priorities[:6], [4, 0, 1, 9, 9, 9])


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


def test_a_killed_training_goes_on(load, tmp_path, monkeypatch):
    """The curve and the end are those of a training that nothing stopped."""
    experiment = load("experiment")

    def evaluate(act, environments, seed):
        return np.full(4, float(act(np.zeros((4, 4)), None)[0][0]))

    def learn(options, seed, report, killed_at=None):
        total, first = report.resume(np.zeros([], int))
        for step in range(first, 100, 10):
            report(step, {"action": total}, total)
            report.played(np.ones(2), np.array([True, step == 50]))
            if step == killed_at:
                raise KeyboardInterrupt
            total = total + step
        return {"action": total}

    monkeypatch.setattr(experiment, "evaluate", evaluate)
    parser = experiment.parser("About.", environment="CartPole-v1", steps=100)
    argv = f"--evaluations 5 --episodes 4 --seeds 1 --save-every 0 --out {tmp_path}"

    def run(learn, *more):
        return experiment.main(learn, act, parser, argv=[*argv.split(), *more])

    assert run(learn, "--name", "a") == [450]
    with pytest.raises(KeyboardInterrupt):
        run(functools.partial(learn, killed_at=60), "--name", "b")
    assert run(learn, "--name", "b", "--resume") == [450]
    a, b = (json.loads((tmp_path / f"{x}.json").read_text())["seeds"] for x in "ab")
    assert a[0]["curve"] == b[0]["curve"] and len(a[0]["curve"]) == 6
    assert a[0]["training"] == b[0]["training"] > 1


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
    games = catch.vector("Catch", 6)
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
        catch.vector("CartPole-v1", 1)


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
