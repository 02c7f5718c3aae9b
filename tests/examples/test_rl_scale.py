"""Agents over several devices: Anakin, Sebulba, and CartPole in JAX."""

import argparse
import collections
import functools
import importlib
import json
import re
import threading
import time

import jax
import numpy as np
import pytest

for needed in ("gymnasium", "matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)


def test_cartpole_is_that_of_gymnasium(load):
    """Step by step: from each of gymnasium's states, and over whole episodes."""
    import gymnasium

    cartpole = load("cartpole")
    step, rng = jax.jit(cartpole.step), np.random.default_rng(0)
    theirs = gymnasium.make("CartPole-v1")
    lengths = []
    for seed in range(8):
        seen, _ = theirs.reset(seed=seed)
        ours, over, steps = cartpole.CartPole(*seen, 0), False, 0
        skilled = seed % 2  # reaches the cut
        while not over:
            action = int(seen[2] + 0.5 * seen[3] > 0 if skilled else rng.integers(2))
            alone, r_t, *ours_over = step(cartpole.CartPole(*seen, steps), action)
            ours, *_ = step(ours, action)
            seen, reward, *theirs_over, _ = theirs.step(action)
            np.testing.assert_allclose(cartpole.observation(alone), seen, atol=2e-6)
            assert r_t == reward and [bool(x) for x in ours_over] == theirs_over
            over, steps = any(theirs_over), steps + 1
            if not skilled:  # a pole doubles what rounding did in ten steps
                np.testing.assert_allclose(cartpole.observation(ours), seen, atol=1e-4)
        lengths.append(steps)
    assert min(lengths) < 50 and lengths.count(500) >= 2


def test_cartpole_starts_as_gymnasium_s_does(load):
    cartpole = load("cartpole")
    carts = jax.jit(jax.vmap(cartpole.start))(jax.random.split(jax.random.key(0), 4000))
    seen = np.asarray(jax.vmap(cartpole.observation)(carts))
    assert np.all(abs(seen) <= 0.05) and not np.any(carts.steps)
    np.testing.assert_allclose(seen.mean(0), 0, atol=2e-3)
    np.testing.assert_allclose(seen.std(0), 0.1 / 12**0.5, atol=1e-3)


TINY = (
    "--environments 8 --length 8 --epochs 2 --minibatches 2 --updates 3 --steps 768 "
    "--episodes 3"
)


def options_of(agent, more=""):
    return agent.parser.parse_args(more.split())


class Silent:
    """A report that shows nothing, and has nothing to resume."""

    def __init__(self, told=lambda step, learned: None):
        self.told = told
        self.running, self.ended = 0.0, collections.deque(maxlen=100)

    def __call__(self, step, learned, training=None, **shown):
        self.told(step, learned)

    def resume(self, training):
        return training, 0

    def played(self, *step):
        importlib.import_module("experiment").Report.played(self, *step)


@functools.cache
def trained(devices):
    """A small training of Anakin: all there is to know of it."""
    anakin = importlib.import_module("anakin")
    kept, seen, compiled = [], [], anakin.compiled

    def keep(*args):
        kept.extend([args[1], compiled(*args)])
        return kept[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anakin, "compiled", keep)
        options = options_of(anakin, TINY)
        report = Silent(lambda _, params: seen.append(params))
        result = anakin.train(options, 0, devices, report)
    return result, seen, *kept


def test_anakin_learns_on_eight_devices_as_on_one(load):
    """The first updates' returns and parameters are the same."""
    load("anakin")
    (one, seen_1, *_), (eight, seen_8, *_) = trained(1), trained(8)
    assert one.dispatches == eight.dispatches == 4 and len(eight.returns) == 12
    assert len(set(one.returns[:6])) > 3  # episodes end, so these say something
    np.testing.assert_allclose(one.returns[:6], eight.returns[:6], atol=1e-4)
    for step in (1, 2):  # after three updates, after six
        pairs = zip(*(jax.tree.leaves(seen[step]) for seen in (seen_1, seen_8)))
        for x, y in pairs:
            np.testing.assert_allclose(x, y, atol=1e-4)
    moved = jax.tree.map(lambda x, y: abs(x - y).max(), seen_1[0], seen_1[2])
    assert min(jax.tree.leaves(moved)) > 1e-3


def test_anakin_is_one_program_that_asks_the_host_nothing(load):
    """Only sums travel between devices, and each has its part of the environments."""
    load("anakin")
    *_, training, program = trained(8)
    after, (rewards, over) = program(training)
    assert rewards.shape == over.shape == (3, 8, 8)  # updates of a dispatch, T, B
    for x in jax.tree.leaves((after.games, after.keys)):
        assert {s.data.shape[0] for s in x.addressable_shards} == {1}
    for x in jax.tree.leaves((after.params, after.state)):
        assert x.sharding.is_fully_replicated
    text = program.as_text()
    between = "reduce", "gather", "to-all"  # of all devices
    assert [kind for kind in between if f"all-{kind}" in text] == ["reduce"]
    others = "collective-permute", "reduce-scatter", "callback", "infeed", "outfeed"
    assert not [kind for kind in (*others, "send(", "recv(") if kind in text]


def run(agent, tmp_path, options):
    options = f"--seeds 1 --evaluations 2 --out {tmp_path} --name agent {options}"
    return agent.main(argv=options.split())


def test_anakin_runs_and_shows_what_it_kept(load, tmp_path, capsys):
    anakin = load("anakin")
    mean, *others = run(anakin, tmp_path, f"{TINY} --devices 2")
    assert not others and 8 <= mean <= 500
    assert "12 updates in 4 dispatches" in capsys.readouterr().out
    curve = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]["curve"]
    assert [step for step, _ in curve] == [0, 384, 768] and curve[-1][1] == mean
    show = f"--episodes 3 --show {tmp_path / 'agent-0'}"
    assert anakin.main(argv=show.split()) == pytest.approx([mean])


def test_anakin_compares_numbers_of_devices(load, tmp_path, capsys, monkeypatch):
    anakin = load("anakin")
    kept = {devices: trained(devices)[0] for devices in (1, 8)}
    monkeypatch.setattr(anakin, "train", lambda *args: kept[args[2]])
    scores = run(anakin, tmp_path, f"{TINY} --compare 1 8")
    assert all(8 <= score <= 500 for score, *_ in scores.values())
    first, second = json.loads((tmp_path / "agent.json").read_text())
    assert (first["devices"], first["same"]) == (1, 12)
    assert second["devices"] == 8 and second["same"] >= 6
    assert (tmp_path / "agent.png").stat().st_size > 10_000
    assert "8 devices: " in capsys.readouterr().out


def test_anakin_says_what_it_can_t_do(load, tmp_path):
    anakin = load("anakin")
    with pytest.raises(ValueError, match="Give --cpu-devices 9 to make the CPU so"):
        run(anakin, tmp_path, f"{TINY} --devices 9")
    with pytest.raises(ValueError, match="CartPole-v1, asterix, .* not 'Acrobot-v1'"):
        run(anakin, tmp_path, "--environment Acrobot-v1")
    with pytest.raises(ValueError, match="space_invaders, not 'Pendulum-v1'"):
        run(anakin, tmp_path, "--environment Pendulum-v1")


def test_anakin_plays_boards(load, monkeypatch):
    """Each layer of the network for boards learns."""
    anakin, catch = load("anakin"), load("catch")
    game = catch.GAME._replace(observe=lambda state: catch.board(state)[..., None] > 0)
    monkeypatch.setattr(anakin, "game_of", lambda *_: game)
    options = options_of(
        anakin, f"{TINY} --environment breakout --epochs 1 --updates 1"
    )
    options.steps, seen = 128, []
    report = Silent(lambda _, params: seen.append(params))
    result = anakin.train(options, 0, 1, report)
    assert len(result.returns) == result.dispatches == 2
    assert set(report.ended) <= {-1.0, 1.0} and len(report.ended) == 8
    moved = jax.tree.map(lambda x, y: abs(x - y).max(), seen[0], result.params)
    assert 1e-5 < min(jax.tree.leaves(moved)) < max(jax.tree.leaves(moved)) < 1
    boards = np.zeros([3, 10, 5, 1], bool)
    actions, memory = anakin.act(result.params, boards, None)
    assert actions.shape == (3,) and memory is None


SMALL = (
    "--environments 2 --length 8 --actors 2 --batch 2 --steps 256 --episodes 3 "
    "--patience 60"
)


def test_sebulba(load, tmp_path, capsys):
    sebulba = load("sebulba")
    mean, *others = run(sebulba, tmp_path, f"{SMALL} --actor-devices 4")
    assert not others and 8 <= mean <= 500
    out = capsys.readouterr().out
    assert "256 frames learned from" in out and "actors replaced: 0" in out
    assert "updates old" in out and "frames/s, actor threads: 2;" in out


def test_sebulba_s_learner_on_four_devices_learns_as_impala_s(load, monkeypatch):
    """Of the same rollouts, each with other ends."""
    import optax

    sebulba, impala, rollouts = (load(x) for x in ("sebulba", "impala", "rollouts"))
    rng, made = np.random.default_rng(0), []

    class Recorded:
        """An actor of two environments, whose rollouts are drawn and kept."""

        def __init__(self, policy, environments, seed, *, steps):
            self.environments = environments

        def __call__(self, params, length):
            shape = length, 2
            s_tm1, s_t = rng.normal(size=(2, *shape, 4)).astype(np.float32)
            logits = rng.normal(size=(*shape, 2)).astype(np.float32)
            actions, first = rng.integers(2, size=(2, *shape))
            ended, cut = rng.random((2, *shape)) < 0.1
            r_t = rng.normal(size=shape).astype(np.float32)
            ends = ended, cut & ~ended
            fields = s_tm1, first > 0, logits, actions, r_t, *ends, s_t
            made.append(rollouts.Rollout(*fields))
            return made[-1]

    monkeypatch.setattr(sebulba, "Actor", Recorded)
    options = options_of(sebulba, f"{SMALL} --actor-devices 4 --actors 1 --oldest 99")
    params, figures = sebulba.train(options, 0, Silent())
    assert figures.learned == 256 and figures.thrown == 0

    wanted = jax.jit(impala.network.init)(jax.random.key(0), np.zeros(4, np.float32))
    optimizer, each = impala.optimizer(options)
    assert each == 32
    state = optimizer.init(wanted)
    gradient = jax.jit(jax.grad(lambda *x: impala.loss(*x, options)))
    before = wanted
    for pair in zip(made[:16:2], made[1:16:2]):
        batch = jax.tree.map(lambda *x: np.concatenate(x, axis=1).swapaxes(0, 1), *pair)
        updates, state = optimizer.update(gradient(wanted, batch), state)
        wanted = optax.apply_updates(wanted, updates)
    for x, y, z in zip(*map(jax.tree.leaves, (params, wanted, before))):
        np.testing.assert_allclose(x, y, atol=1e-4)
        assert abs(y - z).max() > 1e-3


def test_sebulba_replaces_an_actor_that_dies_in_training(
    load, tmp_path, capsys, monkeypatch
):
    sebulba = load("sebulba")
    vector, made, closed = sebulba.experiment.vector, [], []

    def fragile(*args):
        """The second actor's environments break in their 20th step."""
        environments = vector(*args)
        step, close = environments.step, environments.close
        number, steps = len(made), iter(range(19 if len(made) == 1 else 10_000))
        made.append(environments)

        def breaking(actions):
            if next(steps, None) is None:
                raise RuntimeError("the pole broke")
            return step(actions)

        monkeypatch.setattr(environments, "step", breaking)
        monkeypatch.setattr(
            environments, "close", lambda: (closed.append(number), close())
        )
        return environments

    monkeypatch.setattr(sebulba.experiment, "vector", fragile)
    options = options_of(sebulba, f"{SMALL} --actor-devices 4")
    params, figures = sebulba.train(options, 0, Silent())
    assert figures.replaced == 1 and len(made) == 3 and sorted(closed) == [0, 1, 2]
    assert figures.learned == 256 <= figures.acted and max(figures.ages) <= 8
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))
    told = r"Actor [01] died of RuntimeError\('the pole broke'\); actor 2 takes its"
    assert re.search(told, capsys.readouterr().err)


def test_sebulba_splits_devices_or_says_how(load):
    sebulba = load("sebulba")
    acting, mesh = sebulba.split_devices(argparse.Namespace(actor_devices=3))
    assert len(acting) == 3 and mesh.shape == {"data": 5}
    assert not set(acting) & set(mesh.devices.flat)
    for count in (0, 8):
        with pytest.raises(ValueError, match="Give --actor-devices 1 to 7"):
            sebulba.split_devices(argparse.Namespace(actor_devices=count))


def test_sebulba_compares_numbers_of_actors(load, tmp_path, capsys):
    sebulba = load("sebulba")
    rows = run(sebulba, tmp_path, f"{SMALL} --actor-devices 4 --compare 1 3")
    assert json.loads((tmp_path / "agent.json").read_text()) == rows
    assert [row["actors"] for row in rows] == [1, 3]
    for row in rows:
        assert row["frames per second"] > 0 and 0 < row["learner's idle share"] < 1
        assert 0 <= row["rollouts in the queue"] <= 4 and row["oldest"] <= 8
    assert (tmp_path / "agent.png").stat().st_size > 10_000


class Fake:
    """An actor of one environment, which does what `act(params)` does."""

    def __init__(self, rollouts, act):
        self.rollouts, self.act, self.environments, self.closed = rollouts, act, self, 0

    def __call__(self, params, length):
        self.act(params)
        return self.rollouts.Rollout(*[np.full([length, 1], params)] * 8)

    def close(self):
        self.closed += 1


@pytest.fixture
def start(load):
    """Makes `Actors` of fakes: `acts` are what those with the first numbers do."""
    actors, rollouts = load("actors"), load("rollouts")

    def start(*acts, **options):
        made = []

        def make(number):
            act = acts[number] if number < len(acts) else lambda _: time.sleep(0.001)
            made.append(Fake(rollouts, act))
            return made[-1]

        defaults = {"actors": 2, "depth": 4, "oldest": 2, "replacements": 1}
        defaults |= {"patience": 30.0, "length": 3, "batch": 2}
        options = argparse.Namespace(**(defaults | options))
        return actors.Actors(make, options, [0]), made

    return start


def broken(_):
    raise OSError("no more memory")


def test_an_actor_too_many_that_dies_ends_the_run(start, capsys):
    actors, made = start(broken, broken, broken)
    with pytest.raises(RuntimeError, match="1 were replaced before it") as info, actors:
        actors.batch()
    assert "died of OSError('no more memory')" in str(info.value)
    assert isinstance(info.value.__cause__, OSError)
    assert capsys.readouterr().err.count("takes its place") == 1
    assert [actor.closed for actor in made] == [1] * len(made) and not actors.alive()


def test_an_actor_that_hangs_is_replaced(start, capsys):
    woken = threading.Event()
    actors, made = start(lambda _: woken.wait(), patience=0.5)
    with actors:
        until = time.monotonic() + 20
        while not actors.figures.replaced and time.monotonic() < until:
            rows = actors.batch()
            assert rows.r_t.shape == (2, 3)
        thread_names = {seat.thread.name for seat in actors.seats.values()}
    assert thread_names == {"actor 1", "actor 2"} and not made[0].closed
    told = "Actor 0 made no rollout in 0.5 s; actor 2 takes its place."
    assert told in capsys.readouterr().err
    woken.set()  # it comes back, and ends without a word
    until = time.monotonic() + 20
    while not made[0].closed and time.monotonic() < until:
        time.sleep(0.01)
    assert made[0].closed and not actors.alive()


def test_rollouts_by_old_parameters_are_thrown_away(start):
    actors, _ = start(oldest=1, depth=3)
    with actors:
        for version in range(1, 20):
            assert actors.batch().r_t.min() >= version - 2  # by what acted
            actors.publish([version])
        while actors.rollouts.qsize() < 3:
            time.sleep(0.001)
        time.sleep(0.1)
        assert actors.rollouts.qsize() == 3  # the actors wait
        before = actors.figures.thrown
        for version in (20, 21, 22):  # nobody takes what was put
            actors.publish([version])
        assert actors.next().r_t.min() >= 21
        assert actors.figures.thrown >= before + 3
    assert max(actors.figures.ages) <= 1
