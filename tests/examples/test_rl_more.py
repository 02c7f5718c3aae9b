"""GRPO, MuZero, RND, QMIX, TRPO and their games, at sizes that take seconds."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

for needed in ("gymnasium", "matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)

SMALL = {
    "grpo": "--steps 64 --questions 4 --group 4 --rounds 2 --accuracy 0",
    "muzero": (
        "--steps 288 --games 8 --rounds 2 --simulations 4 --updates 1 --batch-size 4 "
        "--capacity 16"
    ),
    "rnd": "--steps 640 --environments 4 --updates 4 --epochs 1 --minibatches 2",
    "qmix": "--steps 800",
    "trpo": "--steps 256 --environments 2 --length 64",
}


def run(agent, tmp_path, options, **others):
    options = f"--seeds 1 --evaluations 2 --out {tmp_path} --name agent {options}"
    return agent.main(argv=options.split(), **others)


@pytest.mark.parametrize("name", SMALL)
def test_agent(load, tmp_path, name):
    if name == "muzero":
        pytest.importorskip("mctx")
        pytest.importorskip("pgx")
    mean, *others = run(load(name), tmp_path, f"{SMALL[name]} --episodes 3")
    low, high = {"muzero": (-1, 0), "qmix": (0, 8), "trpo": (8, 500)}.get(name, (-1, 1))
    assert not others and low <= mean <= high
    curve = json.loads((tmp_path / "agent.json").read_text())["seeds"][0]["curve"]
    assert len(curve) == 3 and curve[-1][1] == mean


# Sums, and GRPO's loss.


def test_sums_are_those_of_python(load):
    sums = load("sums")
    numbers = jnp.array([2735, 0, 9999])
    texts = np.concatenate([sums.question(numbers), sums.answer(numbers)], -1)
    written = ["".join(sums.LETTERS[i] for i in text) for text in texts]
    assert written == ["27+35=062", "00+00=000", "99+99=198"]
    answers = sums.answer(numbers).at[1, 2].set(1)
    np.testing.assert_array_equal(sums.reward(numbers, answers), [1, 0, 1])
    assert not set(sums.HELD_OUT.tolist()) & set(sums.LEARNED.tolist())
    one = sums.start(jax.random.key(0))
    _, reward, ended, cut = sums.step(one, sums.answer(one.number), None)
    assert reward == 1 and ended and not cut and int(one.number) in sums.HELD_OUT


def test_grpo_s_loss_is_a_plain_loop_s(load, monkeypatch):
    """Over questions, answers and tokens, as the paper writes it."""
    grpo = load("grpo")
    options = grpo.parser.parse_args(["--beta", "0.1"])
    rng = np.random.default_rng(0)
    log_pi, log_mu, log_ref = rng.normal(-1, 0.3, [3, 2, 4, 3])
    rewards = np.array([[1, 0, 0, 1], [0, 0, 0, 0]], np.float32)
    adv = np.array([load("rlax").group_advantages(x) for x in rewards])
    monkeypatch.setattr(grpo, "log_probs", lambda *_: log_pi)
    found = grpo.loss(None, (None, None, log_mu, log_ref, adv), options)
    total = 0.0
    for q, row in enumerate(rewards):
        for g, reward in enumerate(row):
            a = (reward - row.mean()) / (row.std(ddof=1) + 1e-6)
            for t in range(3):
                ratio = np.exp(log_pi[q, g, t] - log_mu[q, g, t])
                gain = min(ratio * a, np.clip(ratio, 0.8, 1.2) * a)
                away = log_ref[q, g, t] - log_pi[q, g, t]
                total -= (gain - 0.1 * (np.exp(away) - 1 - away)) / (2 * 4 * 3)
    np.testing.assert_allclose(found, total, rtol=1e-5)


def test_answers_have_the_probabilities_that_are_learned_from(load):
    """The likeliest tokens, one after the other, are those of greedy generation."""
    grpo, sums = load("grpo"), load("sums")
    questions = sums.question(jnp.array([123, 4567, 9801]))
    params = grpo.net.init(jax.random.key(0), questions).params
    greedy = jax.jit(lambda x: grpo.answers(params, x, None, temperature=0.0))
    written = np.asarray(greedy(questions))
    log_probs = jax.jit(grpo.log_probs)
    for place in range(sums.ANSWERED):
        others = np.repeat(written[:, None], len(sums.LETTERS), 1)
        others[:, :, place] = np.arange(len(sums.LETTERS))
        asked = jnp.repeat(questions[:, None], len(sums.LETTERS), 1)
        found = log_probs(params, asked, others)[..., place]
        np.testing.assert_allclose(np.exp(found).sum(-1), 1, rtol=1e-5)
        np.testing.assert_array_equal(found.argmax(-1), written[:, place])


# Tic-tac-toe, and MuZero's targets.


def test_the_perfect_opponent_never_loses(load):
    pytest.importorskip("pgx")
    rules = load("tic_tac_toe")
    assert rules.value((0,) * 9, (0,) * 9) == 0  # the game is a draw
    best = rules.best()
    assert best[0].all()
    corner = np.zeros([3, 3, 2], bool)
    corner[0, 0, 1] = True
    np.testing.assert_array_equal(np.flatnonzero(best[rules.number_of(corner)]), [4])
    environments = rules.vector("TicTacToe-perfect", 64)
    seen, _ = environments.reset(seed=0)
    rng, outcomes = np.random.default_rng(0), []
    for _ in range(20):
        free = ~seen.any(-1).reshape(64, 9)
        actions = np.array([rng.choice(np.flatnonzero(row)) for row in free])
        seen, rewards, ended, _, _ = environments.step(actions)
        outcomes.extend(rewards[ended].tolist())
    assert set(outcomes) == {-1.0, 0.0} and np.mean(outcomes) < -0.5


def test_muzero_learns_from_what_followed(load):
    """The player who made the last move, of five, won."""
    pytest.importorskip("mctx")
    pytest.importorskip("pgx")
    muzero = load("muzero")
    on = jnp.arange(9) < 5
    rewards = jnp.float32(jnp.arange(9) == 4)
    game = muzero.Game(None, jnp.arange(9) * on, jnp.eye(9), rewards, on, on)
    a, pi, z, r, now = muzero.targets(game, 2)
    np.testing.assert_array_equal(z[:5, 0], [1, -1, 1, -1, 1])
    np.testing.assert_array_equal(z[3], [-1, 1, 0])
    np.testing.assert_array_equal(r[3], [0, 1, 0])
    np.testing.assert_array_equal(a[3], [3, 4, 0])
    np.testing.assert_array_equal(now[3], [1, 1, 0])
    np.testing.assert_array_equal(pi[3, 1], np.eye(9)[4])


def test_muzero_draws_openings(load):
    """Drawn moves are legal, and are not what the policy learns from."""
    pytest.importorskip("mctx")
    pytest.importorskip("pgx")
    muzero = load("muzero")
    options = muzero.parser.parse_args(["--games", "6", "--simulations", "2"])
    params = muzero.model.init(jax.random.key(0), jnp.zeros([1, 3, 3, 2]))
    game = jax.jit(lambda key: muzero.play(params, key, options))(jax.random.key(1))
    searched, on = np.asarray(game.searched_tm1), np.asarray(game.on_tm1)
    assert not np.any(searched & ~on) and np.any(on & ~searched) and np.any(searched)
    for moves, still in zip(np.asarray(game.a_tm1), on):
        assert len({*moves[still]}) == still.sum() >= 5
    draw = jax.vmap(lambda game, key: muzero.position(game, key, 2))
    boards, (a, *_) = draw(game, jax.random.split(jax.random.key(2), 6))
    at = np.asarray(boards).sum((1, 2, 3))  # as many stones as moves before
    rows = np.arange(6)
    assert searched[rows, at].all()
    np.testing.assert_array_equal(a[:, 0], game.a_tm1[rows, at])


def test_muzero_s_search_wins_and_blocks(load, monkeypatch):
    """In a model that is the game itself, which says nothing of policy and value."""
    pytest.importorskip("mctx")
    pytest.importorskip("pgx")
    muzero, rules = load("muzero"), load("tic_tac_toe")

    def inside(boards, over, reward):
        logits = jnp.where(boards.any(-1), -1e9, 0.0)
        return muzero.Inside((boards, over), reward, logits, 0 * reward)

    def look_at(params, s):
        nothing = jnp.zeros(len(s))
        return inside(s.reshape(-1, 9, 2) > 0, nothing > 0, nothing)

    def move_on(params, state, a):
        boards, over = state
        mine = boards[..., 0] | (jnp.arange(9) == a[:, None])
        won = mine[:, rules.ROWS].all(-1).any(-1) & ~over
        boards = jnp.stack([boards[..., 1], mine], -1)  # as the other one sees it
        return inside(boards, over | won, jnp.float32(won))

    monkeypatch.setattr(muzero, "look_at", look_at)
    monkeypatch.setattr(muzero, "move_on", move_on)
    boards = np.zeros([2, 9, 2], bool)
    boards[0, [0, 1], 0] = boards[0, [3, 8], 1] = True  # wins at 2
    boards[1, [0, 8], 0] = boards[1, [3, 4], 1] = True  # must block at 5
    search = jax.jit(lambda s: muzero.search(None, jax.random.key(0), s, 64, 0.0))
    found = search(jnp.asarray(boards.reshape(2, 3, 3, 2)))
    np.testing.assert_array_equal(found.action, [2, 5])


# The deep sea, and curiosity.


def test_only_one_way_leads_to_the_treasure(load):
    sea = load("deep_sea")
    step = jax.jit(sea.step)

    def dive(actions):
        diver, total, ends = sea.start(None), 0.0, []
        for action in actions:
            diver, reward, ended, _ = step(diver, action, None)
            total, ends = total + float(reward), [*ends, bool(ended)]
        assert ends == [False] * (sea.SIZE - 1) + [True]
        return total

    right = np.ones(sea.SIZE, int)
    assert dive(right) == pytest.approx(0.99)
    for place in (0, sea.SIZE // 2, sea.SIZE - 1):
        other = right.copy()
        other[place] = 0
        assert dive(other) == pytest.approx(-0.01 * (1 - 1 / sea.SIZE))


def test_the_bonus_sinks_where_the_agent_was(load):
    import optax

    rnd, sea = load("rnd"), load("deep_sea")
    places = jax.vmap(sea.observe)(sea.Diver(jnp.arange(20), jnp.arange(20)))
    seen = places[:5]
    keys = jax.random.split(jax.random.key(0))
    params, fixed = ({"predictor": rnd.features.init(key, seen)} for key in keys)
    fixed = fixed["predictor"]
    before = rnd.bonuses(params, fixed, places)
    optimizer = optax.adam(1e-2)

    def step(carry, _):
        params, state = carry
        gradient = jax.grad(lambda x: rnd.bonuses(x, fixed, seen).mean())(params)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    carry = params, optimizer.init(params)
    (params, _), _ = jax.jit(lambda x: jax.lax.scan(step, x, length=100))(carry)
    after = rnd.bonuses(params, fixed, places)
    assert (after[:5] < 0.1 * before[:5]).all()
    assert after[10:].mean() > 5 * after[:5].mean()


# Two players.


def test_the_best_of_each_player_is_the_best_of_both(load):
    qmix = load("qmix")
    s = jnp.eye(3)[2]
    params = jax.jit(qmix.mixed_value.init)(jax.random.key(0), s, jnp.zeros(2))
    mixed = jax.jit(qmix.mixed_value.apply)
    for seed in range(5):
        q = np.random.default_rng(seed).normal(size=[2, 2])
        both = [[mixed(params, s, jnp.array([x, y])) for y in q[1]] for x in q[0]]
        best = np.unravel_index(np.argmax(both), [2, 2])
        np.testing.assert_array_equal(best, q.argmax(-1))


def test_two_steps_pay_what_the_paper_says(load):
    two = load("two_steps")
    for first, actions, reward in (0, (1, 0), 7), (1, (0, 0), 0), (1, (1, 1), 8):
        state, now, ended, _ = two.step(0, jnp.array([first, 1]), None)
        assert now == 0 and not ended and state == 1 + first
        _, now, ended, _ = two.step(state, jnp.array(actions), None)
        assert now == reward and ended


# Trust regions, and memory.


def test_a_natural_step_stays_in_the_trust_region(load):
    """And is the one of the quadratic problem, where there is one."""
    import argparse

    trpo = load("trpo")
    matrix = jnp.array([[2.0, 0.5], [0.5, 1.0]])
    slope = jnp.array([1.0, -2.0])

    def divergence(x):
        return 0.5 * x @ matrix @ x

    options = argparse.Namespace(damping=0.0, halvings=5)
    start = jnp.zeros(2)
    after = trpo.natural_step(lambda x: slope @ x, divergence, start, 0.01, options)
    wanted = jnp.linalg.solve(matrix, slope)
    np.testing.assert_allclose(after / after[0], wanted / wanted[0], rtol=1e-4)
    np.testing.assert_allclose(divergence(after), 0.01, rtol=0.01)
    # Where nothing is gained, the policy stays.
    still = trpo.natural_step(
        lambda x: slope @ x - 1e6 * x @ x, divergence, start, 0.01, options
    )
    np.testing.assert_array_equal(still, start)


def test_the_sign_of_the_maze_is_seen_once(load):
    maze = load("tmaze").TMaze(length=3)
    for seed in range(4):
        seen, _ = maze.reset(seed=seed)
        side = int(seen[0] > 0)
        assert abs(seen[0]) == 1
        for place in range(3):
            seen, reward, ended, cut, _ = maze.step(1 - side)
            assert seen.tolist() == [0, place == 2] and not (reward or ended or cut)
        action = side if seed % 2 else 1 - side
        _, reward, ended, *_ = maze.step(action)
        assert ended and reward == (1 if seed % 2 else -1)


def test_ppo_with_a_memory_walks_a_maze(load, tmp_path):
    small = "--length 32 --environments 2 --epochs 1 --minibatches 1 --steps 128"
    game = "--environment tmaze:TMaze-v0 --episodes 3"
    mean, *_ = run(load("ppo_lstm"), tmp_path, f"{small} {game}")
    assert -1 <= mean <= 1
