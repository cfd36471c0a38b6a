"""Captioners for tests: a dataset with captions, a small task, a tiny network with random weights."""

from __future__ import annotations

from dataclasses import replace

import torch
import vision_data

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_maps
from rl_gen_lab.data.dataset import Dataset, Split
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.captioning.network import Captioner
from rl_gen_lab.vision.captioning.task import CaptioningTask

CPU = torch.device("cpu")
SMALL = BackboneConfig(width=8, stages=2, depth=1, norm="batch")
IMAGE = torch.arange(3 * 16 * 16).reshape(3, 16, 16).to(torch.uint8)
GRAMMAR = {"ball": ["ball {}", "the ball is {}"], "paddle": ["paddle {}", "the paddle is {}"]}


def captioned() -> Dataset:
    """The dataset of vision_data with the positions of its objects in words."""
    dataset = vision_data.dataset()
    splits = {}
    for name, split in dataset.splits.items():
        labels = []
        for label in split.labels:
            facts = {"ball": "gone"}
            for item in label.objects:
                middle = (item.box[1] + item.box[3]) / 2
                facts[dataset.categories[item.category]] = "high" if middle < 20 else "low"
            ball, paddle = facts["ball"], facts["paddle"]
            captions = (f"Ball {ball}, paddle {paddle}.", f"The paddle is {paddle}, the ball is {ball}.")
            labels.append(replace(label, facts=facts, captions=captions))
        splits[name] = Split(name, split.images, tuple(labels))
    return replace(dataset, splits=splits, grammar=GRAMMAR)


def task(model: str) -> CaptioningTask:
    torch.manual_seed(0)
    return CaptioningTask(CaptionConfig(model, choices=SMALL, units=48, look_everywhere=0.01), captioned(), CPU)  # type: ignore[arg-type]


def tiny(seed: int = 3) -> Captioner:
    """Random weights, large enough that no sentence is a matter of course; words are pad, begin, end and two others."""
    torch.manual_seed(seed)
    net = Captioner(build_maps("resnet", (3, 16, 16), SMALL), 5, 8, True).eval()
    with torch.no_grad():
        for weight in (net.head.weight, net.lstm.weight_ih, net.lstm.weight_hh, net.embed.weight, net.start.weight):
            weight.copy_(0.5 * torch.randn_like(weight))
    return net
