"""Training in two processes: it learns what one process learns, and each can go on from the other's checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rank_checks
import torch
import vision_data
from several_processes import TESTS, torchrun
from torch import Tensor

from rl_gen_lab.distributed.data_parallel import slice_of
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.run import train


def only(folder: Path) -> RunFolder:
    (run,) = folder.iterdir()
    return RunFolder.open(run)


def network(run: RunFolder) -> dict[str, Tensor]:
    return load_state(run.checkpoints / "latest")["network"]  # type: ignore[no-any-return]


def largest_difference(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    assert one.keys() == two.keys()
    return max(float((one[name].double() - two[name].double()).abs().max()) for name in one)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Run everything that needs two processes once; return the folder of runs and what each process reports."""
    path = tmp_path_factory.mktemp("ranks")
    data = vision_data.folder()
    train(rank_checks.settings(data, path / "whole"))
    rank_checks.interrupted(rank_checks.settings(data, path / "one"), after=2)
    torchrun(str(TESTS / "rank_checks.py"), str(data), str(path))
    return path, [json.loads((path / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", ["replicas", "shards", "one"])
def test_two_processes_learn_what_one_learns_also_from_the_checkpoint_of_one(runs: Any, name: str) -> None:
    path, reports = runs
    assert all(report["resumed" if name == "one" else name] == "finished" for report in reports)
    assert largest_difference(network(only(path / "whole")), network(only(path / name))) <= 1e-6
    lines = {line["global_step"]: line for line in only(path / name).read_metrics() if "losses/loss" in line}
    alone = {line["global_step"]: line for line in only(path / "whole").read_metrics() if "losses/loss" in line}
    assert lines.keys() == alone.keys() == set(range(1, 7))  # 16 images in batches of 6, twice
    for step, line in lines.items():
        assert line["losses/loss"] == pytest.approx(alone[step]["losses/loss"], abs=1e-5)
        assert line["losses/grad_norm"] == pytest.approx(alone[step]["losses/grad_norm"], abs=1e-4)
        assert ("ranks/1/forward_images_per_second" in line) == (name != "one" or step > 2)


@pytest.mark.parametrize("name", ["two", "two_shards"])
def test_one_process_goes_on_from_the_checkpoint_of_two(runs: Any, name: str) -> None:
    path, _ = runs
    run = only(path / name)
    assert run.read_result()["updates"] == 4 and run.read_config()["ranks"]["size"] == 2
    train(rank_checks.settings(vision_data.folder(), path / name, resume=run.path))
    assert largest_difference(network(only(path / "whole")), network(run)) <= 1e-6


def test_the_first_process_alone_writes_and_prints(runs: Any) -> None:
    path, _ = runs
    assert [len(list((path / name).iterdir())) for name in ("replicas", "shards", "one")] == [1, 1, 1]


def test_exchanges_give_what_follows_on_paper(runs: Any) -> None:
    _, reports = runs
    first, second = (report["exchanges"] for report in reports)
    assert first["mean"] == second["mean"] == [[[0.5] * 3] * 2, 5.0]
    assert first["gradients"] == second["gradients"] == [[1.5, 1.5], [0.0]]
    assert first["copied"] == second["copied"] == [5.0, 5.0]
    assert first["of_last"] == second["of_last"] == [6.0, 6.0] and first["objects"] == second["objects"] == [0.0, 1.0]
    assert first["largest"] == second["largest"] == [1.0, 0.0]
    assert first["nan"][0] != first["nan"][0] and second["nan"][0] != second["nan"][0]
    assert first["any"] == second["any"] == [True, False]
    assert first["gathered"] == second["gathered"] == [[0.0], [1.0]]
    assert first["means"] == {"a": 0.5} and second["named"] == {"ranks/0/speed": 0.0, "ranks/1/speed": 1.0}
    assert first["total"] == second["total"] == 3.0 and first["text"] == second["text"] == "of 0.0"
    assert first["texts"] == second["texts"] == ["of 0.0", "of 1.0"]
    assert first["refused"] == "process 0 has other data than process 1: of 0 here"
    assert all(report["alone"] for report in reports)


@pytest.mark.parametrize(("count", "size"), [(8, 2), (7, 2), (5, 3), (1, 2), (2, 4)])
def test_slices_weighted_as_they_are_give_the_mean_over_all_images(count: int, size: int) -> None:
    losses, indices = torch.rand(10, dtype=torch.float64), torch.randperm(10)[:count]
    slices = [slice_of(indices, rank, size) for rank in range(size)]
    mean = sum(weight * float(losses[mine].mean()) for mine, weight in slices) / size
    assert mean == pytest.approx(float(losses[indices].mean()), abs=1e-12)
