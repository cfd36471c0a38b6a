"""Headers changed in one place, each value of them to others of all types and sizes; a program that reads them all.

    python tests/packed_mutations.py 1 unet 1 captioner 5 squeezenet

A number before a name: take each so many-th mutation only. It prints a line for each outcome that is neither an error
of one line nor a model, and how many files were read.
"""

from __future__ import annotations

import copy
import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

LONG, DEEP = "x" * 5_000, [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]
VALUES: list[Any] = [None, True, -1, 0, 1, 3, 2.5, 10**9, 10**20, "", "x", LONG, "a\nb", [], {}, [1, 2], {"a": 1}, DEEP]
BACKBONES = ["8x8s4-99999", "9999x9s1-9999x9s1-99999", "1x1s1-1", "densenet", "mlp", "auto"]
MEMORY_BYTES = 6 << 30  # of addresses, of which torch takes most by itself
SLOW_SECONDS = 6.0


def mutations(header: dict[str, Any], every: int = 1) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield changed headers with what was changed. every: take each so many-th of them only."""
    found = itertools.chain.from_iterable(_changes(header, place) for place in _places(header))
    for where, change in itertools.islice(found, every // 2, None, every):
        yield where, change()


def _changes(header: dict[str, Any], place: tuple[Any, ...]) -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    where, old = ".".join(map(str, place)), _at(header, place)
    others = [*VALUES, *(BACKBONES if place[-1] == "backbone" else ())]
    if isinstance(old, list | str):
        others += [old * 2, old[:-1]]
    if type(old) in (int, float):
        others += [old + 1, -old, old * 1_000, str(old)]
    if isinstance(old, dict):
        others += [old | {"more": 1}, old | {LONG: "x"}]
    for value in others:
        yield f"{where} = {str(value)[:40]!r}", partial(_with, header, place, value)
    yield f"no {where}", partial(_without, header, place)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if place:
        yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _places(part, (*place, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _with(header: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(header)
    _at(changed, place[:-1])[place[-1]] = value
    return changed


def _without(header: dict[str, Any], place: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(header)
    del _at(changed, place[:-1])[place[-1]]
    return changed


def outcome(read: Callable[[], object]) -> str:
    """Return "" for a model that is read or an error of one line, else what is wrong."""
    from rl_gen_lab.cli.errors import CheckpointError, ConfigError

    began = time.process_time()
    try:
        read()
        said = ""
    except (CheckpointError, ConfigError) as error:
        said = str(error)
        if "\n" in said or len(said) > 1_500:
            return f"no short line: {said[:200]!r} ({len(said):,})"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    seconds = time.process_time() - began
    return f"{seconds:.1f} s: {said[:200]}" if seconds > SLOW_SECONDS else ""


def readers(file: Path, is_policy: bool) -> dict[str, Callable[[], object]]:
    """What commands do with a packed file, by name."""
    from agents.compression.policy_file import PackedPolicy
    from agents.perception.detectors import load_detector
    from agents.training.pretrained import read_backbone
    from rl_gen_lab.pack import explain
    from rl_gen_lab.training.load import load_task
    from rl_gen_lab.training.tasks import TASKS

    found: dict[str, Callable[[], object]] = {"pack --explain": lambda: explain(file)}
    found["--init-backbone"] = lambda: read_backbone(file)
    if is_policy:
        return found | {"agents.play": lambda: PackedPolicy.read(file)}
    observe = {
        f"--observe {model}": lambda model=model: load_detector(model, str(file)) for model in ("detector", "segment")
    }
    return found | {"rl_gen_lab.look": lambda: load_task(file, *TASKS)} | observe


def main(samples: list[tuple[int, str]]) -> None:
    """Read the mutations of some models and policies in little memory, and print what went wrong."""
    import packed_models

    from rl_gen_lab.cli.errors import ConfigError
    from rl_gen_lab.compression.packed_file import write

    file = Path(tempfile.mkdtemp()) / "model.rlz"
    count = 0
    for every, name in samples:
        is_policy = name not in packed_models.MODELS
        header, tensors, named = (
            packed_models.policy_parts(name) if is_policy else (*packed_models.model_parts(name), True)
        )
        file.write_bytes(write(header, tensors, named=named))
        reads = readers(file, is_policy)
        for command, read in reads.items():  # all is imported
            if wrong := outcome(read):
                print(f"{name}: {command}: {wrong}", flush=True)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.RLIM_INFINITY))
        for what, changed in mutations(header, every):
            try:
                file.write_bytes(write(changed, tensors, named=named))
            except (ConfigError, ValueError, OverflowError):
                continue  # no file says so
            for command, read in reads.items():
                count += 1
                if wrong := outcome(read):
                    print(f"{name}: {command}: {what}: {wrong}", flush=True)
    print(f"{count:,} readings")


if __name__ == "__main__":
    words = sys.argv[1:]
    main([(int(every), name) for every, name in zip(words[::2], words[1::2], strict=True)])
