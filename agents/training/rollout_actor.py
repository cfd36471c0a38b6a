"""An actor: copies of the environment and of the policy that play chunks, here or in a process of its own."""

from __future__ import annotations

import os
import pickle
import struct
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
import torch
from gymnasium import Space
from torch import Tensor

from agents.rl.distributions import ActionNoise
from agents.rl.policy_networks import ActorCritic
from agents.training.env_runner import VectorEnvRunner
from agents.training.metadata import RunSpec
from agents.training.rollout_chunks import Arrays, ChunkLayout, ChunkWriter
from agents.training.rollout_pulse import BEATS
from agents.training.rollout_weights import SharedWeights
from rl_gen_lab.cli.errors import UserError
from rl_gen_lab.compute.seeding import Generators

COUNT, COUNT_BYTES = struct.Struct("<q"), 64  # of signs of life; the blocks behind it stay aligned


@dataclass(frozen=True)
class Recipe:
    """What an actor is made from, the same in every process.

    spec: of the run; number: of the actor; stream: of its random numbers, different for each; envs: n, its copies of
    the environment; rows: T of a chunk, at most; network: the policy, on the CPU; hold_steps: of its action noise;
    precision: a context to act in; packed: whether frames travel packed.
    """

    spec: RunSpec
    number: int
    stream: int
    envs: int
    rows: int
    network: ActorCritic
    hold_steps: int
    precision: Callable[[], AbstractContextManager[Any]]
    packed: bool

    def of_actor(self, number: int) -> Recipe:
        """Return the recipe of another actor; this is that of the first. In this process they share one network."""
        return replace(self, number=number, stream=self.stream + number)


@dataclass(frozen=True)
class Start:
    """Where an actor begins: restart number, vector steps in all, actions (T, n, ...) since the restart, mind (M,)."""

    restarts: int
    steps: int
    actions: np.ndarray
    mind: np.ndarray | None


@dataclass(frozen=True)
class Order:
    """A chunk to play: into which block, of how many rows, by which publication of the weights.

    epoch: number of the restart that the learner had told of; serial: number of the order.
    """

    block: int
    epoch: int
    serial: int
    rows: int
    publication: int


class Player:
    """A policy that acts for n environments, with noise and memory: on its own what `OnPolicyActor.act` does."""

    def __init__(self, recipe: Recipe, observation_space: Space[Any]) -> None:
        self.network, self.precision = recipe.network, recipe.precision
        generator = Generators(recipe.spec.config.seed, recipe.stream).torch("actions")
        self.noise = ActionNoise(recipe.hold_steps, recipe.envs, generator)
        self.state = self.network.start(recipe.envs)
        shape = (recipe.envs, *(observation_space.shape or ()))
        dtype = torch.uint8 if len(shape) == 4 else torch.float32
        with torch.no_grad():
            policy, _ = self.network.act(torch.zeros(shape, dtype=dtype), torch.ones(recipe.envs) > 0, self.state)
        noise = policy.noise(torch.Generator())
        self._held = noise if recipe.hold_steps > 1 else noise[:0]
        self.sampled = policy.reparametrize(noise).detach().numpy()  # for its type and shape

    def act(self, obs: np.ndarray, first: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return actions as the head samples them, and their log-probabilities (n,) float32."""
        with torch.no_grad():
            with self.precision():
                policy, self.state = self.network.act(torch.from_numpy(obs), torch.from_numpy(first), self.state)
            action = self.noise.sample(policy)
            return action, policy.log_prob(action)

    def mind(self) -> np.ndarray:
        """Return what is remembered from step to step as bytes (M,): noise, its generator, state of an LSTM."""
        held = self._held if self.noise.held is None or not len(self._held) else self.noise.held
        steps = torch.tensor([self.noise.steps])
        parts = [self.noise.generator.get_state(), steps, held, *([] if self.state is None else [self.state])]
        return np.concatenate([part.contiguous().view(-1).numpy().view(np.uint8) for part in parts])

    def remember(self, mind: np.ndarray) -> None:
        """Go on from what `mind` returned."""
        own = self.noise.generator.get_state().numel()
        self.noise.generator.set_state(torch.from_numpy(mind[:own].copy()))
        self.noise.steps = int(mind[own : own + 8].copy().view(np.int64)[0])
        end = own + 8 + 4 * self._held.numel()
        if len(self._held):
            held = torch.from_numpy(mind[own + 8 : end].copy().view(np.float32)).view(self._held.shape)
            self.noise.held = held if self.noise.steps else None
        self.state = self.memory_in(mind)

    def memory_in(self, mind: np.ndarray) -> Tensor | None:
        """Return the LSTM's state (2, n, units) in what `mind` returned; None without one."""
        if self.state is None:
            return None
        return torch.from_numpy(mind[-4 * self.state.numel() :].copy().view(np.float32)).view(self.state.shape)


class Actor:
    """Plays chunks of whole rows. Raises what environments raise."""

    def __init__(self, recipe: Recipe) -> None:
        config = recipe.spec.config
        seeds = Generators(config.seed, recipe.stream)
        self.runner = VectorEnvRunner(recipe.spec.env_id, recipe.envs, config.world, seeds)
        self.player = Player(recipe, self.runner.observation_space)
        spaces = self.runner.observation_space, self.runner.action_space
        self.layout = layout_of(recipe, self.player, *spaces)
        self._recipe, self._fresh, self._writer = recipe, self.player.mind(), ChunkWriter(self.layout)

    def begin(self, start: Start) -> None:
        """Begin or repeat games up to a step, and go on from there."""
        self.runner.load_state_dict({"restarts": start.restarts, "steps": start.steps, "actions": start.actions})
        self.player.remember(self._fresh if start.mind is None else start.mind)

    def play(self, arrays: Arrays, order: Order, version: int, waited: float) -> None:
        """Play a chunk into a block. version: updates that made the weights; waited: for the order [s]."""
        begun = time.perf_counter()
        for t in range(order.rows):
            head, log_prob = self.player.act(self.runner.obs, self.runner.first)
            step, episodes = self.runner.step(self.player.network.head.to_env(head))
            returns, lengths = np.zeros(len(head)), np.zeros(len(head), np.int64)
            for episode in episodes:
                returns[episode.env], lengths[episode.env] = episode.episodic_return, episode.length
            numbers = {"head": head.numpy(), "log_prob": log_prob.numpy(), "mind": self.player.mind()}
            self._writer.row(arrays, t, step, **numbers, episode_return=returns, episode_length=lengths)
        ids = {"actor": self._recipe.number, "version": version} | {
            name: getattr(order, name) for name in ("epoch", "serial", "rows")
        }
        self._writer.end(arrays, ids, waited, time.perf_counter() - begun)


def layout_of(recipe: Recipe, player: Player, observation_space: Space[Any], action_space: Space[Any]) -> ChunkLayout:
    """Return the layout of an actor's chunks."""
    shape, actions = observation_space.shape or (), np.asarray(action_space.sample())
    stacked = recipe.packed and len(shape) == 3 and observation_space.dtype == np.uint8
    return ChunkLayout(
        rows=recipe.rows,
        envs=recipe.envs,
        obs_shape=shape,
        obs_dtype=str(observation_space.dtype),
        channels=shape[0] // recipe.spec.config.world.frame_stack if stacked else 0,
        action_shape=actions.shape,
        action_dtype=str(actions.dtype),
        head_shape=player.sampled.shape[1:],
        head_dtype=str(player.sampled.dtype),
        mind_bytes=len(player.mind()),
    )


def block_of(memory: SharedMemory, block: int, layout: ChunkLayout) -> memoryview:
    """Return a block of an actor's memory, which begins with the count of its signs of life."""
    assert memory.buf is not None
    begin = COUNT_BYTES + block * layout.size_bytes
    return memory.buf[begin : begin + layout.size_bytes]


def signs_of_life(memory: SharedMemory) -> int:
    """Return how many signs of life an actor has given by its memory."""
    assert memory.buf is not None
    return int(COUNT.unpack_from(memory.buf)[0])


def _live(memory: SharedMemory, seconds: float) -> None:
    """Give a sign of life each so many seconds, from now on."""
    assert memory.buf is not None
    while True:
        COUNT.pack_into(memory.buf, 0, signs_of_life(memory) + 1)
        time.sleep(seconds)


def serve(pickled: bytes, connection: Connection, blocks: str, weights: str, places: int, layout: ChunkLayout) -> None:
    """Be an actor in a process of its own, until the connection ends.

    Takes `Start` and `Order`, gives each order back once its block is filled, or the text of an error. pickled: a
    `Recipe`; blocks, weights: names of the shared memory; places: of publications in the latter.
    """
    memory, published = SharedMemory(blocks), SharedMemory(weights)
    try:
        recipe: Recipe = pickle.loads(pickled)
        seconds = recipe.spec.config.run.rank_timeout_seconds / BEATS
        threading.Thread(target=_live, args=(memory, seconds), daemon=True).start()
        torch.set_num_threads(recipe.spec.config.device.threads)
        spec = RunSpec.resolve(recipe.spec.algo, recipe.spec.config)  # registers environments that are made by name
        actor = Actor(replace(recipe, spec=spec))
        shared = SharedWeights(published.buf, recipe.network, places)
        waiting_since = time.perf_counter()
        while True:
            asked = connection.recv()
            if isinstance(asked, Start):
                actor.begin(asked)
                continue
            waited = time.perf_counter() - waiting_since
            version = shared.fetch(asked.publication)
            actor.play(layout.arrays(block_of(memory, asked.block, layout)), asked, version, waited)
            connection.send(asked)
            waiting_since = time.perf_counter()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except Exception as error:
        with suppress(OSError):  # the learner may have ended in the meantime
            connection.send(str(error) if isinstance(error, UserError) else traceback.format_exc())
    os._exit(0)  # at once: arrays still share the memory, which Python would complain of
