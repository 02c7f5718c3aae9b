"""The loop of agents that learn from recorded transitions alone.

`record.py` writes them: arrays s_tm1, a_tm1, r_t, ended_t (whether nothing follows) and
s_t, each [transitions, ...], in one file. A step is an update here; the environment is
there to evaluate.
"""

import functools
import pathlib

import experiment
import jax
import jax.numpy as jnp
import numpy as np
import off_policy
import replay


def parser(description: str, **defaults):
    """The options of these agents."""
    options = experiment.parser(
        description,
        environment="Pendulum-v1",
        steps=20_000,
        episodes=100,
        evaluations=10,
    )
    add = options.add_argument
    add("--data", type=pathlib.Path, default="demo/rl/pendulum.npz", help="%(default)s")
    add("--batch-size", type=int, default=256, help="%(default)s")
    add("--learning-rate", type=float, default=1e-3, help="%(default)s")
    add("--discount", type=float, default=0.99, help="%(default)s")
    options.set_defaults(**defaults)
    return options


def recorded(options) -> replay.Replay:
    """All transitions of a file."""
    with np.load(options.data) as data:
        columns = {k: data[k] for k in data.files}
    discount_t = np.float32(options.discount * ~columns.pop("ended_t"))
    transitions = off_policy.Transition(discount_t=discount_t, **columns)
    count = len(discount_t)
    return replay.Replay(jax.tree.map(jnp.asarray, transitions), jnp.array(count))


def learn(agent: off_policy.Agent, options, seed: int, report):
    """Trains with one seed; returns what it learned."""
    memory = recorded(options)
    key, init_key = jax.random.split(jax.random.key(seed))
    one = replay.sample(memory, key, 1)
    state = jax.jit(agent.init)(init_key, one.s_tm1, one.a_tm1)
    state, first = report.resume(state)

    def update(memory, state, step):
        keys = jax.random.split(jax.random.fold_in(key, step))
        batch = replay.sample(memory, keys[0], options.batch_size)
        return agent.update(state, keys[1], batch), None

    @jax.jit
    def updates(memory, state, steps):
        return jax.lax.scan(functools.partial(update, memory), state, steps)[0]

    apart = max(1, options.steps // options.evaluations)
    while first < options.steps:
        report(first, agent.learned(state), state)
        end = min(first + apart, options.steps)
        state = updates(memory, state, jnp.arange(first, end))
        first = end
    return agent.learned(state)
