"""R2D2 and Dreamer, at sizes that take seconds."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

for needed in ("gymnasium", "matplotlib", "optax", "orbax.checkpoint", "tqdm"):
    pytest.importorskip(needed)

SMALL = {
    "r2d2": (
        "--environment tmaze:TMaze-v0 --environments 2 --length 8 --steps 128 "
        "--warm-up 16 --updates 2 --batch-size 4 --capacity 8"
    ),
    "dreamer": (
        "--environments 2 --every 32 --steps 128 --warm-up 32 --updates 2 "
        "--batch-size 4 --length 8 --horizon 3"
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_agent(load, tmp_path, name, monkeypatch):
    """It learns, and goes on where it was stopped: bit for bit where a game is kept."""
    agent = load(name)

    def run(name_of_run, *more):
        options = f"--seeds 1 --evaluations 2 --episodes 3 --save-every 0 {SMALL[name]}"
        out = f"--out {tmp_path} --name {name_of_run}"
        mean, *others = agent.main(argv=[*options.split(), *out.split(), *more])
        written = json.loads((tmp_path / f"{name_of_run}.json").read_text())
        curve = written["seeds"][0]["curve"]
        assert not others and len(curve) == 3 and curve[-1][1] == mean
        return curve

    whole = run("whole")
    low, high = {"r2d2": (-1, 1), "dreamer": (8, 500)}[name]
    assert low <= whole[-1][1] <= high

    report, called = agent.experiment.Report, agent.experiment.Report.__call__

    def stop(self, step, *training):
        called(self, step, *training)
        if step >= 64:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(report, "__call__", stop)
        run("stopped")
    firsts, resume = [], report.resume

    def seen(self, training):
        training, first = resume(self, training)
        firsts.append(first)
        return training, first

    monkeypatch.setattr(report, "resume", seen)
    curve = run("stopped", "--resume")
    assert firsts == [64] and curve[:2] == whole[:2]
    if name == "dreamer":
        assert curve == whole


# R2D2.


def h(x):
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + 1e-3 * x


def h_inverse(x):
    root = np.sqrt(1 + 4e-3 * (np.abs(x) + 1 + 1e-3))
    return np.sign(x) * (((root - 1) / 2e-3) ** 2 - 1)


def test_r2d2_s_errors_are_a_plain_loop_s(load):
    """Over environments, steps, and the rewards of each target."""
    r2d2 = load("r2d2")
    options = r2d2.parser.parse_args(["--n-step", "3", "--discount", "0.9"])
    rng = np.random.default_rng(0)
    length, count, n = 9, 4, 3
    q_tm1, q_t, selector = rng.normal(0, 2, [3, length, count, 2]).astype(np.float32)
    r_t = rng.normal(0, 3, [length, count]).astype(np.float32)
    a_tm1 = rng.integers(0, 2, [length, count])
    ended, cut = rng.random([2, length, count]) < 0.15
    steps = r2d2.Rollout(None, None, None, a_tm1, r_t, ended, cut & ~ended, None)
    found = r2d2.td_errors(q_tm1, q_t, selector, steps, options)
    for b in range(count):
        for t in range(length):
            total, discount = 0.0, 1.0
            for k in range(t, min(t + n, length)):
                total += discount * r_t[k, b]
                discount *= 0.9 * (not ended[k, b])
                if steps.cut_t[k, b]:
                    break
            total += discount * h_inverse(q_t[k, b, selector[k, b].argmax()])
            wanted = h(total) - q_tm1[t, b, a_tm1[t, b]]
            np.testing.assert_allclose(found[t, b], wanted, rtol=1e-3, atol=1e-3)


def test_burn_in_finds_the_state_that_acted(load):
    """With the parameters that acted; and where an episode begins, no state counts."""
    r2d2 = load("r2d2")
    options = r2d2.parser.parse_args(["--environments", "3"])
    environments = r2d2.vector("tmaze:TMaze-v0", 3)
    x, begins = np.zeros([3, 2], np.float32), np.ones(3, bool)
    params = r2d2.network.init(jax.random.key(0), x[None], begins[None], None, x[None])
    policy = r2d2.explorer(options)
    _, state = policy(params, x, begins, None)
    actor = r2d2.Actor(policy, environments, 0, state)
    before, middle = actor(params, 14), actor.memory
    steps = actor(params, 14)
    sequence = r2d2.Sequence(state, before, steps)
    q, q_t = r2d2.values(params, sequence, False)
    wanted, *_ = r2d2.network.apply(
        params, steps.s_tm1, steps.first_tm1, middle, steps.s_t
    )
    np.testing.assert_allclose(q, wanted, atol=1e-5)
    fresh, _ = r2d2.values(params, sequence, True)
    (new,) = {*np.flatnonzero(steps.first_tm1[:, 0])}
    assert 0 < new < 13 and np.abs(q - fresh)[0].min() > 0
    np.testing.assert_allclose(q[new:], fresh[new:], atol=1e-6)
    # What follows a step is the next step, unless an episode ended between.
    np.testing.assert_allclose(q_t[: new - 1], q[1:new], atol=1e-5)
    # Each environment acts with an epsilon of its own.
    chances = np.exp(steps.logits_tm1).max(-1)[0]
    np.testing.assert_allclose(chances, 1 - 0.4 ** np.array([1, 4.5, 8]) / 2, rtol=1e-5)


# Dreamer.


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def test_the_world_model_forgets_and_its_loss_is_a_plain_loop_s(load):
    rssm = load("rssm")
    rng = np.random.default_rng(0)
    length, count = 6, 2
    numbers = rng.normal(size=[2, length, count, 4]).astype(np.float32)
    flags = np.zeros([length, count], np.float32)
    first, ended, r_t = flags.copy(), flags.copy(), flags + 2.5
    first[3], ended[2] = 1, 1
    a = rng.integers(0, 2, [length, count])
    rows = [rssm.Row(s, a, r_t, first, ended, ended) for s in numbers]
    rows[1] = rows[1]._replace(s=np.concatenate([numbers[1, :3], numbers[0, 3:]]))
    noise = rng.gumbel(size=[length, count, rssm.CODES, rssm.CHOICES])
    noise, start = noise.astype(np.float32), rssm.start(count)
    params = jax.jit(rssm.init)(jax.random.key(0), start, rows[0], noise)
    observe = jax.jit(rssm.world.observe)
    (states, post, prior), (others, *_) = (
        observe(params, start, x, noise) for x in rows
    )
    assert np.abs(states.h[:3] - others.h[:3]).max() > 1e-3
    np.testing.assert_allclose(states.h[3:], others.h[3:], atol=1e-5)
    np.testing.assert_allclose(states.z.sum(-1), 1, atol=1e-5)
    assert np.exp(post).min() > 0.01 / rssm.CHOICES * 0.99

    loss, _ = jax.jit(rssm.loss)(params, rows[0], noise)
    seen, reward, goes_on = rssm.world.predict(params, states)
    even = np.linspace(-7, 7, rssm.BINS)
    bins = np.sign(even) * np.expm1(np.abs(even))
    above = np.searchsorted(bins, 2.5)
    share = (2.5 - bins[above - 1]) / (bins[above] - bins[above - 1])
    total = 0.0
    for t in range(length):
        for b in range(count):
            x = numbers[0, t, b] / rssm.UNITS
            total += ((seen[t, b] - np.sign(x) * np.log1p(np.abs(x))) ** 2).sum()
            log = np.log(softmax(np.asarray(reward[t, b])))
            total -= (1 - share) * log[above - 1] + share * log[above]
            on = 1 / (1 + np.exp(-goes_on[t, b]))
            total -= np.log(1 - on if ended[t, b] else on)
            p, q = softmax(np.asarray(post[t, b])), softmax(np.asarray(prior[t, b]))
            total += 1.1 * max(1.0, (p * np.log(p / q)).sum())
    np.testing.assert_allclose(loss, total / (length * count), rtol=1e-4)


def test_imagined_returns_are_a_plain_loop_s(load):
    dreamer, rssm = load("dreamer"), load("rssm")
    options = dreamer.parser.parse_args(["--discount", "0.9", "--lambda", "0.8"])
    rng = np.random.default_rng(0)
    horizon, count = 5, 3
    reward = rng.normal(size=[horizon + 1, count, rssm.BINS]).astype(np.float32)
    # Of large numbers, in which bins differ most, only little: sums stay small.
    reward -= np.abs(np.linspace(-7, 7, rssm.BINS, dtype=np.float32)) * 3
    goes_on, v = rng.normal(0, 2, [2, horizon + 1, count]).astype(np.float32)
    alive = np.array([1, 0, 1], np.float32)
    returns, weights = dreamer.targets(reward, goes_on, v, alive, options)
    even = np.linspace(-7, 7, rssm.BINS)
    r = softmax(reward) @ (np.sign(even) * np.expm1(np.abs(even)))
    discount = 0.9 / (1 + np.exp(-goes_on))
    for i in range(count):
        total, weight = v[horizon, i], alive[i] * np.prod(discount[1:horizon, i])
        for t in reversed(range(horizon)):
            ahead = 0.2 * v[t + 1, i] + 0.8 * total
            total = r[t + 1, i] + discount[t + 1, i] * ahead
            np.testing.assert_allclose(returns[t, i], total, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(weights[t, i], weight, rtol=1e-4)
            weight = weight / discount[t, i] if t else weight


def test_draws_pass_the_gradient_of_their_probabilities(load):
    rssm = load("rssm")
    logits, noise = jax.random.normal(jax.random.key(0), [2, 3, 4])
    weights = jnp.arange(12.0).reshape(3, 4)
    one = rssm.drawn(logits, noise)
    np.testing.assert_allclose(one.max(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(one.argmax(-1), (logits + noise).argmax(-1))
    found = jax.grad(lambda x: (weights * rssm.drawn(x, noise)).sum())(logits)
    wanted = jax.grad(lambda x: (weights * jax.nn.softmax(x)).sum())(logits)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_fallen_pole_is_seen_before_the_next_one(load):
    """Its row ends the episode; the next one begins another, and has no reward."""
    dreamer, rssm = load("dreamer"), load("rssm")
    cart = dreamer.GAME.start(jax.random.key(0))
    zero = jnp.zeros([])
    row = rssm.Row(dreamer.GAME.observe(cart), jnp.array(0), zero, zero, zero, zero)
    follow, rows = jax.jit(dreamer.follow), []
    for step in range(25):
        cart, row = follow(cart, row, jnp.array(1), jax.random.key(step))
        rows.append(jax.tree.map(np.asarray, row))
    (end,) = (i for i, row in enumerate(rows[:12]) if row.ended_t)
    assert rows[end].over_t and rows[end].r_t == 1 and abs(rows[end].s[2]) > 0.209
    after = rows[end + 1]
    assert after.first_t and after.r_t == 0 and not (after.ended_t or after.over_t)
    assert np.abs(after.s).max() < 0.05 and not rows[end + 2].first_t
