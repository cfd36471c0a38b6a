"""Methods of style by name: networks that are kept and used again, and the F1 of a detector."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path

import pytest
import torch

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.explain.synthesis import styled
from rl_gen_lab.explain.synthesis.style import Weights
from rl_gen_lab.vision.box_metrics import Detections

PICTURES = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def stylist(folder: Path) -> styled.Stylist:
    style = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    return styled.Stylist(style, PICTURES, PICTURES, Weights(), 2, 2, 1.0, 0, folder)


@pytest.mark.parametrize("method", styled.METHODS)
def test_every_method_restyles_and_networks_are_kept_for_the_next_run(method: str, tmp_path: Path) -> None:
    one = stylist(tmp_path)
    apply, training = one.prepare(method)
    contents = [PICTURES[:1].float() / 255, PICTURES[1:].float() / 255]
    made, seconds = styled.restyled(apply, contents, method)
    assert len(made) == 2 and seconds >= 0 and (training > 0) == (method in ("fast", "any"))
    assert set(styled.compared(made, contents, one.style)) == {"gram", "wasserstein_7", "edges_kept"}
    if training:
        later, spent = dataclasses.replace(one, learned=tmp_path).prepare(method)
        assert spent == 0 and torch.equal(styled.restyled(later, contents, method)[0][0], made[0])


def test_a_run_without_that_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no network .*fast\.safetensors"):
        dataclasses.replace(stylist(tmp_path), learned=tmp_path).prepare("fast")


def test_the_f1_of_a_detector_is_of_the_restyled_images() -> None:
    box = torch.tensor([[2.0, 2.0, 6.0, 6.0]])

    def predict(images: torch.Tensor) -> list[Detections]:
        """Find the object only where the image is bright."""
        found = [bool(image.float().mean() > 128) for image in images]
        return [Detections(box[: int(f)], torch.zeros(int(f), dtype=torch.int64), torch.ones(int(f))) for f in found]

    task = types.SimpleNamespace(config=types.SimpleNamespace(score=0.5), predict=predict, categories=("ball",))
    split = types.SimpleNamespace(boxes=lambda index: (box, torch.zeros(1, dtype=torch.int64)))
    bright, dark = torch.full((1, 3, 8, 8), 0.9), torch.full((1, 3, 8, 8), 0.1)
    assert styled.detected(task, split, [0, 1], [bright, bright])["f1"] == 1  # type: ignore[arg-type]
    found = styled.detected(task, split, [0, 1], [bright, dark])  # type: ignore[arg-type]
    assert found["f1"] == pytest.approx(2 / 3) and found["f1/ball"] == pytest.approx(2 / 3)
