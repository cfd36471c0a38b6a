"""What `visualize` makes of a subject in a run folder: pictures, and the rows of result.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.explain.drawing import in_color, panels
from rl_gen_lab.explain.synthesis.config import SearchConfig
from rl_gen_lab.explain.synthesis.inversion import invert
from rl_gen_lab.explain.synthesis.maximization import distance, dream, maximize
from rl_gen_lab.explain.synthesis.subject import Subject, best_of, checked_units
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder

Rows = list[dict[str, Any]]
Strip = list[tuple[str, np.ndarray]]


def drawn(frame: Tensor, depth: int) -> np.ndarray:
    """Return a frame (C, H, W) in [0, 255] as a picture (H, W * C / depth, 3) uint8: a stack's frames, oldest first."""
    numbers = frame.detach().float().round().clamp(0, 255).byte().numpy()
    pictures = numbers.reshape(-1, depth, *numbers.shape[1:])
    parts = [in_color(one[0]) if depth == 1 else one.transpose(1, 2, 0) for one in pictures]
    return np.ascontiguousarray(np.concatenate(parts, 1))


def maximized(
    subject: Subject, config: SearchConfig, seed: int, on_unit: Callable[..., Any]
) -> tuple[list[Strip], Rows]:
    """Return for each unit a row of pictures and its values: found, the best real frame, the best reachable one.

    Values are in multiples of their spread over real frames, above the mean frame's. Raises: ConfigError.
    """
    count = len(subject.names)
    if config.layer is not None:
        with torch.no_grad():
            count = subject.maps(config.layer, subject.mean[None]).shape[1]
    strips, rows = list[Strip](), Rows()
    budget = config.budget * distance(subject.frames, subject.mean)
    for unit in checked_units(config.units, count):
        name, value = subject.value(config.layer, unit, config.single)
        real, real_value, spread = best_of(value, subject.frames)
        with on_unit(name) as step:
            found = maximize(value, subject.mean, spread, budget, config, depth=subject.depth, seed=seed, on_step=step)
        with torch.no_grad():
            empty, reached = (float(value(frame[None])) for frame in (subject.mean, found))
        shown = [("found", found, reached), ("best real frame", real, real_value)]
        if subject.reachable is not None:
            frame, best, _ = best_of(value, subject.reachable)
            shown.append(("best reachable", frame, best))
        measures = {word.replace(" ", "_"): (number - empty) / max(spread, 1e-6) for word, _, number in shown}
        rows.append({"subject": name, "method": "maximize", "measures": measures})
        words = (f"{word}: {(number - empty) / max(spread, 1e-6):.1f}" for word, _, number in shown)
        first = (f"{name}: mean frame", drawn(subject.mean, subject.depth))
        strips.append([first, *((w, drawn(f, subject.depth)) for w, (_, f, _) in zip(words, shown, strict=True))])
    return strips, rows


def dreamed(subject: Subject, config: SearchConfig, seed: int, on_unit: Callable[..., Any]) -> tuple[list[Strip], Rows]:
    """Return a frame that the network has seen, and its dream. Raises: ConfigError."""
    convolutions = [name for name in subject.layers() if _is_map(subject, name)]
    layer = config.layer or next(iter(reversed(convolutions)), None)
    if layer is None or (subject.checked(layer) not in convolutions):
        raise ConfigError(f"dreams are of convolutions, which frames of any size pass: {', '.join(convolutions)}")
    frame = subject.frames[len(subject.frames) // 2].float()
    with on_unit(layer, config.octaves) as step:
        found = dream(lambda frames: subject.maps(layer, frames), frame, config, seed=seed, on_step=step)
    with torch.no_grad():
        before, after = (float(subject.maps(layer, one[None]).relu().square().mean()) for one in (frame, found))
    measures = {"excitement": after / max(before, 1e-12), "changed": float((found - frame).abs().mean())}
    strip = [
        ("a frame that it has seen", drawn(frame, subject.depth)),
        (f"dreamed, {layer}", drawn(found, subject.depth)),
    ]
    return [strip], [{"subject": layer, "method": "dream", "measures": measures}]


def inverted(
    subject: Subject, config: SearchConfig, seed: int, on_unit: Callable[..., Any]
) -> tuple[list[Strip], Rows]:
    """Return what each layer, or one, keeps of a frame. Raises: ConfigError."""
    layers = subject.layers() if config.layer is None else [subject.checked(config.layer)]
    frame, depth = subject.frames[len(subject.frames) // 2].float(), subject.depth
    strip, rows = [("the frame", drawn(frame[-depth:], depth))], Rows()
    for layer in layers:
        if not _is_reached(subject, layer):
            continue
        with on_unit(layer) as step:
            found = invert(
                lambda frames, layer=layer: subject.maps(layer, frames),  # type: ignore[misc]
                *(frame, subject.mean),
                iterations=config.steps,
                variation=config.variation,
                noise=config.noise,
                seed=seed,
                on_step=step,
            )
        strip.append((f"{layer}: {found.kept:.0%}", drawn(found.frame[-depth:], depth)))
        measures = {"features_error": found.features_error, "kept": found.kept}
        rows.append({"subject": layer, "method": "invert", "measures": measures})
    return [strip[i : i + 6] for i in range(0, len(strip), 6)], rows


def _is_map(subject: Subject, layer: str) -> bool:
    with torch.no_grad():
        return _is_reached(subject, layer) and subject.maps(layer, subject.mean[None]).ndim == 4


def _is_reached(subject: Subject, layer: str) -> bool:
    try:
        with torch.no_grad():
            subject.maps(layer, subject.mean[None])
    except ConfigError:
        return False
    return True


METHODS = {"maximize": maximized, "dream": dreamed, "invert": inverted}


class Units:
    """Progress of one unit after the other; use as `with units(name) as on_step`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, name: str, times: int = 1) -> Units:
        """Begin with the next one, of so many times the steps."""
        self.display = ProgressDisplay(name, self.steps * times, "steps")
        return self

    def __enter__(self) -> Callable[[int], None]:
        self.display.__enter__()
        return lambda done: self.display.update(done, "")

    def __exit__(self, *error: Any) -> None:
        self.display.__exit__(*error)


def make(subject: Subject, method: str, config: SearchConfig, seed: int, run: RunFolder) -> Path:
    """Make the pictures of a method in a run folder, and result.json; print the table, return the picture.

    Raises: ConfigError, SaveError.
    """
    strips, rows = METHODS[method](subject, config, seed, Units(config.steps))
    picture = run.path / "pictures" / f"{method}.png"
    with save_errors(picture):
        picture.parent.mkdir(exist_ok=True)
        panels(strips).save(picture)
    run.write_result({"rows": rows})
    for row in rows:
        cells = (f"{name} {value:.3g}" for name, value in row["measures"].items())
        print(f"{row['subject']:28} {' | '.join(cells)}")
    return picture
