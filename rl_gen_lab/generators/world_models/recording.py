"""Recorded play as training data of a model of a world."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rl_gen_lab.data.records import DataError
from rl_gen_lab.data.transitions import Episode, Transitions, load_transitions
from rl_gen_lab.generators.palette import MAX_COLORS
from rl_gen_lab.generators.world_models.interfaces import World
from rl_gen_lab.generators.world_models.sequences import SequenceSplit

COMMON = 0.001  # share of the training frames that must show a color for it to have a number of its own
MAX_REWARDS = 256  # different rewards of a step
STRIDE = 7  # every so many training frames count in the statistics of the colors
TITLE_SHARE = 0.5  # of a frame's pixels in rare colors, from which on it is no frame of the game under way
CHUNK = 64  # frames at a time
NEVER_SEEN = 0.1  # counts of a color that a pixel never has


@dataclass(frozen=True)
class Recording:
    """Windows of play by split, and the world that was played.

    frequencies: (K + 1, H, W) float32, shares of the training frames in which each pixel has each color, the last: any
    other color.
    """

    path: Path
    world: World
    splits: dict[str, SequenceSplit]
    frequencies: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a frame as a picture."""
        return (3, *self.world.size)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is kept with a run."""
        steps = {name: sum(map(len, split.episodes)) for name, split in self.splits.items()}
        return {"world": self.world.metadata(), "steps": steps, "image_size": list(self.world.size)}

    def describe(self) -> list[str]:
        """Return sentences about it."""
        rewards = ", ".join(f"{reward:g}" for reward in self.world.rewards.tolist())
        sizes = ", ".join(f"{sum(map(len, split.episodes)):,} {name}" for name, split in self.splits.items())
        return [f"steps: {sizes}; {len(self.world.colors)} colors, {self.world.num_actions} actions, rewards {rewards}"]

    def refuse_short(self, split: str) -> None:
        """Raise DataError for a split without a window."""
        if not len(self.splits[split]):
            raise DataError(
                f"{self.path}: no episode of {split} has {self.splits[split].steps} steps: record more frames, or use"
                " shorter windows"
            )

    def digest(self) -> str:
        """Hash what the folder says of itself and the sizes of its files: 12 hex digits."""
        hashed = hashlib.sha256((self.path / "dataset.json").read_bytes())
        for file in sorted((self.path / "transitions").glob("*.npz")):
            hashed.update(f"{file.name} {file.stat().st_size}\n".encode())
        return hashed.hexdigest()[:12]

    def pixels_digest(self) -> str:
        """Hash every frame and action: 12 hex digits."""
        hashed = hashlib.sha256()
        for name, split in sorted(self.splits.items()):
            for episode in split.episodes:
                hashed.update(name.encode() + episode.frames.numpy().tobytes() + episode.executed.numpy().tobytes())
        return hashed.hexdigest()[:12]


def load(path: Path, context: int, steps: int, known: World | None = None) -> Recording:
    """Read a folder that was recorded with --transitions.

    known: the world of a trained model, whose numbers of colors are used. Raises: DataError, also for another world.
    """
    data = load_transitions(path)
    train = data.splits["train"]
    if known is not None:
        _refuse_other(data, known)
        return _recording(data, context, steps, known, _numbers_in(known.colors, data.colors))
    common = _common_colors(train, data.colors)
    if len(common) > MAX_COLORS:
        raise DataError(f"{path}: frames have {len(common)} colors, a model of a world has at most {MAX_COLORS}")
    numbers = _numbers_in(data.colors[common], data.colors)
    rewards = torch.cat([episode.rewards for episode in train]).unique()
    if len(rewards) > MAX_REWARDS:
        raise DataError(f"{path}: steps have {len(rewards)} different rewards, at most {MAX_REWARDS} can be learned")
    found = _recording(data, context, steps, _world(data, train, data.colors[common], rewards), numbers)
    for name in found.splits:
        found.refuse_short(name)
    return found


def _recording(data: Transitions, context: int, steps: int, world: World, numbers: Tensor) -> Recording:
    """Cut episodes into windows. numbers: (N,) uint8, of each color of the folder in the world."""
    other = len(world.colors)
    splits = {
        name: SequenceSplit(name, [_trimmed(e, numbers[e.frames.int()], other) for e in part], context, steps)
        for name, part in data.splits.items()
    }
    return Recording(data.path, world, splits, _frequencies(splits["train"], other + 1, world.size))


def _refuse_other(data: Transitions, known: World) -> None:
    """Raise DataError where a folder is of another world than a model's."""
    episode = data.splits["train"][0]
    size, skip = tuple(episode.frames.shape[1:]), episode.executed.shape[1]
    if size != known.size or data.num_actions != known.num_actions or skip != known.frame_skip:
        raise DataError(f"{data.path} was recorded in another world ({data.task}) than the model's ({known.task})")
    game, own = (task.partition(" ")[0] for task in (data.task, known.task))
    if game != own:
        raise DataError(f"{data.path} is a recording of {game}, the model was trained on {own}")


def _numbers_in(colors: Tensor, others: Tensor) -> Tensor:
    """Return the number of each of other colors (N, 3) among colors (K, 3), K for those without, (N,) uint8."""
    same = (others[:, None] == colors[None]).all(2)
    return torch.where(same.any(1), same.int().argmax(1), len(colors)).to(torch.uint8)


def _world(data: Transitions, train: tuple[Episode, ...], colors: Tensor, rewards: Tensor) -> World:
    """Describe the world of a folder."""
    height, width = train[0].frames.shape[1:]
    frame_skip = max(episode.executed.shape[1] for episode in train)
    return World((height, width), colors, data.task, data.task_hash, data.num_actions, frame_skip, rewards)


def _common_colors(train: tuple[Episode, ...], colors: Tensor) -> list[int]:
    """Return the numbers of the colors that more than a few frames show, in the order of a palette."""
    shown, frames = torch.zeros(len(colors)), 0
    for episode in train:
        for frame in episode.frames[STRIDE // 2 :: STRIDE]:  # not the first: it may be a title screen
            shown += torch.bincount(frame.flatten(), minlength=len(colors)) > 0
            frames += 1
    common = [number for number in range(len(colors)) if shown[number] >= COMMON * frames]
    return sorted(common, key=lambda number: colors[number].tolist())


def _trimmed(episode: Episode, frames: Tensor, other: int) -> Episode:
    """Return an episode with numbers of common colors, without first frames in the colors of a title screen."""
    alien = ((frames == other).flatten(1).float().mean(1) > TITLE_SHARE).tolist()
    first = next((t for t, is_alien in enumerate(alien) if not is_alien), 0)
    later = {name: getattr(episode, name)[first:] for name in ("actions", "executed", "rewards", "terminated")}
    later |= {name: getattr(episode, name)[first:] for name in ("truncated", "images", "slots")}
    return replace(episode, frames=frames[first:], **later)


def _frequencies(train: SequenceSplit, colors: int, size: tuple[int, int]) -> Tensor:
    """Return the shares of the frames in which each pixel has each color, (colors, H, W)."""
    if not train.episodes:
        return torch.full((colors, *size), 1 / colors)
    counts = torch.zeros(colors, *size)
    for episode in train.episodes:
        for chunk in episode.frames[::STRIDE].split(CHUNK):
            for color in range(colors):
                counts[color] += (chunk == color).sum(0)
    return (counts + NEVER_SEEN) / (counts + NEVER_SEEN).sum(0)
