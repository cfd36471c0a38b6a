"""Recorded chunks are those that an actor played, without what only it needs."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise

import pytest
import torch
from policy_gradient_configs import A2C

from agents.experiments.fake_actors import raise_file_limit, recorded_chunks
from agents.rl.on_policy_actor import make_network
from agents.training.metadata import RunSpec
from agents.training.rollout_actor import Recipe
from agents.training.rollout_chunks import ChunkReader
from envs.factory import make_env


def test_chunks_go_on_where_the_one_before_ended() -> None:
    env = make_env("CartPole")
    torch.manual_seed(0)
    network = make_network(A2C, env.observation_space, env.action_space)
    env.close()
    recipe = Recipe(RunSpec.resolve("actor_critic", A2C), 0, 0, 1, 16, network, 1, nullcontext, packed=True)
    layout, chunks = recorded_chunks(recipe, 4)
    blocks = [bytearray(chunk) for chunk in chunks]
    read = [ChunkReader(layout).read(layout.arrays(block)) for block in blocks]
    assert layout.mind_bytes == 8 and len(chunks[0]) < 5_000
    for one, other in pairwise(read):
        assert (one["obs"][-1] == other["obs"][0]).all()
    assert sum(int((chunk["episode_length"] > 0).sum()) for chunk in read) >= 1


def test_too_many_files_are_refused() -> None:
    raise_file_limit(10)
    with pytest.raises(OSError, match="connections need as many open files, and the system allows"):
        raise_file_limit(10**9)
