"""The dataset folder on disk: one file for each episode while it is recorded, COCO files once it is complete."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.dataset import coco
from envs.fingerprint import Fingerprint
from envs.ground_truth.captions import PHRASINGS
from envs.ground_truth.objects import Game, Scene

fcntl: Any = importlib.import_module("fcntl") if os.name == "posix" else None
FORMAT = 1
SPLITS = ("train", "val", "test")
CONTENTS = ("instances", "captions", "slots")  # of the files in annotations/
MOST_BYTES = 2**30  # of a file that is read whole
EpisodePart = dict[str, Any]  # frames: list of records, rejected: reason -> count, tries: number of inspected frames


class FolderError(ValueError):
    """The folder is damaged, or holds no dataset of these settings; the message says which."""


def split_of(episode: int) -> str:
    """Return the split of an episode: of ten, the ninth is for validation and the tenth for the test."""
    return {8: "val", 9: "test"}.get(episode % 10, "train")


def image_file(path: Path, frame: int, suffix: str = "") -> Path:
    """Return the file of a frame."""
    return path / "images" / f"{frame:06d}{suffix}.png"


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Make the folder, and keep other commands from writing there by a lock of the system, which dies with its process.

    Raises: FolderError for a file, or a folder that another command writes.
    """
    if path.exists() and not path.is_dir():
        raise FolderError(f"{path} is a file, not a folder; choose another --out")
    path.mkdir(parents=True, exist_ok=True)
    if fcntl is None:  # Windows locks no folders
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(
                f"{path} is being written by another command: wait for it, or choose another --out"
            ) from None
        yield
    finally:
        os.close(descriptor)


def begin(path: Path, settings: dict[str, Any]) -> bool:
    """Begin in an empty folder, or go on in one of the same settings. Returns whether it is complete.

    Raises: FolderError.
    """
    parts, summary = path / "parts", path / "dataset.json"
    wanted = json.loads(_text(settings))
    complete = read_summary(path) if summary.is_file() else None
    begun = _read(parts / "settings.json") if (parts / "settings.json").is_file() else None
    for recorded in [found for found in (complete and complete["settings"], begun) if found is not None]:
        changed = sorted(key for key in recorded.keys() | wanted.keys() if recorded.get(key) != wanted.get(key))
        if changed:
            raise FolderError(f"{path} holds a dataset of other settings ({', '.join(changed)}); choose another --out")
    if complete is None and begun is None and path.exists() and any(path.iterdir()):
        raise FolderError(f"{path} is not empty and holds no dataset of this program; choose another --out")
    if complete is not None and _is_complete(path, complete):
        shutil.rmtree(parts, ignore_errors=True)  # left by a command that was stopped before its last deletion
        return True
    parts.mkdir(parents=True, exist_ok=True)
    (path / "images").mkdir(exist_ok=True)
    if begun is None:
        _write(parts / "settings.json", wanted)
    return False


def read_summary(path: Path) -> dict[str, Any]:
    """Read dataset.json of a complete folder. Raises: FolderError, naming what of it is damaged."""
    summary = _read(path / "dataset.json")
    for name, kind in {"settings": dict, "splits": dict, "rejected": dict, "episodes": list, "frames": int}.items():
        value = summary.get(name)
        counts = list(value.values()) if name in ("splits", "rejected") and isinstance(value, dict) else []
        if type(value) is not kind or any(type(count) is not int for count in counts):
            raise FolderError(f"{path / 'dataset.json'} is damaged: '{name}' is not what this program writes")
    return summary


def _is_complete(path: Path, summary: dict[str, Any]) -> bool:
    """Return whether all files of a finished folder are still there."""
    settings = summary["settings"]
    suffixes = ("", "_before") if settings["history"] else ("",)
    images = [image_file(path, frame, suffix) for frame in range(settings["frames"]) for suffix in suffixes]
    labels = [path / "annotations" / f"{content}_{split}.json" for content in CONTENTS for split in SPLITS]
    kept = [path / "grammar.json"]
    if settings.get("transitions"):
        kept += [path / "transitions" / f"{episode:05d}.npz" for episode in range(len(summary["episodes"]))]
    return all(file.is_file() for file in [*images, *labels, *kept])


def read_part(path: Path, episode: int) -> EpisodePart | None:
    """Read an episode recorded before; None if there is none. Raises: FolderError."""
    file = path / "parts" / f"{episode:05d}.json"
    if not file.is_file():
        return None
    content = _read(file)
    part: EpisodePart = content.get("part", {})
    if content.get("sha256") != _digest(part):
        raise FolderError(f"{file} is damaged: delete it, and the episode is recorded anew")
    return part


def write_part(path: Path, episode: int, part: EpisodePart) -> None:
    """Write an episode, whose images are on disk already."""
    _write(path / "parts" / f"{episode:05d}.json", {"sha256": _digest(part), "part": part})


def frame_record(
    frame: int,
    size: tuple[int, ...],
    game: Game,
    scene: Scene,
    facts: dict[str, str],
    captions: list[str],
    intervened: bool,
) -> dict[str, Any]:
    """Return the record of a frame; annotation ids are assigned when the folder is complete."""
    height, width = size
    annotations = [
        coco.annotation(0, frame, game.categories.index(obj.category) + 1, obj, (height, width))
        for obj in scene.objects
    ]
    slots = {name: None if np.isnan(value) else value for name, value in scene.slots.items()}
    return {
        "image": {"id": frame, "file_name": f"{frame:06d}.png", "width": width, "height": height},
        "annotations": annotations,
        "captions": captions,
        "slots": {"image_id": frame, "slots": slots, "event": scene.event, "facts": facts, "intervened": intervened},
    }


def finish(path: Path, game: Game, task: Fingerprint, settings: dict[str, Any], parts: list[EpisodePart]) -> None:
    """Write the COCO files and dataset.json, and delete the parts."""
    frames: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    rejected: Counter[str] = Counter()
    episodes = []
    for episode, part in enumerate(parts):
        frames[split_of(episode)] += [
            frame | {"image": frame["image"] | {"episode": episode}} for frame in part["frames"]
        ]
        rejected.update(part["rejected"])
        episodes.append({"split": split_of(episode), "frames": len(part["frames"]), "tries": part["tries"]})
    categories = [{"id": i, "name": name, "supercategory": "object"} for i, name in enumerate(game.categories, 1)]
    for split, records in frames.items():
        for content, file in _coco_files(f"{task.text}, {split}", categories, records).items():
            _write(path / "annotations" / f"{content}_{split}.json", file)
    phrases = game.all_phrases if settings["history"] else dict(game.phrases)
    _write(path / "grammar.json", {"phrasings": PHRASINGS, "phrases": phrases})
    summary: dict[str, Any] = {
        "format": FORMAT,
        "task": {"text": task.text, "hash": task.hash, "fields": task.fields},
        "settings": settings,
        "categories": list(game.categories),
        "ranges": game.ranges,
        "frames": sum(len(records) for records in frames.values()),
        "splits": {split: len(records) for split, records in frames.items()},
        "episodes": episodes,
        "rejected": dict(sorted(rejected.items())),
    }
    _write(path / "dataset.json", summary)
    shutil.rmtree(path / "parts")


def _coco_files(
    description: str, categories: list[dict[str, Any]], records: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return the contents of the annotation files of a split."""
    images = [record["image"] for record in records]
    objects = [annotation for record in records for annotation in record["annotations"]]
    captions = [{"image_id": r["image"]["id"], "caption": caption} for r in records for caption in r["captions"]]
    info = {"description": description}
    return {
        "instances": {"info": info, "images": images, "categories": categories, "annotations": _numbered(objects)},
        "captions": {"info": info, "images": images, "annotations": _numbered(captions)},
        "slots": {"info": info, "images": images, "annotations": [record["slots"] for record in records]},
    }


def png_bytes(image: np.ndarray) -> int:
    """Return the size of an image as a PNG file [bytes]."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return len(stream.getvalue())


def _numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record | {"id": number} for number, record in enumerate(records, 1)]


def _text(value: Any) -> str:
    return json.dumps(value, default=str, separators=(",", ":")) + "\n"


def _digest(value: Any) -> str:
    return hashlib.sha256(_text(value).encode()).hexdigest()


def _read(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises: FolderError, naming a damaged file."""
    if file.stat().st_size > MOST_BYTES:
        raise FolderError(f"{file} is damaged: it has more than {MOST_BYTES:,} bytes")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except RecursionError:
        raise FolderError(f"{file} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise FolderError(f"{file} is damaged or was cut short: {error}") from error
    if not isinstance(content, dict):
        raise FolderError(f"{file} is damaged: it does not hold a JSON object")
    return content


def _write(file: Path, value: Any) -> None:
    """Write a JSON file atomically."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.write_text(_text(value), encoding="utf-8")
    os.replace(new, file)


def save_image(image: np.ndarray, file: Path) -> None:
    """Write an image (H, W, 3) uint8, in place of a link or a second name too, which may lead out of the folder."""
    if file.is_symlink() or (file.exists() and file.stat().st_nlink > 1):
        file.unlink()
    Image.fromarray(image).save(file)
