"""Whole episodes, and what the equations of the papers say of them, in float64."""

import functools

import numpy as np
from resetting_games import A

GAMMA, LAMBDA, N = 0.9, 0.8, 3

# What an agent knows of a state. [..., 3] -> [...] or [..., A], in float64.

WEIGHTS = np.random.default_rng(0).standard_normal((6, 3, 16))


def features(kind, count, s):
    return np.sin(np.asarray(s, float) @ WEIGHTS[kind, :, :count] + kind)


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


q, online_q = functools.partial(features, 0, A), functools.partial(features, 1, A)


def pi(s):
    return softmax(features(2, A, s))


def mu(s):
    return softmax(features(3, A, s))


def v(s):
    return (pi(s) * q(s)).sum(-1)


def greedy(s):
    return q(s).max(-1)


def double(s):
    return pick(q(s), online_q(s).argmax(-1))


def pick(x, a):
    return np.take_along_axis(x, np.asarray(a)[..., None], -1)[..., 0]


def frames(s):
    x = features(4, 16, s)
    return x.reshape(*x.shape[:-1], 4, 4, 1)


def cell_values(s):
    x = features(5, 4 * A, s)
    return x.reshape(*x.shape[:-1], 2, 2, A)


def tx(x):
    return np.sign(x) * np.log1p(np.abs(x))


def tx_inv(x):
    return np.sign(x) * np.expm1(np.abs(x))


def squashed_v(s):
    return tx((pi(s) * tx_inv(q(s))).sum(-1))


class Episode:
    """An episode up to its end, or to where an array ends."""

    def __init__(self, whole, start, stop):
        self.s = np.stack(whole.s[start : stop + 1])  # [L + 1, 3]
        self.a = whole.a[start : stop + 1]  # one more than L if it goes on
        self.r = np.array(whole.r[start:stop])  # [L]
        self.terminal = whole.terminal and stop == len(whole.a)

    def __len__(self):
        return len(self.r)

    def all_values(self, f):
        """f of every state; nothing follows a terminal one. [L + 1]."""
        values = f(self.s).copy()
        if self.terminal:
            values[-1] = 0
        return values

    def taken(self, f):
        """f of the actions taken, [L]."""
        return pick(f(self.s[:-1]), self.a[: len(self)])

    def ratios(self):
        return self.taken(pi) / self.taken(mu)

    def sarsa_values(self):
        """Those of the actions taken; after a cut no action is: the expected one."""
        values = self.all_values(v)
        values[:-1] = self.taken(q)
        if len(self.a) > len(self):
            values[-1] = q(self.s[-1])[self.a[-1]]
        return values


def lambda_return(r, values, trace=LAMBDA):
    g, out = values[-1], []
    for reward, value in zip(r[::-1], values[:0:-1]):
        g = reward + GAMMA * ((1 - trace) * value + trace * g)
        out.append(g)
    return np.array(out[::-1])


def n_step_return(r, values):
    steps = [range(t, min(t + N, len(r))) for t in range(len(r))]
    return np.array([
        sum(GAMMA ** (k - t) * r[k] for k in window)
        + GAMMA ** len(window) * values[t + len(window)]
        for t, window in enumerate(steps)
    ])  # fmt: skip


def td_errors(r, values):
    return r + GAMMA * values[1:] - values[:-1]


def advantage(e):
    delta = td_errors(e.r, e.all_values(v))
    decay = GAMMA * LAMBDA
    return np.array([
        sum(decay ** (k - t) * delta[k] for k in range(t, len(e)))
        for t in range(len(e))
    ])  # fmt: skip


def importance_corrected(e):
    delta, rho = td_errors(e.r, e.all_values(v)), e.ratios()
    out = np.zeros(len(e))
    for t in range(len(e)):
        for k in range(t, len(e)):
            weight = (GAMMA * LAMBDA) ** (k - t) * np.prod(rho[t : k + 1])
            out[t] += weight * delta[k]
    return out


def vtrace_parts(e, alpha):
    values, rho = e.all_values(v), e.ratios()
    clipped = alpha * np.minimum(1, rho) + (1 - alpha) * rho
    delta = clipped * td_errors(e.r, values)
    errors = np.zeros(len(e))
    for t in range(len(e)):
        for k in range(t, len(e)):
            errors[t] += delta[k] * np.prod(GAMMA * LAMBDA * clipped[t:k])
    ahead = np.append(values[1:-1] + LAMBDA * errors[1:], values[-1:])
    q_estimate = e.r + GAMMA * ahead
    return errors, clipped * (q_estimate - values[:-1]), q_estimate


def off_policy_return(e, values, q_taken, c):
    out = np.zeros(len(e))
    for t in reversed(range(len(e))):
        out[t] = e.r[t] + GAMMA * values[t + 1]
        if t + 1 < len(e):
            out[t] += GAMMA * c[t + 1] * (out[t + 1] - q_taken[t + 1])
    return out


def squashed_q(s):
    return tx_inv(q(s))


def unsquashed(f):
    return lambda s: tx_inv(f(s))


def retrace(e, squash=False):
    action_values, value = (squashed_q, squashed_v) if squash else (q, v)
    values = e.all_values(unsquashed(value) if squash else value)
    c = LAMBDA * np.minimum(1, e.ratios())
    g = off_policy_return(e, values, e.taken(action_values), c)
    return (tx(g) if squash else g) - e.taken(q)


def general_return(e, squash=False):
    action_values, value = (squashed_q, unsquashed(squashed_v)) if squash else (q, v)
    c = LAMBDA * e.ratios()
    g = off_policy_return(e, e.all_values(value), e.taken(action_values), c)
    return tx(g) if squash else g


def upgo_return(e):
    values = e.all_values(v)
    out = np.zeros(len(e))
    for t in reversed(range(len(e))):
        after = values[t + 1]
        if t + 1 < len(e) and e.r[t + 1] + GAMMA * values[t + 2] >= after:
            after = out[t + 1]
        out[t] = e.r[t] + GAMMA * after
    return out


def pixel_loss(e):
    images, cells = frames(e.s), cell_values(e.s)
    reward = np.abs(np.diff(images, axis=0)).reshape(-1, 2, 2, 2, 2).mean((2, 4))
    following = cells[-1].max(-1) * (not e.terminal)
    out = np.zeros(reward.shape)
    for t in reversed(range(len(e))):
        following = reward[t] + GAMMA * following
        out[t] = 0.5 * (following - cells[t][..., e.a[t]]) ** 2
    return out
