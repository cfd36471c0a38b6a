"""Packed files of untrained vision models and generators of every kind, and of policies, for tests of their headers."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import caption_models
import generator_models
import torch
import vision_data

from agents.compression.policy_file import names_itself
from agents.rl.q_networks import QNetwork
from agents.training.environments import task_fingerprint
from envs.config import EnvConfig
from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.compression import coded
from rl_gen_lab.compression.packed_file import write
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.tasks import TASKS
from rl_gen_lab.vision.captioning.config import CaptionConfig
from rl_gen_lab.vision.detection.config import DetectConfig
from rl_gen_lab.vision.recognition.config import ClassifyConfig, LocalizeConfig
from rl_gen_lab.vision.segmentation.config import SegmentConfig

SMALL = BackboneConfig(width=4, stages=2, depth=1, norm="batch")
FRAME = (4, 84, 84)
MODELS: dict[str, tuple[str, Any]] = {
    "unet": ("segment", SegmentConfig(choices=replace(SMALL, first_stride=1))),
    "fcn": ("segment", SegmentConfig("fcn", width=4, levels=1)),
    "patch": ("segment", SegmentConfig("patch", width=4)),
    "ssd": ("detect", DetectConfig(choices=SMALL, shapes=3)),
    "yolo": ("detect", DetectConfig("yolo", choices=SMALL)),
    "sliding-window": ("detect", DetectConfig("sliding-window", choices=SMALL, shapes=2)),
    "rcnn": ("detect", DetectConfig("rcnn", choices=SMALL, shapes=2, proposals=8)),
    "faster-rcnn": ("detect", DetectConfig("faster-rcnn", choices=SMALL, shapes=3, proposals=8)),
    "mask-rcnn": ("detect", DetectConfig("mask-rcnn", choices=SMALL, shapes=3, proposals=8)),
    "captioner": ("caption", CaptionConfig(choices=replace(SMALL, stages=3), units=16)),
    "classifier": ("classify", ClassifyConfig(choices=SMALL)),
    "localizer": ("localize", LocalizeConfig(choices=SMALL)),
    **{
        model: ("generate", replace(generator_models.TINY, model=model))
        for model in ("vae", "autoencoder", "vq-vae", "pca", "gmm", "factorised")
    },
}


def plain_state(network: torch.nn.Module) -> dict[str, coded.CodedTensor]:
    """All tensors as floats, which are read at once."""
    return {name: coded.plain(tensor.numpy()) for name, tensor in network.state_dict().items()}


@functools.cache
def model_parts(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and tensors of an untrained model, made as a run and `rl_gen_lab.pack` make them."""
    task_name, settings = MODELS[name]
    dataset = caption_models.captioned() if task_name == "caption" else vision_data.dataset()
    config = Config(task=task_name, **{task_name: settings})  # type: ignore[arg-type]
    torch.manual_seed(0)
    task = TASKS[task_name](config, dataset, torch.device("cpu"))
    saved = {"exp_name": f"{task_name}_{settings.model}", **dataset.metadata, **getattr(task, "run_metadata", {})}
    del saved["images"]
    kept = {key: value for key, value in to_dict(config).items() if key in ("task", task_name)}
    return {"run": saved | {"config": kept}}, plain_state(task.network)


@functools.cache
def policy_parts(backbone: str) -> tuple[dict[str, Any], dict[str, Any], bool]:
    """Header and tensors of an untrained policy for Pong, and whether they are named in its file."""
    torch.manual_seed(0)
    network = QNetwork(backbone, FRAME, 6, False)
    task = {"env": "ALE/Pong-v5", "hash": task_fingerprint("ALE/Pong-v5", EnvConfig(), 0.0).hash}
    header = {"network": {"backbone": backbone, "shape": list(FRAME), "actions": 6}, "task": task}
    return header, plain_state(network), not names_itself(backbone)


def model_file(name: str) -> bytes:
    """The packed file of a model of `MODELS`."""
    return write(*model_parts(name), named=True)
