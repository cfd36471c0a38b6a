"""A compression of an agent as a run: folder, record, the recipe's stages, the ledger at the end."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from agents.compression.config import Config
from agents.compression.objective import ActAsTeacher, scored
from agents.compression.policy_file import SUFFIX, PackedPolicy
from agents.compression.teacher import Teacher
from agents.training.environments import task_fingerprint
from envs import names
from rl_gen_lab.cli.values import to_dict, to_flat_dict
from rl_gen_lab.compression import recipe as recipes
from rl_gen_lab.compression.ledger import carry_out, describe
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.pipeline import Pipeline, rehearse
from rl_gen_lab.compression.resuming import INPUTS, load_latest, refuse_changed
from rl_gen_lab.compute import devices
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.weights import tensors_digest
from rl_gen_lab.tracking.tracker import Tracker


def compress(config: Config, run: RunFolder | None) -> RunFolder:
    """Run a recipe, or go on with it, and return the run folder. run: of the compression to go on with.

    Raises: UserError; SystemExit 130 after Ctrl-C, with all but the last segment of updates saved.
    """
    with ExitStack() as held:  # the lock of the run folder, environments
        if run is not None:
            held.enter_context(run.lock())
        return _compress(config, run, held)


def _compress(config: Config, run: RunFolder | None, held: ExitStack) -> RunFolder:
    torch.set_num_threads(config.threads)
    devices.keep_freed_memory()
    assert config.run is not None
    packed = PackedPolicy.read(config.run) if config.run.suffix == SUFFIX else None
    teacher = Teacher.of(config.run, config.which) if packed is None else packed.teacher()
    recipe = recipes.read(config.recipe or Path()) if run is None else recipes.of_run(run)
    start = None if config.start is None else PackedPolicy.read(config.start)
    inputs = {f"the weights of {config.run}": teacher.digest}
    if start is None and recipe.first_backbone is None:
        start = packed
    elif start is not None:
        inputs[f"the weights in {config.start}"] = tensors_digest(start.network.state_dict())
    objective = ActAsTeacher(teacher, recipe.common, config.seed, config.episodes, config.eval_seed, start)
    held.callback(objective.close)
    bases = {"as it is": lambda: _as_it_is(teacher, objective)}
    if start is not None and start is not packed:
        bases["start"] = lambda: {"bytes": start.size_bytes} | objective.score_of(start)
    short, task = names.short_name(teacher.env), task_fingerprint(teacher.env, teacher.world, teacher.epsilon)
    if run is None:
        rehearse(recipe, objective)
        objective.close()
        run = RunFolder.create(config.runs_dir, "compress", short, config.seed)
        held.enter_context(run.lock())
        about: dict[str, Any] = {"config": to_dict(config), "recipe": recipe.to_dict(), "fingerprint": vars(task)}
        about |= {INPUTS: inputs, "env_id": teacher.env, "exp_name": "compress", "seed": config.seed}
        run.write_config(about | provenance.of_run("agents.compress"))
        pipeline = Pipeline(recipe, objective, run, bases=bases)
    else:
        refuse_changed(run, inputs)
        pipeline = Pipeline(recipe, objective, run, bases=bases)
        load_latest(pipeline)
    tracker = Tracker.start(
        run,
        config.wandb,
        algo="compress",
        env_id=short,
        seed=config.seed,
        flat_config=to_flat_dict(config),
        fingerprint_hash=task.hash,
        job_type="compress",
    )
    print(f"{task.described}\nrun folder {run}", flush=True)
    rows = carry_out(pipeline, bases, tracker, "agents.compress")
    print(describe(rows, run, "-m agents.play"))
    return run


def _as_it_is(teacher: Teacher, objective: ActAsTeacher) -> Row:
    """Score the teacher, with the float32 parameters of all its networks and of one."""
    row: Row = {"bytes": teacher.all_networks_bytes, "one_network_bytes": teacher.one_network_bytes}
    return row | scored(
        teacher.policy, teacher.env, teacher.world, teacher.epsilon, objective.episodes, objective.eval_seed
    )
