"""Recorded play in a file: back bit for bit, about as long as the model says, and damaged files refused."""

from __future__ import annotations

import math

import latent_runs
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transition_folders import pong_transitions

from rl_gen_lab.data.records import DataError
from rl_gen_lab.generators.world_models import recording
from rl_gen_lab.generators.world_models.patches import to_patches
from rl_gen_lab.generators.world_models.pixels import PixelDream
from rl_gen_lab.generators.world_models.sequence_codec import HEADER, Play, SequenceCodec
from rl_gen_lab.training.load import load_dream


def codec() -> SequenceCodec:
    dream = load_dream(latent_runs.dream_run("pixels").path)
    assert isinstance(dream.model, PixelDream)
    return SequenceCodec(dream.model, dream.world, dream.digest)


def play(steps: int = 6, episodes: int = 2) -> list[Play]:
    dream = load_dream(latent_runs.dream_run("pixels").path)
    split = recording.load(pong_transitions(), 2, 6, dream.world).splits["train"]
    return [(e.frames[: steps + 1], e.executed[:steps]) for e in split.episodes[:episodes]]


def same(one: list[Play], other: list[Play]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


def test_play_comes_back_bit_for_bit() -> None:
    coder, episodes = codec(), play()
    data = coder.encode(episodes)
    assert same(coder.decode(data), episodes) and coder.steps(data) == 12


@settings(max_examples=5)
@given(st.integers(0, 2**16), st.integers(1, 3))
def test_any_frames_and_actions_come_back(seed: int, steps: int) -> None:
    coder = codec()
    draws = torch.Generator().manual_seed(seed)
    colors, actions = len(coder.world.colors), coder.world.num_actions
    frames = play(1, 1)[0][0][:1].repeat(steps + 1, 1, 1)
    spots = torch.rand(frames.shape, generator=draws) < 0.001
    frames[spots] = torch.randint(colors, (int(spots.sum()),), generator=draws, dtype=torch.uint8)
    executed = torch.randint(-1, actions, (steps, coder.world.frame_skip), generator=draws)
    assert same(coder.decode(coder.encode([(frames, executed)])), [(frames, executed)])


def test_the_length_is_what_the_model_says() -> None:
    """By the frames' probabilities given all codes' shares, actions and first frames; bits back saves the rest."""
    coder, episodes = codec(), play(8, 3)
    data = coder.encode(episodes)
    bits = 0.0
    for frames, executed in episodes:
        patches = to_patches(torch.cat((frames[:1], frames))[None], coder.model.grid)
        target = patches[0, 2:]
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            prediction = coder.model(patches[:, :-1], executed[None], following=target, generator=draws)[0]
        logits = prediction.logits[:, :-1]
        nats = (F.cross_entropy(logits, target.long(), reduction="none") * coder.model.inside).sum()
        bits += float(nats + prediction.code_nats.sum()) / math.log(2)
        still = F.nll_loss(coder._still().log_softmax(0)[None], frames[:1].long(), reduction="sum")
        bits += float(still) / math.log(2) + len(executed) * math.log2(coder.world.num_actions + 1)
    assert 8 * len(data) == pytest.approx(bits, rel=0.05)


def test_damaged_and_foreign_files_are_refused() -> None:
    coder = codec()
    data = coder.encode(play(3, 1))
    for broken in (b"", data[: HEADER.size - 1], b"x" * 100, data[: HEADER.size + 2], data[:-8], data[:40]):
        with pytest.raises(DataError):
            coder.decode(broken)
    flipped = bytearray(data)
    flipped[-20] ^= 4
    with pytest.raises(DataError, match="cannot be decoded"):
        coder.decode(bytes(flipped))
    other = SequenceCodec(coder.model, coder.world, "0" * 12)
    with pytest.raises(DataError, match="another run"):
        other.decode(data)
    with pytest.raises(DataError, match="another version"):
        coder.decode(data[:4] + b"\x09" + data[5:])


def test_a_color_without_a_number_is_refused() -> None:
    coder, ((frames, executed),) = codec(), play(2, 1)
    with pytest.raises(DataError, match="cannot be encoded"):
        coder.encode([(torch.full_like(frames, len(coder.world.colors)), executed)])
