"""The network of classification and localization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rl_gen_lab.backbones.convolutional import Convolutional


class RecognitionNetwork(nn.Module):
    """A backbone's last map, pooled, for the classes; for a box, each position votes and predicts.

    A softmax over positions says where the object's center is; the box is the mean, weighted by it, of the boxes that
    the positions predict. Source: Sermanet et al. 2014, "OverFeat", section 4 (classes and box from one network);
    Levine et al. 2016, "End-to-End Training of Deep Visuomotor Policies", section 5.1 (the mean position).
    """

    middles: Tensor

    def __init__(self, backbone: Convolutional, classes: int, pooling: str, box: bool) -> None:
        super().__init__()
        self.backbone, self.pooling = backbone, pooling
        last = backbone.feature_maps[-1]
        self.classes = nn.Linear(last.channels, classes)
        self.votes = nn.Conv2d(last.channels, 5, 3, padding=1) if box else None
        y, x = torch.meshgrid(torch.arange(last.height), torch.arange(last.width), indexing="ij")
        self.register_buffer("middles", (torch.stack((x, y)).flatten(1) + 0.5) * last.stride)  # (2, P) [px]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """images: (B, C, H, W) uint8 -> logits (B, K), independent; votes (B, P), box (B, 4) [px].

        Without a box, votes and box have size 0.
        """
        features = self.backbone.maps(images)[-1]
        pooled = features.amax((2, 3)) if self.pooling == "max" else features.mean((2, 3))
        logits = self.classes(pooled).float()
        if self.votes is None:
            return logits, logits[:, :0], logits[:, :0]
        raw = self.votes(features).flatten(2).float()  # (B, 5, P)
        votes = raw[:, 0]
        stride = self.backbone.feature_maps[-1].stride
        boxes = torch.cat((self.middles + stride * raw[:, 1:3], stride * raw[:, 3:].clamp(max=4).exp()), 1)
        x, y, width, height = (boxes * votes.softmax(1)[:, None]).sum(2).unbind(1)
        box = torch.stack((x - width / 2, y - height / 2, x + width / 2, y + height / 2), 1)
        return logits, votes, box
