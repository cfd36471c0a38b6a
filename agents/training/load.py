"""A trained agent from its run folder, whatever algorithm made it."""

from __future__ import annotations

import importlib
from dataclasses import fields
from typing import Literal

from agents.rl.interfaces import Policy
from agents.training.environments import make_vec
from agents.training.resume import module_of
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.runs.folder import RunFolder

# Modules with `Config` and `make_network(config, observation_space, action_space)`, and perhaps `make_policy(network)`.
AGENTS = ("dqn", "reinforce", "actor_critic", "ppo", "sb3")


def load_policy(run: RunFolder, which: Literal["best", "last"]) -> Policy:
    """Return the trained agent in a run folder. Raises: CheckpointError."""
    from agents.rl.greedy_policy import greedy_policy  # here, so that --help needs no torch
    from agents.rl.weights import load_network
    from rl_gen_lab.runs.checkpoints import load_weights

    algo = str(run.read_config().get("exp_name"))
    module = module_of(algo)
    if module not in AGENTS:
        raise CheckpointError(f"{run.path} is a run of {algo!r}, which cannot be played; known: {', '.join(AGENTS)}")
    agent = importlib.import_module(f"agents.{module}")
    # Settings of learning come and go between versions, and play needs none of them; one that shapes the network and is
    # not known any more shows when the weights do not fit.
    known = {field.name for field in fields(agent.Config)}
    settings = {key: value for key, value in run.read_config()["config"].items() if key in known}
    config = from_dict(agent.Config, settings, str(run.config_file))
    file = run.checkpoints / f"{which}.safetensors"
    if not file.exists():
        other = "--which last, " if which == "best" and (run.checkpoints / "last.safetensors").exists() else ""
        raise CheckpointError(f"{run.path} has no {which} agent yet: {other}resume it, or choose another run")
    weights, _ = load_weights(file)
    env = make_vec(config.env, 1, config.world)
    network = agent.make_network(config, env.single_observation_space, env.single_action_space)
    env.close()
    load_network(network, weights, str(run.path))
    policy: Policy = getattr(agent, "make_policy", greedy_policy)(network)
    return policy
