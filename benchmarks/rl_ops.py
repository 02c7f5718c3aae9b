"""Times rlax's ops beside rlax 0.1.9 and a version written by hand, value and gradient.

    python benchmarks/rl_ops.py                     # a small grid, about 3 minutes
    python benchmarks/rl_ops.py --full --out rl.jsonl    # all sizes; resumable
    python benchmarks/rl_ops.py --only n_step --rounds 50

Needs rlax 0.1.9 installed (its dependencies too); without it only the version by hand
stands beside ours. Every figure is the fastest of interleaved rounds in one process, so
that load on the machine falls on all columns alike. A ratio below 1 is faster than the
reference.
"""

import argparse
import functools
import importlib
import json
import pathlib
import sys
import time
import warnings

import jax
import jax.numpy as jnp
import numpy as np

SOURCE = str(pathlib.Path(__file__).resolve().parents[1] / "src")
SMALL = [(32, 20), (256, 20), (4096, 20), (256, 128), (32, 1024)]
FULL = [(b, t) for b in (32, 256, 4096) for t in (20, 128, 1024, 8192)]


def import_rlax(ours):
    """The package of that name from our source, or from anywhere else."""
    for name in [n for n in sys.modules if n.split(".")[0] == "rlax"]:
        del sys.modules[name]
    sys.path[:] = [
        p for p in sys.path if pathlib.Path(p).resolve() != pathlib.Path(SOURCE)
    ]
    if ours:
        sys.path.insert(0, SOURCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the reference's own dependencies
            return importlib.import_module("rlax")
    except ImportError:
        return None


# ------------------------------- written by hand --------------------------------


def scan_back(step, last, *inputs):
    def body(carry, now):
        return (step(carry, *now),) * 2

    return jax.lax.scan(body, last, inputs, reverse=True)[1]


def best_lambda_returns(r, d, v):
    def step(g, r, d, v):
        return r + d * (0.1 * v + 0.9 * g)

    return scan_back(step, v[-1], r, d, v)


def best_n_step(r, d, v, n):
    t = r.shape[0]
    n = min(n, t)
    total, discount, reward, factor, covered, width = 0, 1, r, d, 0, 1

    def ahead(x, k, fill):
        return jnp.concatenate([x[k:], jnp.full_like(x[:k], fill)])

    m = n
    while m:
        if m % 2:
            total = total + discount * ahead(reward, covered, 0)
            discount = discount * ahead(factor, covered, 1)
            covered += width
        reward = reward + factor * ahead(reward, width, 0)
        factor = factor * ahead(factor, width, 1)
        m, width = m // 2, width * 2
    end = jnp.concatenate([v[n - 1 :], jnp.repeat(v[-1:], n - 1, 0)])
    return total + discount * end


def best_gae(r, d, v):
    def step(a, r, d, v0, v1):
        return r + d * v1 - v0 + 0.9 * d * a

    return scan_back(step, jnp.zeros_like(r[0]), r, d, v[:-1], v[1:])


def best_vtrace(v0, v1, r, d, rho):
    def step(e, v0, v1, r, d, c):
        return c * (r + d * v1 - v0) + d * c * e

    fixed = jax.lax.stop_gradient((v0, v1, r, d, jnp.minimum(rho, 1)))
    errors = scan_back(step, jnp.zeros_like(r[0]), *fixed)
    return jax.lax.stop_gradient(errors + v0) - v0


def best_retrace(q0, q1, a0, a1, r, d, pi, mu):
    def at(q, a):
        return jnp.take_along_axis(q, a[..., None], -1)[..., 0]

    c = 0.9 * jnp.minimum(1, at(pi, a1) / (mu + 1e-8))
    c = c.at[-1].set(0)
    fixed = jax.lax.stop_gradient((r, d, (pi * q1).sum(-1), at(q1, a1), c))

    def step(g, r, d, v, q, c):
        return r + d * (v + c * (g - q))

    return scan_back(step, jnp.zeros_like(r[0]), *fixed) - at(q0, a0)


def best_c51(z, l0, a0, r, d, l1):
    probs = jax.nn.softmax(l1)

    def at(x, a):
        return jnp.take_along_axis(x, a[:, None, None], 1)[:, 0]

    p = at(probs, (probs * z).sum(-1).argmax(-1))
    position = jnp.clip(r[:, None] + d[:, None] * z, z[0], z[-1]) - z[0]
    position = position * ((z.size - 1) / (z[-1] - z[0]))
    hat = jnp.maximum(0, 1 - jnp.abs(position[:, :, None] - jnp.arange(z.size)))
    target = jax.lax.stop_gradient((hat * p[:, :, None]).sum(1))
    return -(target * jax.nn.log_softmax(at(l0, a0))).sum(-1)


def best_quantile(q0, tau, a0, r, d, q1):
    def at(x, a):
        return jnp.take_along_axis(x, a[:, None, None], 2)[:, :, 0]

    target = r[:, None] + d[:, None] * at(q1, q1.mean(1).argmax(-1))
    delta = jax.lax.stop_gradient(target)[:, :, None] - at(q0, a0)[:, None]
    c = jnp.clip(delta, -1, 1)
    weight = jnp.where(delta < 0, 1 - tau[:, None], tau[:, None])
    return (weight * c * (delta - 0.5 * c)).mean(1).sum(-1)


def best_mpo(log_p, q, kl, temperature, alpha):
    x = q / temperature
    w = jax.lax.stop_gradient(jax.nn.softmax(x, 0))
    lse = jax.nn.logsumexp(x, 0) - np.log(q.shape[0])
    stop = jax.lax.stop_gradient
    dual = temperature * (0.1 + lse)
    return -(w * log_p).sum(0) + dual + stop(alpha) * kl + alpha * (0.05 - stop(kl))


def best_vmpo(log_p, adv, kl, temperature, alpha):
    x = adv / temperature
    lowest = jax.lax.top_k(x.reshape(-1), x.size // 2)[0][-1]
    top = jax.lax.stop_gradient(x >= lowest)
    e = jnp.where(top, jnp.exp(x - jax.lax.stop_gradient(x.max())), 0)
    stop = jax.lax.stop_gradient
    log_mean = jnp.log(e.sum()) + stop(x.max()) - jnp.log(top.sum())
    dual = temperature * (0.1 + log_mean)
    policy = -x.size * stop(e / e.sum()) * log_p
    return policy + dual + stop(alpha) * kl + alpha * (0.05 - stop(kl))


def best_popart(target, index, shift, scale, second, step):
    sums = jnp.zeros((len(target), shift.size, 3))  # of each row: none is too long
    rows, t = jnp.arange(len(target))[:, None], target
    sums = sums.at[rows, index].add(jnp.stack([jnp.ones_like(t), t, t * t], -1))
    count, total, square = sums.sum(0).T
    shift = shift + step * (total - count * shift)
    second = second + step * (square - count * second)
    return shift, jnp.clip(jnp.sqrt(second - shift**2), 1e-4, 1e6), second


# ------------------------------------ cases -------------------------------------


def time_major(best):
    """The hand-written version on batch-major arrays, as the others get them."""

    def f(*xs):
        return jnp.swapaxes(best(*(jnp.swapaxes(x, 0, 1) for x in xs)), 0, 1)

    return f


def cases(b, t, random):
    """Maps op -> (function of a module, by hand, arguments, differentiated ones)."""

    def normal(*s):
        return random.standard_normal(s, np.float32)

    def uniform(*s):
        return random.random(s, np.float32)

    def integer(n, *s):
        return random.integers(0, n, s, np.int32)

    def softmax(x):
        return np.asarray(jax.nn.softmax(x))

    r, d, v, v1, rho = normal(b, t), uniform(b, t), normal(b, t), normal(b, t), None
    rho = 2 * uniform(b, t)
    vmap = jax.vmap
    n = 64
    rows = {
        "lambda_returns": (
            lambda m: vmap(lambda *x: m.lambda_returns(*x, 0.9)),
            time_major(best_lambda_returns),
            (r, d, v),
            (0, 1, 2),
        ),
        "n_step n=64": (
            lambda m: vmap(lambda *x: m.n_step_bootstrapped_returns(*x, n)),
            time_major(functools.partial(best_n_step, n=n)),
            (r, d, v),
            (0, 1, 2),
        ),
        "gae": (
            lambda m: vmap(
                lambda r, d, v: m.truncated_generalized_advantage_estimation(
                    r, d, 0.9, v
                )
            ),
            time_major(best_gae),
            (r, d, normal(b, t + 1)),
            (0, 1, 2),
        ),
        "vtrace": (
            lambda m: vmap(m.vtrace),
            time_major(best_vtrace),
            (v, v1, r, d, rho),
            (0,),
        ),
    }
    if b * t > 2**23:  # the reference's gradient would need 60 arrays of this size
        del rows["n_step n=64"]
    if b * t <= 2**22:  # four actions: the larger ones would need gigabytes
        rows["retrace"] = (
            lambda m: vmap(lambda *x: m.retrace(*x, 0.9)),
            time_major(best_retrace),
            (
                *(normal(b, t, 4), normal(b, t, 4)),
                *(integer(4, b, t), integer(4, b, t), r, d),
                *(softmax(normal(b, t, 4)), uniform(b, t) + 0.1),
            ),
            (0,),
        )
        rows["mpo N=16"] = (
            lambda m: (
                lambda lp, q, kl, eta, alpha: m.mpo_loss(
                    lp,
                    q,
                    m.LagrangePenalty(eta, 0.1),
                    [(kl, m.LagrangePenalty(alpha, 0.05))],
                )[0]
            ),
            best_mpo,
            (*(normal(16, t, b), normal(16, t, b)), uniform(t, b), 0.8, 0.5),
            (0, 2, 3, 4),
        )
        rows["vmpo"] = (
            lambda m: (
                lambda lp, a, kl, eta, alpha: m.vmpo_loss(
                    lp,
                    a,
                    m.LagrangePenalty(eta, 0.1),
                    [(kl, m.LagrangePenalty(alpha, 0.05))],
                )[0]
            ),
            best_vmpo,
            (normal(t, b), normal(t, b), uniform(t, b), 0.8, 0.5),
            (0, 2, 3, 4),
        )
        state = (np.zeros(32, np.float32), *np.ones((2, 32), np.float32))
        step = min(1e-3, 16 / (b * t))  # the steps of an output together stay below 1
        rows["popart 32 outputs"] = (
            lambda m: lambda x, i, *s: m.art(m.PopArtState(*s), x, i, step, 1e-4, 1e6),
            functools.partial(best_popart, step=step),
            (normal(b, t), integer(32, b, t), *state),
            (),
        )
    if t == 20:  # no time axis
        z = np.linspace(-10, 10, 51, dtype=np.float32)
        rows["c51 A=6"] = (
            lambda m: (
                lambda z, l0, a, r, d, l1: vmap(
                    lambda l0, a, r, d, l1: m.categorical_q_learning(
                        z, l0, a, r, d, z, l1
                    )
                )(l0, a, r, d, l1)
            ),
            best_c51,
            (z, normal(b, 6, 51), integer(6, b), r[:, 0], d[:, 0], normal(b, 6, 51)),
            (1,),
        )
        if b <= 256:
            tau = np.tile((np.arange(200, dtype=np.float32) + 0.5) / 200, (b, 1))
            rows["quantile N=200"] = (
                lambda m: vmap(
                    lambda q0, tau, a, r, d, q1: m.quantile_q_learning(
                        q0, tau, a, r, d, q1, q1, 1.0
                    )
                ),
                best_quantile,
                (
                    *(normal(b, 200, 6), tau, integer(6, b)),
                    *(r[:, 0], d[:, 0], normal(b, 200, 6)),
                ),
                (0,),
            )
    return rows


def total(tree):
    return sum(jnp.sum(x) for x in jax.tree.leaves(tree))


def fastest(functions, arguments, rounds):
    """Compile seconds and the fastest run's microseconds of each, taken in turns."""
    compiled, compile_seconds = [], []
    for f in functions:
        start = time.perf_counter()
        compiled.append(jax.jit(f).lower(*arguments).compile())
        compile_seconds.append(time.perf_counter() - start)
    times = [[] for _ in functions]
    repeats = 1
    for i in range(-1, rounds):
        for f, taken in zip(compiled, times):
            start = time.perf_counter()
            for _ in range(repeats):
                out = f(*arguments)
            jax.block_until_ready(out)
            taken.append((time.perf_counter() - start) / repeats)
        if i == -1:  # the first round warms up, and says how many runs fit 2 ms
            repeats = max(1, min(50, int(2e-3 / min(x[0] for x in times))))
            times = [[] for _ in functions]
    return compile_seconds, [1e6 * min(x) for x in times]


def check_equal(name, values):
    reference, *others = (jax.tree.leaves(x) for x in values)
    for other in others:
        for a, b in zip(reference, other):
            size = max(1.0, np.max(np.abs(a), initial=0.0))
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-5 * size, err_msg=name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the whole grid of sizes")
    parser.add_argument("--only", default="", help="ops whose name contains this")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="JSON lines; rows there are not run again")
    options = parser.parse_args()

    reference, ours = import_rlax(ours=False), import_rlax(ours=True)
    done = {}
    out = pathlib.Path(options.out) if options.out else None
    if out and out.exists():
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        done = {(x["op"], x["B"], x["T"]): x for x in rows}
    where = getattr(reference, "__file__", "not installed")
    print(f"jax {jax.__version__}, {jax.devices()[0].device_kind}; reference: {where}")
    print(
        "| op | B | T | reference us: value, gradient | ours / reference "
        "| by hand / reference | compile s: reference, ours |\n" + "|---" * 7 + "|"
    )
    for b, t in FULL if options.full else SMALL:
        for op, (make, best, arguments, wrt) in cases(
            b, t, np.random.default_rng(options.seed)
        ).items():
            if options.only not in op:
                continue
            row = done.get((op, b, t))
            if row is None:
                row = run(
                    op, b, t, make, best, arguments, wrt, reference, ours, options
                )
                if out:
                    with out.open("a") as lines:
                        lines.write(json.dumps(row) + "\n")
            print(line(row), flush=True)


def run(op, b, t, make, best, arguments, wrt, reference, ours, options):
    arguments = jax.tree.map(jnp.asarray, arguments)
    functions = [make(m) for m in (reference, ours) if m] + [best]
    # Timed before the check, which compiles the same functions.
    compile_value, value = fastest(functions, arguments, options.rounds)
    check_equal(op, [jax.jit(f)(*arguments) for f in functions])
    row = {"op": op, "B": b, "T": t, "value": value, "compile": compile_value[:2]}
    if wrt:
        grads = [jax.grad(lambda *x, f=f: total(f(*x)), argnums=wrt) for f in functions]
        check_equal(f"gradient of {op}", [jax.jit(g)(*arguments) for g in grads])
        row["gradient"] = fastest(grads, arguments, options.rounds)[1]
    return row


def line(row):
    def ratios(column):
        pairs = [row[k] for k in ("value", "gradient") if k in row]
        return " ".join(f"{x[column] / x[0]:.2f}" for x in pairs if column < len(x))

    base = " ".join(f"{row[k][0]:.0f}" for k in ("value", "gradient") if k in row)
    compile_ = " ".join(f"{x:.2f}" for x in row["compile"])
    cells = (row["op"], row["B"], row["T"], base, ratios(1), ratios(2), compile_)
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
