"""What captum 0.9.0 says of a small network, in tests/golden/captum.npz: the oracle of maps and their measures.

captum is no dependency. Run as a command, with it in the path, this file writes the numbers anew:

    pip install --no-deps --target oracle captum==0.9.0 tqdm
    PYTHONPATH=oracle:tests:. python tests/captum_numbers.py

The network is made of modules only, whose ReLUs are not in place: on others captum's guided backpropagation is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from explained_models import curved
from torch import Tensor

from rl_gen_lab.explain.faithfulness import LEVELS

FILE = Path(__file__).parent / "golden" / "captum.npz"
WINDOW, STRIDE, DRAWS = 4, 2, 6


def numbers() -> dict[str, Tensor]:
    """The committed arrays."""
    with np.load(FILE) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def noise(uniform: bool) -> Tensor:
    """(DRAWS, B, C, H, W) float64: what `infidelity` (normal) and `max_sensitivity` (uniform) draw with the seed 0."""
    draws, shape = torch.Generator().manual_seed(0), (3, 2, 12, 12)
    make = torch.rand if uniform else torch.randn
    found = torch.stack([make(shape, generator=draws, dtype=torch.float64) for _ in range(DRAWS)])
    return LEVELS * (2 * found - 1 if uniform else found)


def by_captum() -> dict[str, Tensor]:
    """Compute all numbers with captum."""
    import captum
    from captum import attr, metrics

    assert captum.__version__ == "0.9.0"
    model, frames, chosen = curved()
    start = model.baseline[None].expand(frames.shape)

    def number(shown: Tensor, actions: Tensor) -> Tensor:
        return model.score(model.network, shown, actions)

    class Question(torch.nn.Module):  # captum's hooks want a module that gives the number
        def __init__(self) -> None:
            super().__init__()
            self.network = model.network

        def forward(self, shown: Tensor, actions: Tensor) -> Tensor:
            return model.score(self.network, shown, actions)

    question: Any = Question()
    given = {"additional_forward_args": (chosen,)}
    found = {"gradient": attr.Saliency(number).attribute(frames.clone().requires_grad_(), abs=False, **given)}
    path = attr.IntegratedGradients(number, multiply_by_inputs=True)
    found["integrated"] = path.attribute(frames, start, n_steps=512, method="gausslegendre", **given)
    found["guided"] = attr.GuidedBackprop(question).attribute(frames.clone().requires_grad_(), **given)
    cam = attr.LayerGradCam(question, question.network.conv[2])
    found["grad_cam"] = cam.attribute(frames, relu_attributions=True, **given)
    windows = {"sliding_window_shapes": (2, WINDOW, WINDOW), "strides": (2, STRIDE, STRIDE)}
    found["occlusion"] = attr.Occlusion(number).attribute(frames, baselines=start, **windows, **given)[:, :1]

    own = found["gradient"]
    each = noise(uniform=False).transpose(0, 1).flatten(0, 1)  # captum repeats a frame for all of its draws
    found["infidelity"] = metrics.infidelity(
        number, lambda shown: (each, shown - each), frames, own, n_perturb_samples=DRAWS, normalize=True, **given
    )

    def one(shown: Any) -> Tensor:
        return shown[0] if isinstance(shown, tuple) else shown

    def explain(shown: Any, additional_forward_args: Any) -> tuple[Tensor]:
        moved = one(shown).detach().requires_grad_()
        return (attr.Saliency(number).attribute(moved, abs=False, additional_forward_args=additional_forward_args),)

    def largest(step: Tensor) -> Tensor:
        def moved(shown: Any) -> Any:  # of one parameter: a second one would get captum's radius
            return one(shown) + step

        return metrics.sensitivity_max(explain, frames, moved, n_perturb_samples=1, **given)

    found["sensitivity"] = torch.stack([largest(step) for step in noise(uniform=True)]).amax(0)
    return found


if __name__ == "__main__":
    np.savez_compressed(FILE, **{name: value.detach().numpy() for name, value in by_captum().items()})
