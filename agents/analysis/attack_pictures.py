"""Pictures of attacks: what the agent sees, what is added to it, and what it thinks before and after."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from agents.analysis.attack_games import stakes
from agents.analysis.robustness import Robustness, Row
from agents.training.environments import make_env
from agents.training.video import action_names
from rl_gen_lab.cli.wording import count
from rl_gen_lab.data.images import read_resized
from rl_gen_lab.explain import drawing
from rl_gen_lab.explain.fooling import fool
from rl_gen_lab.explain.model import in_batches

SHOWN = 3  # frames: the two at which most is at stake, and the middle one
AMPLIFIED = 60.0  # changes are drawn so many times as large, around gray


def labels_of(robustness: Robustness) -> list[str]:
    """Return the names of the agent's actions."""
    env = make_env(robustness.player.env, robustness.player.world)
    try:
        return action_names(robustness.player.env, env.action_space, robustness.player.world)
    finally:
        env.close()


def strip(robustness: Robustness, frames: Tensor) -> Image.Image:
    """Draw some frames under the least budget that is asked for, by PGD or else the last attack that is asked for.

    A row for each: the newest frame as it is, the change (gray: none), the frame as the agent sees it, and its scores
    before and after. frames: (B, C, H, W) float32.
    """
    names = [name for name in robustness.attacks if name != "random"] or robustness.attacks
    name, level = "pgd" if "pgd" in names else names[-1], robustness.budgets[0]
    with torch.no_grad():
        scores = in_batches(robustness.target.scores, frames)
    order = np.argsort(-stakes(scores.numpy()))
    places = list(dict.fromkeys([*order[: SHOWN - 1].tolist(), len(frames) // 2]))
    picked, before = frames[places], scores[places]
    after_frames = robustness.attacker(name, level).frames(picked, before.argmax(1))
    with torch.no_grad():
        after = robustness.target.scores(after_frames)
    labels, rows = labels_of(robustness), []
    channels = 1 if robustness.player.world.grayscale else 3
    for number in range(len(places)):
        clean, changed = picked[number, -channels:], after_frames[number, -channels:]
        said = drawing.bars(labels, before[number].tolist(), after[number].tolist())
        rows.append(
            [
                ("newest frame", _picture(clean)),
                (f"{name} of {level:g}, times {AMPLIFIED:g}", _picture(127.5 + AMPLIFIED * (changed - clean))),
                ("as the agent sees it", _picture(changed)),
                ("before (best: blue), after (best: red)", said),
            ]
        )
    return drawing.panels(rows)


def fooling(robustness: Robustness, file: Path) -> tuple[Image.Image, Row]:
    """Draw what a picture becomes so that the agent takes it for each of its actions, with the least budgets found.

    A row for each action: the picture in the size of the agent's frames, the change, and what the agent sees. Returned
    are also the budgets by action [gray levels], NaN where the action was not reached. Raises: DataError for a file
    that is no image.
    """
    world = robustness.player.world
    pixels = torch.from_numpy(read_resized(file, world.image_size, world.image_size))
    if world.grayscale:
        pixels = pixels.float().mean(0, keepdim=True).round().byte()
    frames, channels = pixels.repeat(world.frame_stack, 1, 1), len(pixels)
    rows, levels = [], dict[str, Any]()
    for number, label in enumerate(labels_of(robustness)):
        found = fool(partial(_over_others, robustness, number), frames, seed=robustness.config.seed)
        with torch.no_grad():
            scores = [robustness.target.scores(one[None].float())[0].tolist() for one in (frames, found.image)]
        change = found.image[-channels:].float() - frames[-channels:].float()
        words = (
            "not reached"
            if found.levels is None
            else f"by {count(found.levels, 'level')}"
            if found.levels
            else "as it is"
        )
        levels[label] = float("nan") if found.levels is None else float(found.levels)
        rows.append(
            [
                (file.name[:20], _picture(pixels.float())),
                (f"change, times {AMPLIFIED:g}", _picture(127.5 + AMPLIFIED * change)),
                (f"{label} {words}", _picture(found.image[-channels:].float())),
                ("before (best: blue), after (best: red)", drawing.bars(labels_of(robustness), *scores)),
            ]
        )
    return drawing.panels(rows), levels


def _over_others(robustness: Robustness, action: int, frames: Tensor) -> Tensor:
    """Return by how much an action's score exceeds that of each other, (B, A - 1)."""
    scores = robustness.target.scores(frames)
    others = [number for number in range(scores.shape[1]) if number != action]
    return scores[:, action, None] - scores[:, others]


def states(shown: list[tuple[np.ndarray, np.ndarray]]) -> Image.Image:
    """Draw moments of a game, each beside the state that was found from there."""
    return drawing.panels([[("the game", start), ("what was reached", found)] for start, found in shown])


def _picture(frame: Tensor) -> np.ndarray:
    """Return (c, H, W) numbers as a picture (H, W, 3) uint8."""
    image: np.ndarray = frame.expand(3, -1, -1).permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    return image
