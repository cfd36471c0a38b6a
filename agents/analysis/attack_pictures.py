"""Pictures of attacks: what the agent sees, what is added to it, and what it thinks before and after."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from agents.analysis.attack_games import stakes
from agents.analysis.robustness import Robustness
from agents.training.environments import make_env
from agents.training.video import action_names
from rl_gen_lab.explain import drawing
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
    """Draw some frames under the least budget that is asked for, by the last attack by gradients that is asked for.

    A row for each: the newest frame as it is, the change (gray: none), the frame as the agent sees it, and its scores
    before and after. frames: (B, C, H, W) float32.
    """
    names = [name for name in robustness.attacks if name != "random"] or robustness.attacks
    name, level = names[-1], robustness.budgets[0]
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


def _picture(frame: Tensor) -> np.ndarray:
    """Return (c, H, W) numbers as a picture (H, W, 3) uint8."""
    image: np.ndarray = frame.expand(3, -1, -1).permute(1, 2, 0).clamp(0, 255).round().byte().numpy()
    return image
