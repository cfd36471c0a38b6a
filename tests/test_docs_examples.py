"""The worked examples of docs/extending.md, each of them run: algorithm, ground truth, vision model, backbone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
import vision_data
from fake_run import FakeRun

from agents import ppo
from docs.examples import counting, expected_sarsa
from docs.examples.expected_sarsa import Config, ExpectedSarsa, expected_sarsa_loss
from envs import scenes
from envs.config import EnvConfig
from envs.factory import make_env
from envs.ground_truth import games
from envs.ground_truth.registry import game_of
from envs.ground_truth.verify import prove
from envs.ground_truth.wrappers import object_view
from envs.probes.values import KNOWN
from rl_gen_lab import backbones
from rl_gen_lab import train as train_command
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.checkpoints import load_weights

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"
PAGE = EXAMPLES.parent / "extending.md"
ONE_STEP = [name for name, answer in KNOWN.items() if answer.n_step == 1]


def blocks() -> list[tuple[str, str]]:
    """File and text of every excerpt of the page; the line above a block names its file."""
    pattern = r"^[^\n]*`docs/examples/(\w+\.py)`[^\n]*:\n\n```python\n(.*?)^```"
    return re.findall(pattern, PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_page_shows_a_part_of_every_example() -> None:
    assert {name for name, _ in blocks()} == {file.name for file in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize(("name", "text"), blocks())
def test_excerpts_of_the_page_stand_in_the_examples(name: str, text: str) -> None:
    source = (EXAMPLES / name).read_text(encoding="utf-8")
    for part in re.split(r"^\.\.\.\n", text, flags=re.MULTILINE):
        assert part.strip("\n") in source, f"{name} does not contain:\n{part}"


# ---- the algorithm


def test_expected_sarsa_target_is_the_mean_over_the_policy() -> None:
    # Q(s', .) = (1, 3), epsilon 0.5: 0.5 * 3 + 0.5 * 2 = 2.5; target 1 + 0.8 * 2.5 = 3; Q(s, 1) = 2: TD error 1.
    # The second row is no transition.
    rows = torch.tensor([[0.0, 2.0], [0.0, 50.0]]), torch.tensor([1, 1]), torch.tensor([1.0, 0.0])
    discount, q_t, mask = torch.tensor([0.8, 0.8]), torch.tensor([[1.0, 3.0], [1.0, 3.0]]), torch.tensor([1.0, 0.0])
    loss, td = expected_sarsa_loss(*rows, discount, q_t, 0.5, mask)
    assert td[0] == pytest.approx(1.0)
    assert loss == pytest.approx(0.5)


def value_of_start(world: str) -> float:
    """What the example learns about the start state of a probe environment; greedy at the end."""
    answer, env_steps = KNOWN[world], 18_000
    config = Config(
        env=answer.env,
        num_envs=8,
        gamma=answer.gamma,
        learning_rate=5e-3,
        target_update_every_updates=10,
        epsilon_end=0.0,
        epsilon_env_steps=env_steps // 2,
    )
    run = FakeRun(config, lambda run: run.env_steps >= env_steps)
    start = torch.from_numpy(run.env_runner.obs[:1].copy())
    expected_sarsa.train(config, run)
    run.env_runner.close()
    with torch.no_grad():
        return float(run.network(start).max())


@pytest.mark.slow
@pytest.mark.parametrize("world", ONE_STEP)
def test_expected_sarsa_finds_the_value_known_on_paper(world: str) -> None:
    assert value_of_start(world) == pytest.approx(KNOWN[world].value, abs=0.1)


@pytest.mark.slow
def test_a_value_that_goes_on_after_termination_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = ExpectedSarsa.learn

    def mistaken(self: ExpectedSarsa, step: Any) -> Any:
        step.terminated[:] = False
        return learn(self, step)

    monkeypatch.setattr(ExpectedSarsa, "learn", mistaken)
    assert value_of_start("termination") > KNOWN["termination"].value + 1


def start_run(folder: Path, *flags: str) -> Path:
    """Train on CartPole for some hundred steps; the run folder."""
    few = ["--eval.every-env-steps", "0", "--eval.final-episodes", "2", "--checkpoint-every-env-steps", "400"]
    quiet = ["--wandb.mode", "disabled", "--no-film", "--runs-dir", str(folder), "--device", "cpu"]
    expected_sarsa.main(["--env", "CartPole", *few, *quiet, *flags])
    (run,) = folder.iterdir()
    return run


def test_expected_sarsa_runs_by_its_command_and_resumes_exactly(tmp_path: Path) -> None:
    whole = start_run(tmp_path / "whole", "--total-env-steps", "1600")
    assert json.loads((whole / "result.json").read_text())["status"] == "finished"
    metrics = (whole / "metrics.jsonl").read_text()
    assert all(name in metrics for name in ("losses/td_loss", "losses/q_values", "charts/epsilon", "eval/return_mean"))
    stopped = start_run(tmp_path / "stopped", "--total-env-steps", "800")
    expected_sarsa.main(["--resume", str(stopped), "--total-env-steps", "1600"])
    first, second = (load_weights(run / "checkpoints" / "last.safetensors")[0] for run in (whole, stopped))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_expected_sarsa_refuses_continuous_actions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        start_run(tmp_path, "--env", "Pendulum")
    assert "one finite set of actions" in capsys.readouterr().err


# ---- ground truth


@pytest.fixture
def _with_mountaincar(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the example stood in envs/ground_truth/games."""
    monkeypatch.setattr(games, "__path__", [*games.__path__, str(EXAMPLES)])


@pytest.mark.usefixtures("_with_mountaincar")
def test_mountaincar_is_proven_wherever_the_car_stands() -> None:
    game, env = game_of("MountainCar"), gym.make("MountainCar-v0", render_mode="rgb_array")
    env.reset(seed=0)
    problems = []
    for position in np.linspace(-1.2, 0.6, 120):
        env.unwrapped.state = np.array((position, 0.0))  # type: ignore[attr-defined]
        objects, problem = prove(game, game.state(env), game.screen(env))
        problems += [problem] if problem else []
        assert {thing.category for thing in objects} >= {"flag", "pole", "car", "track"} or problem
    env.close()
    assert len(problems) <= 2, problems[:5]


@pytest.mark.usefixtures("_with_mountaincar")
def test_an_object_of_mountaincar_that_is_erased_is_missed() -> None:
    game, env = game_of("MountainCar"), gym.make("MountainCar-v0", render_mode="rgb_array")
    env.reset(seed=0)
    state, screen = game.state(env), game.screen(env)
    objects, problem = prove(game, state, screen)
    assert problem is None
    for thing in objects:
        x, y, width, height = thing.box
        erased = screen.copy()
        erased[y : y + height, x : x + width][thing.mask] = game.background(state)
        assert prove(game, state, erased)[1] is not None, thing.category
    env.close()


@pytest.mark.usefixtures("_with_mountaincar")
def test_mountaincar_gives_a_dataset_and_an_observation(tmp_path: Path) -> None:
    folder = scenes.write(scenes.Config("MountainCar", frames=20, every=2, out=tmp_path / "mountaincar"))
    dataset = data.load(folder)
    assert dataset.categories == ("flag", "pole", "wheel", "car", "track")
    env = make_env("MountainCar", EnvConfig(observe="objects"), observe=object_view(EnvConfig()))
    obs, _ = env.reset(seed=0)
    assert obs.shape == (2,)  # where the car is, and its velocity
    env.close()


# ---- the vision model and the backbone


def test_counting_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    task = counting.CountingTask(counting.CountConfig(), vision_data.dataset(), torch.device("cpu"))
    _, metrics = vision_data.learn_by_heart(task, 150, 1e-2)
    assert metrics["exact"] == 1.0


def test_counting_runs_by_its_command(tmp_path: Path) -> None:
    flags = ["--epochs", "1", "--log-every-updates", "1", "--runs-dir", str(tmp_path), "--wandb.mode", "disabled"]
    counting.main(["--data", str(vision_data.folder()), *flags])
    (run,) = tmp_path.iterdir()
    assert {"exact", "absolute_error"} <= set(json.loads((run / "result.json").read_text())["test"])


@pytest.fixture
def _with_mobilenet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the example stood in rl_gen_lab/backbones, with its line in the table."""
    monkeypatch.setattr(backbones, "__path__", [*backbones.__path__, str(EXAMPLES)])
    for table in (backbones.FIXED, backbones.BACKBONES):
        monkeypatch.setitem(table, "mobilenet", "mobilenet:MobileNet")


@pytest.mark.usefixtures("_with_mobilenet")
def test_the_backbone_learns_under_a_vision_model(tmp_path: Path) -> None:
    quiet = ["--runs-dir", str(tmp_path), "--wandb.mode", "disabled", "--epochs", "1"]
    train_command.main(["classify", "--data", str(vision_data.folder()), "--classify.backbone", "mobilenet", *quiet])
    (run,) = tmp_path.iterdir()
    assert json.loads((run / "result.json").read_text())["status"] == "finished"


@pytest.mark.slow
@pytest.mark.usefixtures("_with_mobilenet")
def test_the_backbone_learns_under_an_agent(tmp_path: Path) -> None:
    short = ["--total-env-steps", "64", "--num-envs", "2", "--rollout-steps", "16", "--minibatch-size", "16"]
    games_of = ["--eval.episodes", "1", "--eval.final-episodes", "1", "--world.max-episode-frames", "200"]
    quiet = ["--runs-dir", str(tmp_path), "--wandb.mode", "disabled", "--no-film"]
    ppo.main(["--env", "Pong", "--backbone", "mobilenet", *short, *games_of, *quiet])
    (run,) = tmp_path.iterdir()
    weights, _ = load_weights(run / "checkpoints" / "last.safetensors")
    assert weights["backbone.conv.0.weight"].shape == (16, 4, 3, 3)
