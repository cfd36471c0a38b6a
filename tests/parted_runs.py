"""Runs in two processes that part a network, beside those of one process: for the tests of tensor and pipeline."""

from __future__ import annotations

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import latent_runs
import rank_models
import torch
from rank_checks import interrupted
from several_processes import TESTS, torchrun
from torch import Tensor
from transition_folders import pong_transitions

from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.config import Config
from rl_gen_lab.training.run import train
from rl_gen_lab.training.tasks import load_data, make_task


@dataclass(frozen=True)
class Runs:
    """way: tensor or pipeline; path: folder of runs by name; ranks: what each process reports."""

    way: str
    path: Path
    ranks: list[dict[str, Any]]

    def of(self, name: str) -> RunFolder:
        (run,) = (self.path / name).iterdir()
        return RunFolder.open(run)

    def difference(self, name: str, network: str) -> float:
        """Return the largest difference of a number in the last checkpoint of a run from one process alone."""
        one, two = (load_state(self.of(run).checkpoints / "latest") for run in (f"whole_{network}", name))
        assert one["updates"] == two["updates"] == 8  # 20 images in batches of 6, twice
        return largest_difference(one["network"], two["network"])

    def distance(self, network: str) -> float:
        """Return how far a weight comes at most while one process learns."""
        config = settings(network, self.path / "none")
        torch.manual_seed(Generators(config.seed).integer("torch"))
        first = make_task(config, load_data(config), torch.device("cpu")).network
        last = load_state(self.of(f"whole_{network}").checkpoints / "latest")["network"]
        learned = {name: weight.detach() for name, weight in first.named_parameters()}
        return largest_difference(learned, {name: last[name] for name in learned})


def largest_difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


def settings(network: str, path: Path, **changes: Any) -> Config:
    return rank_models.settings(network, pong_transitions(), latent_runs.generator_run("vae").path, path, **changes)


def runs_of(way: str, network: str = "") -> Runs:
    """Return the runs among which a network's are; without one those that are also resumed."""
    return _runs(way, network in rank_models.MORE[way])


@functools.cache
def _runs(way: str, more: bool) -> Runs:
    """Run everything once. more: the networks of the long tests instead, without anything that is resumed."""
    path = Path(tempfile.mkdtemp())
    for network in (rank_models.MORE if more else rank_models.WAYS)[way]:
        train(settings(network, path / f"whole_{network}"))
    if not more:
        interrupted(settings(rank_models.RESUMED[way], path / "one"), after=2)
    words = (
        way,
        "more" if more else "all",
        str(pong_transitions()),
        str(latent_runs.generator_run("vae").path),
        str(path),
    )
    torchrun(str(TESTS / "rank_models.py"), *words, seconds=400)
    return Runs(way, path, [json.loads((path / f"rank{rank}.json").read_text()) for rank in range(2)])


def check_resumed(runs: Runs, name: str) -> None:
    """Assert that a stopped run ends as if it had not been stopped, by whichever processes it was begun and ended."""
    network = rank_models.RESUMED[runs.way]
    if name == "two":
        run = runs.of(name)
        assert run.read_result()["updates"] == 4 and run.read_config()["ranks"]["size"] == 2
        train(settings(network, runs.path / name, resume=run.path))
    else:
        assert all(rank[name] == "finished" for rank in runs.ranks)
    assert runs.difference(name, network) <= 1e-6


def check_memory(runs: Runs, network: str) -> None:
    """Assert that the record says what each process holds, and result.json the same at the end."""
    run, held = runs.of(network), [rank[network]["here"] for rank in runs.ranks]
    (line, last) = [line for line in run.read_metrics() if "ranks/1/parameters_mb" in line]
    result = run.read_result()
    for rank, numbers in enumerate(held):
        assert line[f"ranks/{rank}/parameters_mb"] == result[f"ranks/{rank}/parameters_mb"] == 4 * numbers / 2**20
        assert 0 < last[f"ranks/{rank}/optimizer_mb"] <= 4 * numbers / 2**20  # a momentum of what it learned
        assert result[f"ranks/{rank}/peak_memory_mb"] >= line[f"ranks/{rank}/peak_memory_mb"] > 50
