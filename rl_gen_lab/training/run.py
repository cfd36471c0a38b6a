"""A supervised run from its configuration: data, task, run folder, tracking, the loop, figures at the end."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from rl_gen_lab.cli.errors import CheckpointError, ConfigError, SaveError
from rl_gen_lab.cli.values import to_dict, to_flat_dict
from rl_gen_lab.compute import devices
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.data import shipped
from rl_gen_lab.data.dataset import Dataset
from rl_gen_lab.distributed import data_parallel
from rl_gen_lab.distributed.follower import scratch_folder, silent
from rl_gen_lab.distributed.group import Group, joined
from rl_gen_lab.distributed.pipeline import Stages
from rl_gen_lab.distributed.ranks import Ranks, share_of
from rl_gen_lab.distributed.spatial import Rows
from rl_gen_lab.distributed.tensor_parallel import Units
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.ending import finished_result, removed_if_refused, say_nothing_left
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import Needed, NotNegative, misfit
from rl_gen_lab.tracking.tracker import Tracker
from rl_gen_lab.training.checkpoint import check_identity
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.loop import Loop
from rl_gen_lab.training.memory_check import check_backbone_memory, check_training_memory
from rl_gen_lab.training.pretrained import backbone_of, freeze, init_backbone
from rl_gen_lab.training.task import Kept, Part, Task, TrainingData
from rl_gen_lab.training.tasks import draw_predictions, load_data, make_task
from rl_gen_lab.vision.segmentation.networks import UNet

FIGURES = 4  # of validation images, drawn at the end
CHECKPOINT = Needed({"wall_seconds": NotNegative, "identity": {...: str}})  # schema of what is read before the rest


def train(config: Config) -> dict[str, Any]:
    """Train as configured and return the content of result.json. Raises: UserError."""
    ranks = Ranks.of()
    with silent(ranks):
        if (ended := _ended(config)) is not None:
            return ended
        device = devices.setup(config.device, ranks.local_rank)
        with (
            joined(ranks, config.rank_timeout_seconds, cuda=device.type == "cuda") as group,
            ExitStack() as held,
        ):  # the run's lock
            return _train(config, device, group, held)


def _train(config: Config, device: torch.device, group: Group, held: ExitStack) -> dict[str, Any]:
    leads = group.ranks.leads
    if group.size == 1 and config.resume is None and (config.fsdp or config.parallel != "data"):
        raise ConfigError(
            "--fsdp and --parallel are for several processes: start with torchrun --nproc-per-node 2 -m ..."
        )
    if config.parallel == "data":
        share_of(config.batch_size, group.ranks, "--batch-size")
    if config.resume is not None and leads:
        held.enter_context(RunFolder.open(config.resume).lock())
    if config.data is None:
        raise ConfigError("--data is missing: name a folder, --data FOLDER (python -m envs.scenes writes one)")
    data = load_data(config)
    identity = {"task": config.task, "data": data.digest()}
    pixels = data.pixels_digest()
    group.refuse_different("data", f"{identity} {pixels}")
    group.refuse_different("a commit", provenance.git_commit())
    if isinstance(data, Dataset):
        data = data.with_share(config.label_share)
    checkpoint = None if config.resume is None else _read_checkpoint(config, identity, pixels)
    torch.manual_seed(Generators(config.seed).integer("torch"))
    check_backbone_memory(config, data.shape, device)
    task = make_task(config, data, device)  # before the run folder: it may refuse the data
    if config.init_backbone is not None:
        backbone = backbone_of(task.network)
        if config.resume is None:
            init_backbone(backbone, config.init_backbone)
        if config.init_frozen:
            freeze(backbone)
    check_training_memory(config, task.network, data.shape, device)
    parallel = shared(config, task, group, device)
    if not (leads or (parallel is not None and parallel.one_stream)):
        torch.manual_seed(Generators(config.seed).integer("torch", group.ranks.rank))  # noise of its own
    algo = f"{config.task}_{to_dict(config)[config.task]['model']}"
    name = shipped.name_of(config.data) if shipped.is_shipped(config.data) else config.data.resolve().name
    resumed = None if config.resume is None else RunFolder.open(config.resume)
    if not leads:
        run = held.enter_context(scratch_folder(algo, name, config.seed, resumed))
        config = replace(config, wandb=replace(config.wandb, mode="disabled"))
    elif resumed is None:
        run = RunFolder.create(config.runs_dir, algo, name, config.seed)
        held.enter_context(run.lock())
        run.write_config(
            describe(config, algo, name, identity, data, task) | {"pixels": pixels} | group.ranks.described()
        )
        if isinstance(task, Kept):
            task.keep(run.path)
    else:
        run = resumed
    wall_offset = 0.0 if checkpoint is None else float(checkpoint["wall_seconds"])
    loop = Loop(
        f"{algo} {name}",
        config,
        task,
        data.splits,
        device,
        run,
        Tracker(run, "", wall_offset),
        identity,
        group,
        parallel,
    )
    if checkpoint is not None:
        loop.load(checkpoint)  # before anything is written
    with removed_if_refused(run, new=checkpoint is None):
        loop.tracker = Tracker.start(
            run,
            config.wandb,
            algo=algo,
            env_id=name,
            seed=config.seed,
            flat_config=to_flat_dict(config),
            fingerprint_hash=identity["data"],
            wall_offset=wall_offset,
        )
    with loop:
        _print_summary(loop, config, data)
        result = loop.run()
        with loop.parallel.whole():
            if result and leads:
                _show_predictions(loop, data.splits["val"])
        return result


def _show_predictions(loop: Loop, split: Part) -> None:
    """Draw predictions of the end, and say where; a full disk costs them, not the run."""
    run = loop.run_folder
    try:
        with save_errors(run.path / "pictures"):
            for file, sentence in draw_predictions(loop.task, split, FIGURES, run):
                loop.tracker.image(f"pictures/{file.stem}", file, loop.updates)
                loop.display.say(f"{run.shown(file)}: {sentence}" if sentence else run.shown(file))
    except SaveError as error:
        loop.display.say(f"no pictures of predictions: {error}")


def shared(config: Config, task: Task, group: Group, device: torch.device) -> data_parallel.DataParallel | None:
    """Return how several processes share the work; None for the usual way, and for one process. Raises: ConfigError."""
    if group.size == 1:
        return None
    if isinstance(task.network, UNet) and config.parallel == "spatial":
        return Rows(group, task.network, task.loss, task.network.backbone.feature_maps[-1].stride)
    if config.parallel == "tensor":
        return Units(group, task.network, task.loss, device)
    if config.parallel == "pipeline":
        return Stages(group, task.network, task, config.pipeline_parts, device)
    return data_parallel.Shards(group, task.network, task.loss, device) if config.fsdp else None


def _ended(config: Config) -> dict[str, Any] | None:
    """Return the result of the run to resume if it has ended, and say so. Raises: CheckpointError for more minutes."""
    run = None if config.resume is None else RunFolder.open(config.resume)
    if run is None or (result := finished_result(run)) is None:
        return None
    if config.total_minutes != run.read_config("config")["config"].get("total_minutes"):
        raise CheckpointError(f"{run} has ended, and its test images were measured; start a new run")
    say_nothing_left(run, f"{result.get('epochs')} epochs are done and the test images measured", "start a new run")
    return result


def _read_checkpoint(config: Config, identity: dict[str, str], pixels: str) -> dict[str, Any]:
    assert config.resume is not None
    run = RunFolder.open(config.resume)
    checkpoint = load_state(run.checkpoints / "latest")
    if wrong := misfit(checkpoint, CHECKPOINT):
        raise CheckpointError(f"{run.shown(run.checkpoints / 'latest')} is damaged: {wrong}")
    check_identity(checkpoint, identity, run)
    if run.read_config().get("pixels", pixels) != pixels:  # older runs did not keep it
        raise CheckpointError(f"{run} was trained on other images than {config.data} holds now")
    return checkpoint


def _print_summary(loop: Loop, config: Config, data: TrainingData) -> None:
    sizes = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    weights = sum(weight.numel() for weight in loop.task.network.parameters())
    loop.display.say(f"{config.data} ({loop.identity['data']}): {sizes}; {weights:,} weights to learn")
    for sentence in (*data.describe(), *getattr(loop.task, "notes", ())):
        loop.display.say(sentence)
    if loop.group.size == 1 and (config.fsdp or config.parallel != "data"):
        loop.display.say(
            "several processes shared this run; it goes on in one, where --parallel and --fsdp divide nothing"
        )
    loop.display.say(f"run folder {loop.run_folder}")
    loop.tracker.print_dashboard_hint()


def describe(
    config: Config, algo: str, name: str, identity: dict[str, str], data: TrainingData, task: Task
) -> dict[str, Any]:
    """Return config.json: the resolved configuration and everything else needed to judge or repeat the run."""
    return {
        "config": to_dict(config),
        "env_id": name,
        "exp_name": algo,
        "seed": config.seed,
        "data": identity["data"],
        "goal": task.target_metric,
        **data.metadata,
        **getattr(task, "run_metadata", {}),
        **provenance.of_run("rl_gen_lab.train"),
    }
