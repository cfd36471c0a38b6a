"""Agents that train in two processes: equal weights, games of their own, exact resuming, one run folder."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import rank_agents
from several_processes import TESTS, torchrun

from agents.training.processes import Processes
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import Interrupt

pytestmark = pytest.mark.slow
Reports = tuple[Path, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """Run everything that needs two processes once; return the folder of runs and what each process reports."""
    path = tmp_path_factory.mktemp("agents")
    rank_agents.trained("ppo", path / "one", stop_after=4)
    torchrun(str(TESTS / "rank_agents.py"), str(path))
    return path, [json.loads((path / f"agents{rank}.json").read_text()) for rank in range(2)]


def only(folder: Path) -> RunFolder:
    (run,) = folder.iterdir()
    return RunFolder.open(run)


@pytest.mark.parametrize("algo", list(rank_agents.FLAGS))
def test_processes_play_games_of_their_own_and_learn_the_same(runs: Reports, algo: str) -> None:
    path, (first, second) = runs
    assert first[algo]["weights"] == second[algo]["weights"] and first[algo]["games"] != second[algo]["games"]
    assert len(first[algo]["games"]) == 2  # of --num-envs 4
    run = only(path / algo)
    result, limit = run.read_result(), run.read_config()["config"]["total_env_steps"]
    assert limit <= result["total_env_steps"] < limit + 200 and result["status"] == "finished"
    assert run.read_config()["ranks"]["size"] == 2
    steps = [line["global_step"] for line in run.read_metrics()]
    assert steps == sorted(steps)


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_stop_of_one_process_stops_both_and_resuming_is_exact(runs: Reports, algo: str) -> None:
    path, reports = runs
    for report in reports:
        assert report[f"{algo}_stopped"]["code"] == 130
        assert report[f"{algo}_stopped"]["weights"] != report[algo]["weights"]
        assert report[f"{algo}_resumed"] == report[algo]
    one, other = (load_state(only(path / name).checkpoints / "latest") for name in (algo, f"{algo}_resumed"))
    assert one["session"]["episodes"] == other["session"]["episodes"]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_one_process_goes_on_from_two(runs: Reports, algo: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, _ = runs
    run = only(path / algo)
    before = load_state(run.checkpoints / "latest")
    steps, updates = (before["session"][name] for name in ("env_steps", "updates"))
    import_module(f"agents.{algo}").main(["--resume", str(run.path), "--total-env-steps", str(steps + 512)])
    assert "goes on in 1 process instead of 2: games and memories begin anew" in capsys.readouterr().out
    after = load_state(run.checkpoints / "latest")
    assert after["session"]["processes"] == 1 and after["session"]["env_steps"] >= steps + 512
    assert after["agent"]["env_steps"] == after["session"]["env_steps"]  # those of all processes, from then on its own
    assert after["session"]["updates"] > updates
    lines = [line["global_step"] for line in run.read_metrics()]
    assert lines == sorted(lines)


def test_two_processes_go_on_from_one(runs: Reports) -> None:
    path, (first, second) = runs
    assert first["ppo_from_one"]["weights"] == second["ppo_from_one"]["weights"]
    assert first["ppo_from_one"]["env_steps"] == 1024
    after = load_state(only(path / "one").checkpoints / "latest")
    assert after["session"]["processes"] == 2 and after["agent"]["env_steps"] == 512


def test_alone_every_decision_is_its_own() -> None:
    interrupt = Interrupt(print)
    alone = Processes(Group(), interrupt)
    assert alone.steps(7, 3) == 7 and alone.meet(0, seconds_left=None, evaluate=True) and not alone.asked
    assert alone.out_of_time(0.0) and not alone.out_of_time(9.0) and not alone.out_of_time(None)
    interrupt.asked = True
    assert alone.asked and alone.may_stop_evaluation() and alone.stopped
