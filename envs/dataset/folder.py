"""The dataset folder on disk: one part an episode while it grows, COCO files when it is whole."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.dataset import coco
from envs.fingerprint import Fingerprint
from envs.ground_truth.captions import PHRASINGS
from envs.ground_truth.objects import Game, Scene

FORMAT = 1
SPLITS = ("train", "val", "test")
KINDS = ("instances", "captions", "slots")  # of files in annotations/
Part = dict[str, Any]  # frames: list of records, rejected: reason -> count, tries: frames looked at


class FolderError(ValueError):
    """A folder that is no dataset of these settings, or a damaged one; the message says which."""


def split_of(episode: int) -> str:
    """Of ten episodes, the ninth is for validation and the tenth for the test."""
    return {8: "val", 9: "test"}.get(episode % 10, "train")


def image_file(path: Path, number: int, suffix: str = "") -> Path:
    """Where a frame lies."""
    return path / "images" / f"{number:06d}{suffix}.png"


def begin(path: Path, settings: dict[str, Any]) -> bool:
    """Make the folder, or find it as these settings made it: True if it is whole already. Raises: FolderError."""
    if path.exists() and not path.is_dir():
        raise FolderError(f"{path} is a file, no folder; choose another --out")
    parts, about = path / "parts", path / "dataset.json"
    mine = json.loads(_text(settings))
    for file in (about, parts / "settings.json"):
        if file.is_file():
            content = _read(file)
            there = content.get("settings", {}) if file == about else content
            changed = sorted(key for key in there.keys() | mine.keys() if there.get(key) != mine.get(key))
            if changed:
                raise FolderError(
                    f"{path} holds a dataset of other settings ({', '.join(changed)}); choose another --out"
                )
            break
    else:
        if path.exists() and any(path.iterdir()):
            raise FolderError(f"{path} is not empty and no dataset of this program; choose another --out")
    if about.is_file() and _whole(path, mine):
        shutil.rmtree(parts, ignore_errors=True)  # of a command that was stopped after its last file but this
        return True
    parts.mkdir(parents=True, exist_ok=True)
    (path / "images").mkdir(exist_ok=True)
    _write(parts / "settings.json", mine)
    return False


def _whole(path: Path, settings: dict[str, Any]) -> bool:
    """Whether no file of a finished folder was lost."""
    suffixes = ("", "_before") if settings["history"] else ("",)
    images = [image_file(path, number, suffix) for number in range(settings["frames"]) for suffix in suffixes]
    labels = [path / "annotations" / f"{kind}_{split}.json" for kind in KINDS for split in SPLITS]
    return all(file.is_file() for file in [*images, *labels, path / "grammar.json"])


def read_part(path: Path, episode: int) -> Part | None:
    """An episode recorded before, or None."""
    file = path / "parts" / f"{episode:05d}.json"
    if not file.is_file():
        return None
    return _read(file)


def write_part(path: Path, episode: int, part: Part) -> None:
    """Keep an episode; its images are on disk already."""
    _write(path / "parts" / f"{episode:05d}.json", part)


def frame_record(
    number: int,
    size: tuple[int, ...],
    game: Game,
    scene: Scene,
    facts: dict[str, str],
    captions: list[str],
    intervened: bool,
) -> dict[str, Any]:
    """Everything known of a frame but its place in the split; annotation ids are given when the folder is whole."""
    height, width = size
    things = [
        coco.annotation(0, number, game.categories.index(thing.category) + 1, thing, (height, width))
        for thing in scene.objects
    ]
    slots = {name: None if np.isnan(value) else value for name, value in scene.slots.items()}
    return {
        "image": {"id": number, "file_name": f"{number:06d}.png", "width": width, "height": height},
        "annotations": things,
        "captions": captions,
        "slots": {"image_id": number, "slots": slots, "event": scene.event, "facts": facts, "intervened": intervened},
    }


def finish(path: Path, game: Game, task: Fingerprint, settings: dict[str, Any], parts: list[Part]) -> None:
    """Write the COCO files and dataset.json, and drop the parts."""
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
    for split, chosen in frames.items():
        images = [frame["image"] for frame in chosen]
        things = [thing for frame in chosen for thing in frame["annotations"]]
        said = [{"image_id": f["image"]["id"], "caption": caption} for f in chosen for caption in f["captions"]]
        about = {"description": f"{task.text}, {split}"}
        files = {
            "instances": {"info": about, "images": images, "categories": categories, "annotations": _numbered(things)},
            "captions": {"info": about, "images": images, "annotations": _numbered(said)},
            "slots": {"info": about, "images": images, "annotations": [frame["slots"] for frame in chosen]},
        }
        for kind, content in files.items():
            _write(path / "annotations" / f"{kind}_{split}.json", content)
    told = dict(game.phrases) | (dict(game.history) if settings["history"] else {})
    _write(path / "grammar.json", {"phrasings": PHRASINGS, "phrases": told})
    summary: dict[str, Any] = {
        "format": FORMAT,
        "task": {"text": task.text, "hash": task.hash, "fields": task.fields},
        "settings": settings,
        "categories": list(game.categories),
        "ranges": game.ranges,
        "frames": sum(len(chosen) for chosen in frames.values()),
        "splits": {split: len(chosen) for split, chosen in frames.items()},
        "episodes": episodes,
        "rejected": dict(sorted(rejected.items())),
    }
    _write(path / "dataset.json", summary)
    shutil.rmtree(path / "parts")


def png_bytes(picture: np.ndarray) -> int:
    """Size of a picture as a file."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return len(stream.getvalue())


def _numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record | {"id": number} for number, record in enumerate(records, 1)]


def _text(value: Any) -> str:
    return json.dumps(value, default=str, separators=(",", ":")) + "\n"


def _read(file: Path) -> dict[str, Any]:
    """A JSON object. Raises FolderError naming a file that is damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FolderError(f"{file} is damaged or was cut short: {error}") from error
    if not isinstance(content, dict):
        raise FolderError(f"{file} is damaged: it does not hold a JSON object")
    return content


def _write(file: Path, value: Any) -> None:
    """Whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(file.name + ".new")
    new.write_text(_text(value), encoding="utf-8")
    os.replace(new, file)
