"""Play that a student learns from: who acts, what is remembered, the same from the same seed."""

from __future__ import annotations

import numpy as np
import torch
from compressed_agents import teacher_run

from agents.compression.student_play import StudentPlay
from agents.compression.teacher import Teacher

NUM_ENVS = 4


def play_of(memory: int = 64, segment: int = 0) -> StudentPlay:
    return StudentPlay(Teacher.of(teacher_run()), NUM_ENVS, memory, 0, segment)


def test_a_segment_is_a_function_of_seed_and_number() -> None:
    seen = []
    for segment in (1, 1, 2):
        play = play_of(segment=segment)
        for _ in range(3):
            play.step(lambda obs: np.zeros(len(obs), int), teacher_plays=0.5)
        seen.append(play.sample(10)[0])
        play.close()
    assert torch.equal(seen[0], seen[1]) and not torch.equal(seen[0], seen[2])


def test_the_student_is_asked_for_its_share_and_scores_are_the_teachers() -> None:
    play = play_of()
    asked = []

    def student(obs: np.ndarray) -> np.ndarray:
        asked.append(len(obs))
        return np.full(len(obs), 3)

    play.step(student, teacher_plays=1.0)
    assert not asked
    play.step(student, teacher_plays=0.0)
    assert asked == [NUM_ENVS]
    sent = play.runner.actions_since_restart[-1]
    assert (sent == 3).mean() > 0.7  # but for random actions
    obs, scores = play.sample(20)
    assert np.allclose(scores.numpy(), play.teacher.logits(obs.numpy(), np.ones(20, bool)), atol=1e-5)
    play.close()


def test_the_memory_keeps_the_last_states() -> None:
    play = play_of(2 * NUM_ENVS)
    for number in range(5):
        if number == 3:
            last = play.runner.obs.copy()
        play.step(play.greedy, teacher_plays=1.0)
    assert len(play.remembered_scores()) == 2 * NUM_ENVS
    kept = play.obs.numpy()
    assert (kept[NUM_ENVS : 2 * NUM_ENVS] == last).all() and not (kept[:NUM_ENVS] == last).all()
    play.close()
