"""Teachers: scores of actions, sizes, and agents that cannot teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from compressed_agents import QUIET, teacher_run

from agents import ppo
from agents.compression.teacher import Teacher
from rl_gen_lab.cli.errors import ConfigError


def ppo_run(path: Path, *words: str) -> Path:
    tiny = ["--preset", "defaults", "--num-envs", "2", "--rollout-steps", "8", "--minibatch-size", "16"]
    limits = ["--total-env-steps", "32", "--eval.episodes", "1", "--eval.final-episodes", "1"]
    capped = ["--world.max-episode-frames", "80"]
    ppo.main([*words, *tiny, *limits, *capped, "--no-film", "--runs-dir", str(path), *QUIET])
    (run,) = path.iterdir()
    return run


def test_an_ensemble_teaches_by_its_mean_and_both_sizes_are_known() -> None:
    teacher = Teacher.of(teacher_run())
    obs = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84)).astype(np.uint8)
    scores = teacher.logits(obs, np.ones(3, bool))
    assert scores.shape == (3, 6) and teacher.is_value and teacher.actions == 6
    assert (scores.argmax(1) == teacher.policy.act(obs)).all()
    assert teacher.all_networks_bytes == 2 * teacher.one_network_bytes
    assert teacher.one_network_bytes == 4 * 425_047  # small, dueling, six actions: without the mean frame


def test_a_policy_teaches_by_log_probabilities(tmp_path: Path) -> None:
    teacher = Teacher.of(ppo_run(tmp_path, "--env", "Pong"))
    obs = np.zeros((2, 4, 84, 84), np.uint8)
    scores = teacher.logits(obs, np.ones(2, bool))
    assert not teacher.is_value and np.allclose(np.exp(scores).sum(1), 1, atol=1e-5)


def test_agents_without_frames_or_single_actions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not see frames"):
        Teacher.of(ppo_run(tmp_path / "a", "--env", "CartPole"))
    with pytest.raises(ConfigError, match="continuous actions"):
        Teacher.of(ppo_run(tmp_path / "b", "--env", "Pendulum"))
