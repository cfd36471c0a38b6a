"""A world whose dreams have known answers is learned without an error, and each classic mistake has its own price."""

from __future__ import annotations

from dataclasses import replace

import dot_world
import torch
from dot_world import CONFIG
from torch import Tensor

from rl_gen_lab.generators.world_models.pixel_task import PixelDreamTask
from rl_gen_lab.generators.world_models.sequences import SequenceSplit, Windows


def windows_of(split: SequenceSplit) -> Windows:
    return split.windows(range(len(split)))


def rolled_out(windows: Windows, executed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Dream from the first frame on: frames (B, T, H, W), rewards and ends (B, T)."""
    task, _ = dot_world.learned()
    state = task.model.begin(windows.frames[:, :1], executed[:, :0])
    steps = []
    for step in range(executed.shape[1]):
        state, imagined = task.model.imagine(state, executed[:, step])
        steps.append(imagined)
    return (
        torch.stack([step.frames for step in steps], 1),
        torch.stack([step.rewards for step in steps], 1),
        torch.stack([step.ends for step in steps], 1),
    )


def share_right(frames: Tensor, truth: Tensor) -> float:
    return float((frames == truth).flatten(2).all(2).float().mean())


def test_the_next_frame_reward_and_end_are_learned_without_an_error() -> None:
    task, data = dot_world.learned()
    metrics = task.evaluate(data.splits["test"], lambda done: None)
    assert metrics["elbo_bits"] > -1 and metrics["wrong_pixels"] == 0 and metrics["wrong_pixels/5"] == 0
    assert metrics["rewards_found"] == metrics["ends_found"] == 1
    assert metrics["false_rewards"] == metrics["false_ends"] == 0


def test_a_dream_of_eight_steps_shows_what_happens() -> None:
    _, data = dot_world.learned()
    windows = windows_of(data.splits["test"])
    frames, rewards, ends = rolled_out(windows, windows.executed)
    assert torch.equal(frames, windows.frames[:, 1:])
    assert torch.equal(rewards, windows.rewards) and torch.equal(ends > 0.5, windows.ends)
    assert windows.rewards.sum() > 0 and windows.ends.any()


def test_the_action_of_the_step_before_is_right_only_where_both_have_the_same_effect() -> None:
    task, data = dot_world.learned()
    windows = windows_of(data.splits["test"])
    patches = windows.frames[:, 1:-1].flatten(0, 1)[:, None]
    before, now = (windows.executed[:, part].flatten(0, 1) for part in (slice(None, -1), slice(1, None)))
    state = task.model.begin(patches, before[:, None][:, :0])
    _, imagined = task.model.imagine(state, before)
    right = (imagined.frames == windows.frames[:, 2:].flatten(0, 1)).flatten(1).all(1)
    assert torch.equal(right, (before == now).flatten())
    assert 0.1 < float(right.float().mean()) < 0.5


def test_the_reward_of_the_next_step_is_another() -> None:
    _, data = dot_world.learned()
    windows = windows_of(data.splits["test"])
    _, rewards, _ = rolled_out(windows, windows.executed)
    late = (rewards[:, :-1] != windows.rewards[:, 1:]).float().mean()
    expected = (windows.rewards[:, :-1] != windows.rewards[:, 1:]).float().mean()
    assert late == expected > 0


def test_going_on_from_true_frames_hides_what_a_dream_gets_wrong() -> None:
    """With one wrong action at the start, every frame given the true one before is right, and no dreamed one."""
    task, data = dot_world.learned()
    windows = windows_of(data.splits["test"])
    mistaken = windows.executed.clone()
    mistaken[:, 0] = (mistaken[:, 0] + 1) % len(dot_world.MOVES)
    frames, _, _ = rolled_out(windows, mistaken)
    assert share_right(frames, windows.frames[:, 1:]) < 0.2
    given = Windows(windows.frames, mistaken, windows.rewards, windows.ends)
    prediction, target, _ = task._frame_nats(given)
    right = (task.model.draw(prediction.logits) == target).flatten(1).all(1).unflatten(0, (-1, CONFIG.steps))
    assert right[:, 1:].all() and not right[:, 0].any()


def test_windows_never_cross_a_reset() -> None:
    split = dot_world.loaded().splits["train"]
    for index in range(len(split)):
        for offset in (0, 3, 7):
            window = split.windows([index], offset)
            assert not window.ends[0, :-1].any()
            moves = window.executed[0, :, 0].tolist()
            for step, action in enumerate(moves):
                now, after = window.frames[0, step], window.frames[0, step + 1]
                rows, columns = (dot_world.CELL * n for n in dot_world.MOVES[action])
                assert torch.equal(torch.roll(now, (rows, columns), (0, 1)), after)


def test_changed_pixels_count_less_and_less() -> None:
    data = dot_world.loaded()
    settings = replace(CONFIG, changed_weight=9.0, changed_weight_updates=10, plain_updates=5)
    weighted = PixelDreamTask(settings, data, torch.device("cpu"))
    assert [weighted._changed_weight(updates) for updates in (0, 4, 5, 10, 99)] == [1, 1, 3, 1, 1]
