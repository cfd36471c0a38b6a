"""What a student learns from: states that it meets itself, each with the teacher's scores of all actions.

Source: Ross et al. 2011, "A reduction of imitation learning and structured prediction to no-regret online learning"
(DAgger): first the teacher plays, then the student more and more often, and the teacher says what it would have done.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from agents.compression.teacher import Teacher
from agents.training.env_runner import VectorEnvRunner
from agents.training.memory_check import EMULATOR_BYTES, FLOAT_BYTES
from rl_gen_lab.compression.recipe import Common
from rl_gen_lab.compute.memory_budget import fitting, refuse_too_large
from rl_gen_lab.compute.seeding import Generators

RANDOM = 0.01  # probability of a random action
CPU = torch.device("cpu")


def check_memory(teacher: Teacher, common: Common) -> None:
    """Refuse settings of a recipe whose memory is not free, before anything is allocated. Raises: ConfigError.

    The first bit of play by the teacher keeps all its states.
    """
    seen = math.prod(teacher.shape)
    state = seen + FLOAT_BYTES * teacher.actions
    copy = EMULATOR_BYTES + 2 * seen  # of an environment: observations before and after a step
    numbers = {
        "num_envs": (common.num_envs, copy + state),
        "memory": (common.memory, state),
        "first_steps": (common.first_steps, common.num_envs * state),
        "batch_size": (common.batch_size, (1 + FLOAT_BYTES) * seen),
    }
    for name, (number, bytes_each) in numbers.items():
        what = f"{name} = {number:,} of the recipe takes at least"
        refuse_too_large(number * bytes_each, what, CPU, f"{name} = {fitting(bytes_each, CPU)} or less")


class StudentPlay:
    """A segment of play, and a memory of its last states. Everything follows from the seed and the segment's number."""

    def __init__(self, teacher: Teacher, num_envs: int, memory: int, seed: int, segment: int) -> None:
        """memory: states that are kept, at least those of one vector step."""
        self.teacher, self.num_envs = teacher, num_envs
        self.generators = Generators(Generators(seed).integer("segment", segment))
        self.runner = VectorEnvRunner(teacher.env, num_envs, teacher.world, self.generators)
        self.rng = self.generators.numpy("play")
        self.size = max(memory // num_envs, 1) * num_envs
        self.obs = torch.zeros((self.size, *teacher.shape), dtype=torch.uint8)
        self.scores = torch.zeros((self.size, teacher.actions))
        self.seen = 0

    def step(self, student: Callable[[np.ndarray], np.ndarray], teacher_plays: float) -> None:
        """Play a vector step and remember its states.

        student: observations (N, C, H, W) -> actions (N,). teacher_plays: probability that the teacher acts.
        """
        obs = self.runner.obs
        scores = self.teacher.logits(obs, self.runner.first)
        place = self.seen % self.size
        self.obs[place : place + self.num_envs] = torch.from_numpy(obs)
        self.scores[place : place + self.num_envs] = torch.from_numpy(scores)
        self.seen += self.num_envs
        actions = scores.argmax(1)
        own = self.rng.random(self.num_envs) >= teacher_plays
        if own.any():
            actions[own] = student(obs[own])
        chance = self.rng.random(self.num_envs) < RANDOM
        actions[chance] = self.rng.integers(0, self.teacher.actions, int(chance.sum()))
        self.runner.step(actions)

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """Draw states (count, C, H, W) uint8 and the teacher's scores (count, A) float32."""
        places = torch.from_numpy(self.rng.integers(0, min(self.seen, self.size), count))
        return self.obs[places], self.scores[places]

    def greedy(self, obs: np.ndarray) -> np.ndarray:
        """The teacher's actions (N,)."""
        return self.teacher.logits(obs, np.ones(len(obs), bool)).argmax(1)

    def remembered_scores(self) -> Tensor:
        """The teacher's scores of all remembered states, (N, A)."""
        return self.scores[: min(self.seen, self.size)]

    def close(self) -> None:
        """Free the environments."""
        self.runner.close()
