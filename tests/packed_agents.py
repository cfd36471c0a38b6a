"""The packed policy of Pong that the checkout holds: a trained network without a training."""

from __future__ import annotations

import functools
from pathlib import Path

from agents.analysis.explained import explained
from agents.analysis.frames import Kept, collect
from agents.analysis.witness import Witness
from agents.compression.policy_file import PackedPolicy
from rl_gen_lab.explain.model import Explained

FILE = Path(__file__).resolve().parent.parent / "models" / "pong.rlz"


@functools.cache
def pong() -> PackedPolicy:
    return PackedPolicy.read(FILE)


@functools.cache
def pong_gap() -> Explained:
    return explained(pong().policy, "gap")[0]


@functools.cache
def pong_frames() -> list[Kept]:
    """A dozen chosen frames of two games; not to be changed."""
    witness = Witness(pong().env, pong().world)
    kept = collect(witness, pong().policy, episodes=2, seed=3, count=12, most_steps=90)
    witness.close()
    return kept
