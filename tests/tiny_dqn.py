"""Settings of a run of DQN that takes seconds."""

from __future__ import annotations

TINY = [
    "--preset", "defaults", "--env", "CartPole", "--total-env-steps", "600", "--learning-starts-env-steps", "100",
    "--num-envs", "2", "--checkpoint-every-env-steps", "200", "--eval.every-env-steps", "200", "--eval.episodes", "2",
    "--eval.final-episodes", "2", "--log-every-env-steps", "100", "--no-film", "--wandb.mode", "disabled",
    "--replay.capacity", "500",
]  # fmt: skip
