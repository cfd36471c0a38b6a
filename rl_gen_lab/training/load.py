"""A trained vision model from its run folder or a packed file, without the images that it was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.cli.saved import from_saved
from rl_gen_lab.compression import packed_file, stages
from rl_gen_lab.compression.bounded import bounded
from rl_gen_lab.compression.packed_file import Packed
from rl_gen_lab.data.dataset import Dataset, ObjectSizes, Split
from rl_gen_lab.data.labels import SPLITS, ImageAnnotation, ObjectAnnotation
from rl_gen_lab.data.vocabulary import MAX_WORDS, SPECIAL
from rl_gen_lab.generators.world_models import starts
from rl_gen_lab.generators.world_models.interfaces import World, WorldModel, world_of
from rl_gen_lab.generators.world_models.latents import LatentDream
from rl_gen_lab.generators.world_models.pixels import PixelDream
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.reading import first_line, misfit, printable
from rl_gen_lab.runs.schemas import CONFIG
from rl_gen_lab.runs.weights import load_network, tensors_digest
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.packed_run import check_run
from rl_gen_lab.training.task import Task
from rl_gen_lab.training.tasks import TASKS

Made = TypeVar("Made")
PACKED = ".rlz"  # suffix of packed files
MOST_PIXELS = 2**24  # of an image


def task_of(run: RunFolder) -> str:
    """Return the task of a run, e.g. "detect"; "" for a run of something else. Raises: CheckpointError."""
    return str(run.read_config().get("config", {}).get("task", ""))


@contextmanager
def folder_of(path: Path) -> Iterator[RunFolder]:
    """Give the folder for what a command finds out about a model: its run's, locked, or one named after a packed file.

    Raises: FolderBusyError, SaveError, CheckpointError.
    """
    if path.suffix == PACKED:
        yield RunFolder(path.with_suffix(""))
        return
    run = RunFolder.open(path)
    with run.lock():
        yield run


def read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what is kept with a model beside its weights, and its best weights: of a run folder or a packed file.

    Raises: CheckpointError.
    """
    if path.suffix == PACKED:
        with packed_file.opened(path) as data:
            if "network" in packed_file.read_header(data)[0]:
                raise CheckpointError(f"it holds a policy, no vision model: python -m agents.play {path} shows it")
            return unpack(packed_file.read(data))
    run = RunFolder.open(path)
    metadata = run.read_config("config")
    weights, _ = load_weights(run.checkpoints / "best.safetensors")
    return metadata, weights


def unpack(packed: Packed) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return what a packed file keeps beside its weights, and these. Raises: CheckpointError."""
    metadata = check_run(packed.header.get("run"), tuple(TASKS))
    return metadata, {name: torch.from_numpy(np.array(value)) for name, value in packed.values().items()}


def load_task(path: Path, *tasks: str) -> Task:
    """Load the best model of a run folder, or the model of a packed file, on the CPU. tasks: those allowed.

    Raises: CheckpointError for a folder or a file without such a model.
    """
    if path.suffix != PACKED:  # before its weights are looked for
        _check_task(path, RunFolder.open(path).read_config(), tasks)
        return task_from(path, *read_model(path), *tasks)
    metadata, weights = read_model(path)
    _check_task(path, metadata, tasks)
    try:
        with bounded():
            task = task_from(path, metadata, weights, *tasks)
            task.predict(torch.zeros(1, 3, *metadata["image_size"], dtype=torch.uint8))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {str(error).removeprefix(f'{path} ')}") from error
    return task


def task_from(
    path: Path, metadata: dict[str, Any], weights: dict[str, Tensor], *tasks: str, data: Dataset | None = None
) -> Task:
    """Make a task from what `read_model` returned. Raises: CheckpointError.

    path: named in messages. data: the images that it is to be evaluated on; none: it can predict only.
    """
    name = _check_task(path, metadata, tasks)
    height, width = metadata.get("image_size", (1, 1))
    if height * width > MOST_PIXELS:  # before a network is built for them
        raise CheckpointError(
            f"{path} says that its images are {width:,} x {height:,}: no network here reads so many pixels"
        )
    if name == "caption" and "vocabulary" not in metadata:
        raise CheckpointError(f"{path} was made before runs kept the captioner's vocabulary; train it again")
    if name == "detect" and "sizes" not in metadata:
        raise CheckpointError(f"{path} was made before runs kept the sizes of their objects; train it again")
    task = _task_of(path, metadata, name, data)

    def rebuild() -> None:
        for kind, plan in metadata.get("plans", []):
            stages.rebuild(kind, task.network, plan)

    built(path, rebuild)
    load_network(task.network, weights, str(path))
    task.network.eval().requires_grad_(False)
    return task


def _check_task(path: Path, metadata: dict[str, Any], tasks: tuple[str, ...]) -> str:
    config = metadata.get("config")
    name = str(config.get("task", "")) if isinstance(config, dict) else ""
    if name not in tasks:
        what = f"a run of {name or metadata.get('exp_name')!r}"
        raise CheckpointError(f"{path} is {what}, not of {' or '.join(map(repr, tasks))}")
    return name


def _task_of(path: Path, metadata: dict[str, Any], name: str, data: Dataset | None = None) -> Task:
    """Make a task with new weights from what is kept with a run. Raises: CheckpointError."""
    if wrong := misfit(metadata, CONFIG):  # a packed file holds it too
        raise CheckpointError(f"{path} is damaged: {wrong}")
    config = from_saved(Config, metadata["config"], str(path if path.suffix == PACKED else path / "config.json"))
    return built(path, lambda: TASKS[name](config, data or placeholder_dataset(path, metadata), torch.device("cpu")))


def built(path: Path, make: Callable[[], Made]) -> Made:
    """Return what is made of the settings of a run; whatever they are refused with is a CheckpointError."""
    try:
        return make()
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} does not fit this program: {printable(first_line(error))}") from error


@dataclass(frozen=True)
class Dream:
    """A trained model of a world. beginnings: true frames (N, C + T, H, W) uint8 and the actions (N, T, F) between.

    context: frames that the model looks at beside its memory; updates: of its training; digest: of its weights.
    """

    model: WorldModel
    context: int
    world: World
    beginnings: tuple[Tensor, Tensor]
    updates: int
    digest: str


def load_dream(path: Path) -> Dream:
    """Load the best model of a run of `rl_gen_lab.train dream`, on the CPU. Raises: CheckpointError."""
    run = RunFolder.open(path)
    if (name := task_of(run)) != "dream":
        raise CheckpointError(f"{path} is a run of {name or run.made_by()}, not of dream")
    metadata = run.read_config("config")
    config = from_saved(Config, metadata["config"], str(run.config_file))
    world = world_of(metadata.get("world"), str(run.config_file))
    model: PixelDream | LatentDream
    if config.dream.model == "pixels":
        weight = torch.ones(len(world.colors) + 1, *world.size)
        model = built(path, lambda: PixelDream(config.dream, world, weight))
    else:  # the run keeps what its generator is made of
        about = metadata.get("generator")
        if not isinstance(about, dict) or not isinstance(about.get("config"), dict):
            raise CheckpointError(f"{run.config_file} is damaged: it does not say what its generator is")
        network = _task_of(path, about, "generate").network
        model = built(path, lambda: LatentDream(config.dream, world, network))
    weights, _ = load_weights(run.checkpoints / "best.safetensors")
    load_network(model, weights, str(path))
    model.eval().requires_grad_(False)
    updates, digest = int(weights["updates"]), weights_digest(path)
    return Dream(cast(WorldModel, model), config.dream.context, world, starts.read(run.path), updates, digest)


def weights_digest(path: Path) -> str:
    """Hash the weights of the model in a run folder or a packed file: 12 hex digits. Raises: CheckpointError."""
    return tensors_digest(read_model(path)[1])


def placeholder_dataset(path: Path, metadata: dict[str, Any]) -> Dataset:
    """Return a dataset of a black image of the data's size, with its categories and its vocabulary.

    It is enough to build the network, whose weights, pixel statistics and anchors are then loaded. The image shows an
    object of each category, of the size of the image, for tasks that need one.
    """
    height, width = metadata["image_size"]
    categories, known = tuple(metadata["categories"]), metadata.get("vocabulary", [])[len(SPECIAL) :]
    whole_image = {"size": [height, width], "counts": [0, height * width]}
    grammar = metadata.get("grammar", {})
    label = ImageAnnotation(
        file=path,
        previous=None,
        height=height,
        width=width,
        episode=None,
        objects=tuple(ObjectAnnotation(i, i, (0, 0, width, height), whole_image) for i in range(len(categories))),
        captions=tuple(" ".join(known[i : i + MAX_WORDS]) for i in range(0, len(known), MAX_WORDS)),
        slots={},
        facts=dict.fromkeys(grammar, ""),
    )
    images = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    splits = {name: Split(name, images, (label,)) for name in SPLITS}
    sizes = ObjectSizes(*map(torch.tensor, metadata["sizes"].values())) if "sizes" in metadata else None
    colors = torch.tensor(metadata["colors"], dtype=torch.uint8) if "colors" in metadata else None
    return Dataset(path, categories, splits, torch.zeros(3), torch.ones(3), grammar, sizes=sizes, colors=colors)
