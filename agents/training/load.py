"""A trained agent from its run folder, whatever algorithm made it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

from agents.rl.interfaces import Policy
from agents.training.config import EvalConfig
from agents.training.environments import make_vec
from agents.training.resume import module_of
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import first_line, printable

# Modules with `Config` and `make_network(config, observation_space, action_space)`, and perhaps `make_policy(network,
# stochastic)`.
AGENTS = ("dqn", "reinforce", "actor_critic", "ppo", "sb3")
STEP = "step_"  # what the names of the weights of single evaluations begin with; the agent steps follow


def world_of(run: RunFolder) -> EnvConfig:
    """Return the settings of the environment in which the agent of a run was trained."""
    return from_saved(EnvConfig, run.read_config("config")["config"].get("world", {}), str(run.config_file), "world")


def evaluation_of(run: RunFolder) -> EvalConfig:
    """Return the settings by which the agent of a run is evaluated."""
    return from_saved(EvalConfig, run.read_config("config")["config"].get("eval", {}), str(run.config_file), "eval")


def newest_run(folder: Path, which: Literal["best", "last"]) -> RunFolder:
    """Return the run whose `which` weights were written last among the runs of agents in a folder.

    Raises: CheckpointError where there is none.
    """
    weights = [
        file for file in folder.glob(f"*/checkpoints/{which}.safetensors") if _is_agent(RunFolder(file.parents[1]))
    ]
    if not weights:
        raise CheckpointError(f"no run folder in {folder}/ holds a trained agent ({which}.safetensors): name one")
    return RunFolder.open(max(weights, key=lambda file: (file.stat().st_mtime_ns, file)).parents[1])


def _is_agent(run: RunFolder) -> bool:
    """Return whether a folder holds a run of an agent; vision models have weights too."""
    try:
        return module_of(str(run.read_config().get("exp_name"))) in AGENTS
    except CheckpointError:
        return False


def kept_weights(run: RunFolder) -> dict[int, str]:
    """Return the names of the weights that were kept of single evaluations, by agent steps, in order."""
    files = run.checkpoints.glob(f"{STEP}*.safetensors")
    steps = sorted(int(number) for file in files if (number := file.stem.removeprefix(STEP)).isdecimal())
    return {step: f"{STEP}{step}" for step in steps}


def refuse_foreign(run: RunFolder, file: Path, about: dict[str, str]) -> None:
    """Raise CheckpointError for weights that another agent, or one of another game, has written. about: beside them."""
    saved = run.read_config("env_id", "exp_name")
    own = {"algo": str(saved["exp_name"]), "env_id": str(saved["env_id"])}
    if any(name in about and about[name] != value for name, value in own.items()):
        whose = printable(f"{about.get('algo', 'an agent')} on {about.get('env_id', 'another game')}")
        raise CheckpointError(f"{run.shown(file)} is of {whose}, not of {own['algo']} on {own['env_id']} as its run")


def load_policy(run: RunFolder, which: str, stochastic: bool | None = None) -> Policy:
    """Return the trained agent in a run folder, greedy or drawing its actions (None: as the run evaluates it).

    which: best, last, or a name of `kept_weights`.

    Raises: CheckpointError; ConfigError for drawn actions of an agent that has values only.
    """
    from agents.rl.sampled_policy import policy_of  # here, so that --help needs no torch
    from rl_gen_lab.runs.checkpoints import load_weights
    from rl_gen_lab.runs.weights import load_network

    algo = str(run.read_config().get("exp_name"))
    module = module_of(algo)
    if module not in AGENTS:
        raise CheckpointError(f"{run} is a run of {algo!r}, which cannot be played; known: {', '.join(AGENTS)}")
    agent = importlib.import_module(f"agents.{module}")
    # A setting that shapes the network and is not known in this version shows when the weights do not fit.
    config = from_saved(agent.Config, run.read_config("config")["config"], str(run.config_file))
    file = run.checkpoints / f"{which}.safetensors"
    if not file.exists():
        other = "--which last, " if which == "best" and (run.checkpoints / "last.safetensors").exists() else ""
        raise CheckpointError(f"{run} has no {which} agent yet: {other}resume it, or choose another run")
    weights, about = load_weights(file)
    refuse_foreign(run, file, about)
    env = make_vec(config.env, 1, config.world)
    env.close()  # now: of some environments there may be one copy only, and a network may need one of its own
    try:
        network = agent.make_network(config, env.single_observation_space, env.single_action_space)
    except (TypeError, ValueError, RuntimeError) as error:  # settings of each kind, which do not go together
        raise CheckpointError(
            f"{run.shown(run.config_file)} makes no network: {printable(first_line(error))}"
        ) from error
    load_network(network, weights, str(run))
    policy: Policy = getattr(agent, "make_policy", policy_of)(
        network, config.eval.stochastic if stochastic is None else stochastic
    )
    return policy
