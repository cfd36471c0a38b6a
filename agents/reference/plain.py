"""Stable-Baselines3 as its own scripts run it: its environments and wrappers and its `learn`, nothing of ours around.

A process of its own, which agents/speed.py starts with the flags of agents.sb3:

    python -m agents.reference.plain FILE WARM_UP --algo ppo --env CartPole

FILE: where to write the speed [env steps/s]. WARM_UP: agent steps that are not timed. The settings of `world` hold as
far as SB3's wrappers have them; a game always begins with FIRE where the game has that action.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from agents.reference.models import make_model
from agents.reference.settings import Config
from agents.training.cli import command, parse
from envs import names
from envs.atari import emulator_arguments
from rl_gen_lab.cli.flags import peek_flag


def make_plain_env(config: Config) -> VecEnv:
    """Make SB3's own vector environment, with its Atari wrappers and its frame stack on an Atari game."""
    env_id, world = names.resolve(config.env), config.world
    if not names.is_atari(env_id):
        return make_vec_env(env_id, config.num_envs, config.seed)
    env = make_atari_env(
        env_id,
        config.num_envs,
        config.seed,
        wrapper_kwargs={
            "noop_max": world.noop_max,
            "frame_skip": world.frame_skip,
            "screen_size": world.image_size,
            "terminal_on_life_loss": world.episodic_life,
            "clip_reward": world.clip_rewards,
        },
        env_kwargs=emulator_arguments(config.env, env_id, replace(world, fire_reset=False)),
    )
    return VecFrameStack(env, world.frame_stack)


def measure_speed(config: Config, warm_up: int) -> float:
    """Train for `warm_up` agent steps, then to the end of the run; return the env steps/s of the latter.

    Both end with a whole rollout, as in SB3.
    """
    torch.set_num_threads(config.device.threads)
    env = make_plain_env(config)
    model = make_model(config, env, torch.device("cpu"))
    model.learn(warm_up)
    before, started = model.num_timesteps, time.perf_counter()
    model.learn(config.total_env_steps - before, reset_num_timesteps=False)
    seconds = time.perf_counter() - started
    env.close()
    return (model.num_timesteps - before) / seconds


@command
def main(argv: list[str] | None = None) -> None:
    """Measure and write the file."""
    file, warm_up, *flags = sys.argv[1:] if argv is None else argv
    algo = peek_flag(flags, "algo") or Config.algo
    speed = measure_speed(parse(Config, f"sb3_{algo}", flags), int(warm_up))
    Path(file).write_text(f"{speed}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
