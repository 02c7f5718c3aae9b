"""Records what policies of sac.py do, for agents that learn from recorded data.

    python examples/rl/sac.py
    python examples/rl/sac.py --compiled --seeds 1 --steps 3000 --name sac_half
    python examples/rl/record.py demo/rl/sac_half-0 demo/rl/sac-0

Each policy plays some episodes, with its own noise; `offline.py` says what is kept of
them. As in the data sets that are in use, good and middling players are mixed: who
learns from them has to tell which actions were the better ones.
Source (of the mixture): Fu et al., 2020, D4RL: Datasets for Deep Data-Driven
Reinforcement Learning, arXiv:2004.07219.
"""

import argparse
import pathlib

import control
import experiment
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint


def parser():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = options.add_argument
    add("folders", nargs="+", type=pathlib.Path, help="what sac.py kept")
    add("--environment", default="Pendulum-v1", help="%(default)s")
    add("--episodes", type=int, default=25, help="of each policy; %(default)s")
    add("--seed", type=int, default=3_000_000, help="%(default)s")
    add("--data", type=pathlib.Path, default="demo/rl/pendulum.npz", help="%(default)s")
    return options


def played(params, environments, key, seed: int):
    """The first episode in each environment: columns [steps, ...], and returns [B]."""
    policy = control.gaussian(*environments.single_action_space.shape)
    scales = control.scales(environments)

    @jax.jit
    def choose(observations, key):
        mu, sigma = policy.apply(params, scales.seen(observations))
        return scales.bounded(jnp.tanh(mu + sigma * jax.random.normal(key, mu.shape)))

    observations, _ = environments.reset(seed=seed)
    returns = np.zeros(environments.num_envs)
    running, rows = np.ones_like(returns, bool), []
    while running.any():
        key, act_key = jax.random.split(key)
        s_tm1, a_tm1 = observations, np.asarray(choose(observations, act_key))
        observations, r_t, ended, cut, info = environments.step(a_tm1)
        s_t = experiment.last_observations(observations, info)
        row = s_tm1, a_tm1, np.float32(r_t), ended, s_t
        rows.append([x[running] for x in row])
        returns += r_t * running
        running &= ~(ended | cut)
    return [np.concatenate(column) for column in zip(*rows)], returns


def main(argv=None):
    options = parser().parse_args(argv)
    environments = experiment.vector(options.environment, options.episodes)
    parts, means = [], []
    for number, folder in enumerate(options.folders):
        with orbax.checkpoint.StandardCheckpointer() as kept:
            params = kept.restore((folder / "learned").resolve())
        seed = options.seed + 1000 * number
        part, returns = played(params, environments, jax.random.key(seed), seed)
        print(f"{folder}: {experiment.spread(returns)} over {len(returns)} episodes")
        parts.append(part)
        means.append(float(returns.mean()))
    environments.close()
    names = "s_tm1", "a_tm1", "r_t", "ended_t", "s_t"
    columns = {k: np.concatenate(v) for k, v in zip(names, zip(*parts))}
    options.data.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.data, **columns)
    print(f"{len(columns['r_t'])} transitions: {options.data}")
    return means


if __name__ == "__main__":
    main()
