"""Pipeline parallel: two processes that have a stage each learn what one process learns."""

from __future__ import annotations

from pathlib import Path

import caption_models
import parted_runs
import pytest
import rank_models
import torch
import vision_runs

from rl_gen_lab.backbones.config import BackboneConfig
from rl_gen_lab.backbones.maps import build_maps
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.pipeline import LearnsInParts, cuts_of, parts_of


def test_a_batch_is_cut_into_equal_parts() -> None:
    assert [parts_of(images, 4) for images in (8, 6, 7, 4, 2, 1)] == [4, 3, 1, 4, 2, 1]
    assert parts_of(6, 1) == 1


def test_cuts_lie_after_maps_and_balance_the_weights() -> None:
    backbone = build_maps("resnet", (3, 64, 64), BackboneConfig(width=8, stages=4, depth=1))
    ends = [index + 1 for index in backbone.strides]
    assert cuts_of(backbone, 1) == [0, len(backbone.conv)] and cuts_of(backbone, 4) == [0, *ends]
    assert cuts_of(backbone, 2) == [0, ends[2], ends[3]]  # each stage has four times the weights of the one before
    with pytest.raises(ConfigError, match="at most 4 stages; use from 2 to 5 processes"):
        cuts_of(backbone, 5)


def test_parts_of_a_batch_of_captions_are_the_batch() -> None:
    task = caption_models.task("attention")
    task.network.train(False)
    split, images = caption_models.captioned().splits["train"], torch.arange(6)
    assert isinstance(task, LearnsInParts)
    with torch.no_grad():
        torch.manual_seed(3)
        whole = task.loss(split, images)
        torch.manual_seed(3)
        parts = [losses() for losses in task.losses_of_parts(split, images, 2)]
        torch.manual_seed(3)
        alone = [float(task.loss(split, part)["loss"]) for part in images.split(2)]
    assert len(parts) == 3
    for name, value in whole.items():
        assert sum(float(part[name]) for part in parts) / 3 == pytest.approx(float(value), abs=1e-6)
    assert abs(sum(alone) / 3 - float(whole["loss"])) > 1e-5, "captions of one length would prove nothing"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "segment"}, r"is for caption, generate; for segment use --parallel data, with --fsdp"),
        ({"task": "dream"}, "for dream use --parallel tensor or --parallel data"),
        ({"task": "caption", "fsdp": True}, "leave out --fsdp"),
    ],
)
def test_what_it_is_not_for_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        vision_runs.config(tmp_path, parallel="pipeline", **changes)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("network", [*rank_models.WAYS["pipeline"], *rank_models.MORE["pipeline"]])
def test_two_processes_learn_what_one_learns(network: str) -> None:
    runs = parted_runs.runs_of("pipeline", network)
    assert runs.difference(network, network) <= 1e-6 < 1e-3 < runs.distance(network)
    first, second = (rank[network] for rank in runs.ranks)
    assert first["status"] == second["status"] == "finished"
    weights = runs.of(f"whole_{network}").read_result()["parameters"]
    assert first["here"] + second["here"] == runs.of(network).read_result()["parameters"] == weights
    assert min(first["here"], second["here"]) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["one", "two", "both"])
def test_checkpoints_of_one_process_and_of_two_are_the_same(name: str) -> None:
    parted_runs.check_resumed(parted_runs.runs_of("pipeline"), name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_memory_of_each_process_is_in_the_record() -> None:
    parted_runs.check_memory(parted_runs.runs_of("pipeline"), "caption")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stage_that_does_not_learn_is_refused_before_there_is_a_run() -> None:
    runs = parted_runs.runs_of("pipeline")
    assert all("a stage of a frozen backbone learns nothing" in rank["refused"] for rank in runs.ranks)
    assert not (runs.path / "refused").exists()
