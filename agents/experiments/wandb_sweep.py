"""A sweep in Weights & Biases' own words: its server then chooses the settings, and its agents run the command.

There are no offline sweeps at W&B. A trial there is one run, with the first of the seeds; several seeds in a trial,
equal steps and the workers of `agents.sweep` are this project's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from agents.experiments.search_space import Dimension
from agents.experiments.sweep_plan import Sweep
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.tracking.wandb_init import choose_mode
from rl_gen_lab.tracking.wandb_names import resolve, stored_settings

METHODS = {"tpe": "bayes", "cmaes": "bayes", "random": "random", "grid": "grid"}


def wandb_config(sweep: Sweep) -> dict[str, Any]:
    """Return the content of a sweep's file as `wandb sweep` reads it."""
    plan = sweep.plan
    metric = "final/return_mean" if plan.score == "final" else "eval/return_mean"
    command = ["${env}", "${interpreter}", "-m", *plan.words, "--seed", str(plan.seeds[0]), "${args}"]
    return {
        "name": sweep.file.stem,
        "method": METHODS[plan.sampler],
        "metric": {"name": metric, "goal": "maximize"},
        "run_cap": plan.trials,
        "parameters": {d.setting.flag.removeprefix("--"): _parameter(d) for d in sweep.space.dimensions},
        "command": command,
    }


def _parameter(d: Dimension) -> dict[str, Any]:
    """Return a dimension in W&B's words. Raises: ConfigError for a list, which its agents cannot hand over."""
    if d.low is None or d.high is None:
        if any(isinstance(choice, list | tuple) for choice in d.choices):
            raise ConfigError(f"W&B's agents cannot choose among lists, as for '{d.name}'; agents.sweep itself can")
        return {"values": [str(choice) if isinstance(choice, bool | None) else choice for choice in d.choices]}
    ends = {"min": d.low, "max": d.high}
    if d.step is not None:
        return {"distribution": "q_uniform", **ends, "q": d.step}
    if d.whole:
        return {"distribution": "int_uniform", "min": int(d.low), "max": int(d.high)}
    return {"distribution": "log_uniform_values" if d.log else "uniform", **ends}


def launch(sweep: Sweep, folder: Path, config: WandbConfig) -> None:
    """Write the sweep for W&B, make it there where an account is at hand, and print what starts its agents.

    Raises: ConfigError for what W&B has no words for, SaveError.
    """
    if sweep.plan.is_vision:
        raise ConfigError("vision models name their metric by their task; W&B needs it before: use agents.sweep itself")
    file = folder / "wandb.yaml"
    content = wandb_config(sweep)
    replace_file(file, lambda new: new.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8"))
    mode, _ = choose_mode(config.mode, stored_settings)
    if mode != "online":
        print(f"{file}: for `wandb sweep {file}`, which needs an account (`wandb login`)")
        return
    import wandb

    named = resolve(config, stored_settings())
    try:
        made = wandb.sweep(content, entity=named.entity, project=named.project)
    except Exception as error:  # of its many: no network, no right to the project
        raise ConfigError(f"W&B did not make the sweep: {' '.join(str(error).split())}; it is in {file}") from error
    place = "/".join(filter(None, (named.entity, named.project, made)))
    print(f"each of these is a worker, on any machine: wandb agent {place}")
