"""Tensor parallel: two processes that share the units of a network learn what one process learns."""

from __future__ import annotations

from pathlib import Path

import parted_runs
import pytest
import rank_models
import vision_data
import vision_runs
from torch import nn

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.distributed.tensor_parallel import Inputs, Outputs, plan_of
from rl_gen_lab.training.run import train


def described(network: nn.Module, size: int) -> dict[str, str]:
    """Return the plan in words."""
    said = {}
    for name, style in plan_of(network, Group(Ranks(0, size))).items():
        exchanged = style.joined if isinstance(style, Outputs) else style.cut if isinstance(style, Inputs) else True
        said[name] = f"{type(style).__name__}{'' if exchanged else ' of a pair'}"
    return said


def test_pairs_of_layers_share_an_exchange_and_what_cannot_be_dealt_stays_whole() -> None:
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4), nn.Dropout(0.1), nn.Linear(4, 3))
    assert described(network, 2) == {"0": "Outputs of a pair", "2": "Inputs of a pair", "4": "Inputs"}
    assert described(network, 3) == {"0": "Inputs", "4": "Outputs"}
    for weight in network[4].parameters():
        weight.requires_grad_(False)
    assert described(network, 4) == {"0": "Outputs of a pair", "2": "Inputs of a pair"}
    layers = nn.ModuleList([nn.GRU(3, 4, batch_first=True), nn.GRU(3, 4), nn.Embedding(9, 6), nn.Conv2d(4, 4, 1)])
    assert described(layers, 2) == {"0": "Gates", "2": "Outputs"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "segment"}, r"is for caption, dream, generate; for segment use --parallel data, with --fsdp"),
        ({"task": "generate", "fsdp": True}, "leave out --fsdp"),
        (
            {"task": "generate", "generate": rank_models.replace(rank_models.generator_models.TINY, model="pca")},
            "pca has",
        ),
    ],
)
def test_what_it_is_not_for_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        vision_runs.config(tmp_path, parallel="tensor", **changes)


def test_one_process_is_sent_to_torchrun(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="start with torchrun"):
        train(vision_runs.config(tmp_path, parallel="tensor", task="caption", data=vision_data.folder()))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("network", [*rank_models.WAYS["tensor"], *rank_models.MORE["tensor"]])
def test_two_processes_learn_what_one_learns(network: str) -> None:
    runs = parted_runs.runs_of("tensor", network)
    assert runs.difference(network, network) <= 1e-6 < 1e-3 < runs.distance(network)
    first, second = (rank[network] for rank in runs.ranks)
    assert first["status"] == second["status"] == "finished"
    assert first["common"] == second["common"], "what both have is equal bit for bit"
    weights = runs.of(f"whole_{network}").read_result()["parameters"]
    assert runs.of(network).read_result()["parameters"] == weights > first["here"] == second["here"] >= weights / 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["one", "two", "both"])
def test_checkpoints_of_one_process_and_of_two_are_the_same(name: str) -> None:
    parted_runs.check_resumed(parted_runs.runs_of("tensor"), name)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_memory_of_each_process_is_in_the_record() -> None:
    parted_runs.check_memory(parted_runs.runs_of("tensor"), "latent")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_network_without_such_layers_is_refused_before_there_is_a_run() -> None:
    runs = parted_runs.runs_of("tensor")
    assert all("no fully connected, attention or recurrent layer" in rank["refused"] for rank in runs.ranks)
    assert not (runs.path / "refused").exists()
