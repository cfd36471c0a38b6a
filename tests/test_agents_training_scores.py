"""Evaluations as in training: sampled actions, a task of their own, training undisturbed; where greed fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import odd_envs
import odd_runs
import pytest

from agents.training.load import kept_weights, load_policy
from rl_gen_lab.runs.checkpoints import load_weights

pytestmark = pytest.mark.slow
EVALUATIONS = ("--eval.episodes", "20", "--eval.final-episodes", "20", "--no-film")


@pytest.mark.parametrize("agent", odd_runs.POLICIES)
def test_sampled_evaluations_are_another_task_and_leave_training_as_it_is(agent: str, tmp_path: Path) -> None:
    weights, tasks, means = {}, {}, {}
    for name in ("--eval.no-stochastic", "--eval.stochastic"):
        with odd_envs.registered("Alternate") as env:
            found, said = odd_runs.run(agent, tmp_path / name, env, *EVALUATIONS, name)
            weights[name], _ = load_weights(found.checkpoints / "last.safetensors")
            config, result = found.read_config(), found.read_result()["final_eval"]
            tasks[name], means[name] = config["fingerprint"]["fields"], result["return_mean"]
            assert result["protocol"].get("stochastic", False) == (name == "--eval.stochastic")
            assert ("eval_stochastic True" in said) == (name == "--eval.stochastic")
            played = odd_runs.play(found, "--seed", str(result["protocol"]["seed"]), "--episodes", "20")
            assert f"{result['return_mean']:.2f} ± {result['return_std']:.2f} over 20" in played  # drawn alike
            assert (", sampled actions" in played) == (name == "--eval.stochastic")
            assert ", sampled actions" in odd_runs.play(found, "--stochastic")
            assert ", sampled actions" not in odd_runs.play(found, "--greedy")
            odd_runs.resume(agent, found, "--total-env-steps", "64")
    (greedy, sampled), (one, other) = means.values(), tasks.values()
    assert greedy == 0.0 and sampled > 0.8  # 1.5 of a policy that takes both actions equally often
    assert other == one | {"eval_stochastic": True} and "eval_stochastic" not in one
    one, other = weights.values()
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


@pytest.mark.parametrize("agent", ["dqn", "sb3 dqn"])
def test_action_values_have_no_policy_to_sample(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with odd_envs.registered() as env:
        with pytest.raises(SystemExit):
            odd_runs.run(agent, tmp_path / "runs", env, "--eval.stochastic")
        assert not list((tmp_path / "runs").iterdir()) and "run folder" not in capsys.readouterr().out
        found, _ = odd_runs.run(agent, tmp_path / "runs", env, "--no-film")
        with pytest.raises(SystemExit):
            odd_runs.play(found, "--stochastic")
    assert "this agent has action values only" in capsys.readouterr().err


def test_noise_of_the_reference_that_is_not_drawn_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        odd_runs.run("sb3 ppo", tmp_path, "Pendulum", "--ppo.use-sde", "--eval.stochastic")
    assert "eval.stochastic cannot draw the noise of use_sde" in capsys.readouterr().err


@pytest.mark.parametrize("agent", ["ppo", "sb3 a2c"])
def test_a_greedy_policy_far_below_training_is_said_once_and_sampled_ones_never(agent: str, tmp_path: Path) -> None:
    said = {}
    for name in ("--eval.no-stochastic", "--eval.stochastic"):
        with odd_envs.registered("Alternate") as env:
            # Evaluations at steps 100, 200 and 300, after at least ten training episodes.
            flags = ("--total-env-steps", "300", "--eval.every-env-steps", "100", *EVALUATIONS, name)
            _, said[name] = odd_runs.run(agent, tmp_path / name, env, *flags)
    assert said["--eval.no-stochastic"].count("note: the greedy policy earns 0.00 in evaluation and ") == 1
    assert "the greedy policy" not in said["--eval.stochastic"]


def test_an_evaluation_depends_on_the_run_s_seed_alone(tmp_path: Path) -> None:
    """A policy that draws is seeded by each evaluation, so that a resumed run scores as one that was not stopped."""
    flags = ("--eval.stochastic", *EVALUATIONS)
    with odd_envs.registered("Alternate") as env:
        whole, _ = odd_runs.run("ppo", tmp_path / "whole", env, *flags)
        halves, _ = odd_runs.run("ppo", tmp_path / "halves", env, *flags, "--total-env-steps", "24")
        odd_runs.resume("ppo", halves, "--total-env-steps", "48")
    last = [
        [line["eval/return_mean"] for line in found.read_metrics() if "eval/return_mean" in line][-1]
        for found in (whole, halves)
    ]
    assert last[0] == last[1] and np.isfinite(last[0])
    assert whole.read_result()["final_eval"]["returns"] == halves.read_result()["final_eval"]["returns"]


def test_weights_of_every_evaluation_are_kept_on_demand(tmp_path: Path) -> None:
    flags = ("--total-env-steps", "300", "--eval.every-env-steps", "100", *EVALUATIONS)
    with odd_envs.registered("Alternate") as env:
        plain, _ = odd_runs.run("ppo", tmp_path / "plain", env, *flags)
        found, _ = odd_runs.run("ppo", tmp_path / "kept", env, *flags, "--eval.keep-weights")
        kept = kept_weights(found)
        scores = [line["eval/return_mean"] for line in found.read_metrics() if "eval/return_mean" in line]
        files = [load_weights(found.checkpoints / f"{name}.safetensors") for name in kept.values()]
        load_policy(found, next(iter(kept.values())))  # each is an agent that plays
    assert kept_weights(plain) == {} and len(kept) == 3 and list(kept) == sorted(kept)
    assert [float(about["return_mean"]) for _, about in files] == scores[:3]
    first, last = files[0][0], files[-1][0]
    assert any((first[name] != last[name]).any() for name in first)
