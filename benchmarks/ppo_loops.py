"""PPO's whole loop, beside rejax and stable-baselines3: steps per second, and scores.

    make bench-ppo
    .venv-ppo/bin/python benchmarks/ppo_loops.py --rounds 1 --games CartPole-v1

All learn by the same nets, steps, minibatches, rates and weights: on CartPole those
that purejaxrl publishes; those on Breakout are meant to be, and not confirmed. Ours
(examples/rl/anakin.py) and rejax compile environments and learning into one program;
stable-baselines3 steps gymnasium's environments in Python. Breakout is MinAtar's:
gymnax's in the compiled loops, for stable-baselines3 the original. Each learns in a
process of its own on one core, in turns. A step's time is CPU time, without compiling;
the score is the mean return of 128 episodes by the last parameters, with drawn actions
as in learning. Medians of the rounds; each has its seed.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
EPISODES = 128


class Setting(NamedTuple):
    """How a game is learned; what isn't here is in `COMMON`."""

    steps: int
    environments: int
    minibatches: int
    learning_rate: float  # sinks to 0
    activation: str  # of two layers of 64
    longest: int  # steps of an episode


SETTINGS = {
    "CartPole-v1": Setting(976 * 4 * 128, 4, 4, 2.5e-4, "tanh", 500),
    "Breakout-MinAtar": Setting(122 * 64 * 128, 64, 8, 5e-3, "relu", 1000),
}
LENGTH, EPOCHS, DISCOUNT, LAMBDA = 128, 4, 0.99, 0.95
CLIP, ENTROPY, VALUE, NORM = 0.2, 0.01, 0.5, 0.5


def set_steps(game: str, steps: int | None):
    """Learns for other than the published steps: for whole updates, at least one."""
    setting = SETTINGS[game]
    each = LENGTH * setting.environments
    if steps is not None:
        SETTINGS[game] = setting._replace(steps=max(1, steps // each) * each)


def measured(learn, steps: int):
    """What `learn()` returns, and its steps per second of CPU time."""
    start = time.process_time()
    learned = learn()
    return learned, steps / (time.process_time() - start)


def mean_return(game: str, act, seed: int) -> float:
    """Of episodes in gymnax's environment by `act(observation, key)`."""
    import gymnax
    import jax
    import jax.numpy as jnp

    environment, params = gymnax.make(game)

    def episode(key):
        def step(carry, key):
            seen, state, alive, score = carry
            act_key, step_key = jax.random.split(key)
            action = act(seen, act_key)
            seen, state, reward, ended, cut, _ = environment.step(
                step_key, state, action, params
            )
            score += alive * reward
            return (seen, state, alive & ~(ended | cut), score), None

        start_key, key = jax.random.split(key)
        seen, state = environment.reset(start_key, params)
        carry = seen, state, jnp.array(True), jnp.float32(0)
        keys = jax.random.split(key, SETTINGS[game].longest)
        return jax.lax.scan(step, carry, keys)[0][-1]

    keys = jax.random.split(jax.random.key(1_000_000 + seed), EPISODES)
    return float(jax.jit(jax.vmap(episode))(keys).mean())


# ---- Libraries -----------------------------------------------------------------------


def ours(name, seed):
    """The loop of examples/rl/anakin.py."""
    sys.path.insert(0, str(ROOT / "examples" / "rl"))
    import anakin
    import cartpole
    import jax
    import jax.numpy as jnp
    import ppo

    import haiku as hk

    setting = SETTINGS[name]
    options = anakin.parser.parse_args([])
    vars(options).update(
        steps=setting.steps,
        environments=setting.environments,
        length=LENGTH,
        epochs=EPOCHS,
        minibatches=setting.minibatches,
        learning_rate=setting.learning_rate,
        epsilon=CLIP,
        discount=DISCOUNT,
        lambda_=LAMBDA,
        entropy=ENTROPY,
        value=VALUE,
    )
    game = cartpole.GAME if name == cartpole.GAME.name else of_gymnax(name)
    activation = {"tanh": jnp.tanh, "relu": jax.nn.relu}[setting.activation]

    @hk.without_apply_rng
    @hk.transform
    def net(x):
        if game is not cartpole.GAME:
            x = x.reshape(*x.shape[:-3], -1)
        return ppo.forward(x, int(game.action_space.n), activation)

    optimizer = ppo.optimizer(options)
    with jax.set_mesh(anakin.mesh(1)):
        training = anakin.start(game, net, optimizer, options, seed)
        update = anakin.updater(game, net, optimizer, options)
        updates = setting.steps // (LENGTH * setting.environments)
        begun = time.process_time()
        program = anakin.compiled(update, training, updates)
        compiling = time.process_time() - begun
        learn = functools.partial(program, training)
        (learned, _), rate = measured(
            lambda: jax.block_until_ready(learn()), setting.steps
        )

    def act(seen, key):
        return jax.random.categorical(key, net.apply(learned.params, seen)[0])

    return {"rate": rate, "compile": compiling, "score": mean_return(name, act, seed)}


def of_gymnax(name):
    """A game of gymnax as `games.Game`."""
    import games
    import gymnasium
    import gymnax

    environment, params = gymnax.make(name)

    def step(state, action, key):
        _, state, reward, ended, _ = environment.step_env(key, state, action, params)
        return state, reward, ended, state.time >= params.max_steps_in_episode

    return games.Game(
        name,
        lambda key: environment.reset_env(key, params)[1],
        step,
        environment.get_obs,
        gymnasium.spaces.Discrete(environment.num_actions),
    )


def rejax(name, seed):
    """`rejax.PPO`."""
    import gymnax
    import jax
    import optax
    import rejax

    setting = SETTINGS[name]
    environment, params = gymnax.make(name)

    class Environment:
        """What rejax expects of gymnax: one word for both ends."""

        def __getattr__(self, attribute):
            return getattr(environment, attribute)

        def step(self, *args):
            seen, state, reward, ended, cut, info = environment.step(*args)
            return seen, state, reward, ended | cut, info

    updates = setting.steps // (LENGTH * setting.environments)
    agent = rejax.PPO.create(
        env=Environment(),
        env_params=params,
        agent_kwargs={"activation": setting.activation},
        total_timesteps=setting.steps,
        eval_freq=setting.steps,
        num_envs=setting.environments,
        num_steps=LENGTH,
        num_epochs=EPOCHS,
        num_minibatches=setting.minibatches,
        learning_rate=optax.linear_schedule(
            setting.learning_rate, 0.0, updates * EPOCHS * setting.minibatches
        ),
        gamma=DISCOUNT,
        gae_lambda=LAMBDA,
        clip_eps=CLIP,
        ent_coef=ENTROPY,
        vf_coef=VALUE,
        max_grad_norm=NORM,
    )
    agent = agent.replace(eval_callback=lambda agent, state, key: ())
    key = jax.random.PRNGKey(seed)
    begun = time.process_time()
    train = jax.jit(agent.train).lower(key).compile()
    compiling = time.process_time() - begun
    (state, _), rate = measured(
        lambda: jax.block_until_ready(train(key)), setting.steps
    )
    score = mean_return(name, agent.make_act(state), seed)
    return {"rate": rate, "compile": compiling, "score": score}


def stable_baselines3(name, seed):
    """`stable_baselines3.PPO`, on PyTorch."""
    import gymnasium
    import torch
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy

    torch.set_num_threads(1)
    setting = SETTINGS[name]
    make = name
    if name == "Breakout-MinAtar":
        from minatar.gym import register_envs

        register_envs()
        make = functools.partial(
            gymnasium.make,
            "MinAtar/Breakout-v1",
            sticky_action_prob=0.0,
            max_episode_steps=setting.longest,
        )
    environments = make_vec_env(make, setting.environments, seed=seed)
    activation = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}[setting.activation]
    model = PPO(
        "MlpPolicy",
        environments,
        learning_rate=lambda left: left * setting.learning_rate,
        n_steps=LENGTH,
        batch_size=LENGTH * setting.environments // setting.minibatches,
        n_epochs=EPOCHS,
        gamma=DISCOUNT,
        gae_lambda=LAMBDA,
        clip_range=CLIP,
        ent_coef=ENTROPY,
        vf_coef=VALUE,
        max_grad_norm=NORM,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": activation},
        seed=seed,
        device="cpu",
    )
    _, rate = measured(lambda: model.learn(setting.steps), setting.steps)
    score, _ = evaluate_policy(model, environments, EPISODES, deterministic=False)
    return {"rate": rate, "compile": 0.0, "score": float(score)}


# ---- The table -----------------------------------------------------------------------

SUBJECTS = (ours, rejax, stable_baselines3)


def in_a_process(subject, name, seed, core, steps):
    """What a subject measures, in a new process on one core."""
    command = [sys.executable, "-W", "ignore", __file__, subject.__name__]
    out = subprocess.check_output(
        [*command, name, str(seed), str(core), str(steps)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        text=True,
    )
    return json.loads(out.splitlines()[-1])


def main():
    """Measures all, in turns."""
    named = {f.__name__: f for f in SUBJECTS}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--steps", type=int, help="about so many, for a trial")
    parser.add_argument("--games", nargs="*", default=SETTINGS, choices=SETTINGS)
    parser.add_argument("--subjects", nargs="*", default=named, choices=named)
    args = parser.parse_args()
    for game in args.games:
        set_steps(game, args.steps)
        steps = SETTINGS[game].steps
        print(f"\n{game}, {steps:,} steps\n")
        print("| | steps per CPU second | ours / it | score | compiles in, CPU s |")
        print("| --- | --: | --: | --: | --: |")
        runs = [
            {
                x: in_a_process(named[x], game, seed, args.core, steps)
                for x in args.subjects
            }
            for seed in range(args.rounds)
        ]
        rates = {}
        for name in args.subjects:
            rate, compiling, scores = (
                [run[name][what] for run in runs]
                for what in ("rate", "compile", "score")
            )
            rates[name] = statistics.median(rate)
            ratio = rates.get("ours", float("nan")) / rates[name]
            print(
                f"| {name} | {rates[name]:,.0f} | {ratio:.2f} "
                f"| {statistics.mean(scores):.1f} +- {statistics.pstdev(scores):.1f} "
                f"| {statistics.median(compiling):.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    subjects = {f.__name__: f for f in SUBJECTS}
    if len(sys.argv) == 6 and sys.argv[1] in subjects:
        os.sched_setaffinity(0, [int(sys.argv[4])])
        set_steps(sys.argv[2], int(sys.argv[5]))
        print(json.dumps(subjects[sys.argv[1]](sys.argv[2], int(sys.argv[3]))))
    else:
        main()
