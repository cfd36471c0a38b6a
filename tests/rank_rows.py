"""What two processes do in the test of spatial parallel: one update of a U-Net by rows. Argument: where to write."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_for
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.group import joined
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.distributed.spatial import Rows
from rl_gen_lab.vision.segmentation.config import SegmentConfig
from rl_gen_lab.vision.segmentation.networks import UNet


def made(norm: str, downsample: str, height: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a U-Net in double precision, images and targets of known seeds."""
    torch.manual_seed(3)
    choices = BackboneConfig(width=4, stages=3, depth=1, norm=norm, downsample=downsample, first_stride=2)  # type: ignore[arg-type]
    config = SegmentConfig(choices=choices)
    network = UNet(build_for(config, (3, height, 20)), 3, choices).double()
    images = torch.randint(0, 256, (2, 3, height, 20), dtype=torch.uint8)
    return network, images, torch.randint(0, 3, (2, height, 20))


def compare(group: Any, norm: str, downsample: str, height: int) -> dict[str, float]:
    """Return the largest differences of loss and gradients between rows in all processes and the whole image."""
    network, images, targets = made(norm, downsample, height)

    def losses(split: Any, indices: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(network(images[indices]), targets[indices])}

    whole = losses(None, torch.arange(2))["loss"]
    whole.backward()
    expected = {name: weight.grad for name, weight in network.named_parameters()}
    moments = {name: value.clone() for name, value in network.named_buffers() if "running" in name}
    for norms in network.modules():
        if isinstance(norms, nn.BatchNorm2d):
            norms.reset_running_stats()
    network.zero_grad(set_to_none=True)
    found = Rows(group, network, losses, 8).losses(None, torch.arange(2))["loss"]
    found.backward()
    for name, value in network.named_buffers():
        assert "running" not in name or float((value - moments[name]).abs().max()) < 1e-12, name
    assert float(losses(None, torch.arange(2))["loss"].detach() - whole.detach()) == 0.0  # whole again
    largest = 0.0
    for name, weight in network.named_parameters():
        want, got = expected[name], weight.grad
        assert want is not None and got is not None, name
        largest = max(largest, float((want - got).abs().max()))
    return {"loss": abs(float(found - whole)), "gradient": largest}


def main() -> None:
    """Compare several networks, and try one that cannot be computed by rows."""
    ranks, found = Ranks.of(), {}
    with joined(ranks, 120) as group:
        for norm, downsample, height in (
            ("none", "stride", 32),
            ("group", "stride", 37),
            ("group", "max", 45),
            ("batch", "max", 37),
        ):
            found[f"{norm} {downsample} {height}"] = compare(group, norm, downsample, height)
        refused = []
        for downsample, height in (("average", 32), ("stride", 12)):
            try:
                compare(group, "group", downsample, height)
            except ConfigError as error:
                refused.append(str(error))
    Path(sys.argv[1], f"rows{ranks.rank}.json").write_text(json.dumps({"found": found, "refused": refused}))


if __name__ == "__main__":
    main()
