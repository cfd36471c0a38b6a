"""DQN on environments of known value: the right number, and with each classic mistake its own wrong number."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from fake_run import make_agent, step
from torch import Tensor

from agents.dqn import Config
from agents.rl.greedy_policy import GreedyValues
from agents.rl.replay import FLAGS, Batch, Replay, ReplayConfig
from envs.probes.values import KNOWN, MISTAKES
from rl_gen_lab.cli.settings import DeviceConfig

pytestmark = pytest.mark.slow

UPDATES, TOLERANCE = 700, 0.08
SLOW = ("one_gamma_for_n_steps",)  # a discount so near 1 takes longer
CASES = [(world, mistake) for world, answer in KNOWN.items() for mistake in answer.mistakes]


def value_of_start(world: str, updates: int = UPDATES) -> float:
    """What a DQN learns about state 0 from a replay memory of random play."""
    answer = KNOWN[world]
    config = Config(
        env=answer.env,
        num_envs=2,
        gamma=answer.gamma,
        n_step=answer.n_step,
        batch_size=64,
        learning_rate=5e-3,
        adam_eps=1e-8,
        loss="mse",
        target_update_every_updates=20,
        replay=ReplayConfig(capacity=1_600),
        device=DeviceConfig(device="cpu"),
    )
    agent, runner = make_agent(config)
    start = runner.obs[:1].copy()
    for _ in range(1_000):
        step(agent, runner)  # epsilon is still 1
    runner.close()
    for update in range(updates):
        for group in agent.optimizer.param_groups:  # large steps first, small ones to settle
            agent.config = replace(config, learning_rate=5e-3 * (1 - update / updates) + 1e-5)
            group["lr"] = agent.config.learning_rate
        agent.learn()
    return float(GreedyValues(agent.network).values(start).max())


def make_mistake(monkeypatch: pytest.MonkeyPatch, mistake: str) -> None:
    """Break the replay memory in one way, by a plain loop over the window that shares no code with the right one."""
    push, sample = Replay.push, Replay.sample

    def n_step(self: Replay, index: Tensor, n: int, g: float) -> tuple[Tensor, Tensor, Tensor]:
        slots = self.length * self.num_envs
        reward, raised = self.reward.tolist(), self.flags.tolist()  # lists: a loop over tensors is slow
        rewards, discounts, ends = [], [], []
        for start in index.tolist():
            total, at, taken, terminated, truncated = 0.0, start, 0, False, False
            while taken < n:
                total += g**taken * reward[at]
                flags = dict(zip(FLAGS, raised[at], strict=True))
                at, taken = (at + self.num_envs) % slots, taken + 1
                if mistake != "crosses_reset" and (flags["terminated"] or flags["truncated"]):
                    terminated, truncated = flags["terminated"], flags["truncated"]
                    break
            power = {"one_gamma_for_n_steps": 1, "full_gamma_power_for_short_window": n}.get(mistake, taken)
            stop = terminated and mistake != "bootstraps_through_termination"
            stop |= truncated and mistake == "no_bootstrap_at_truncation"
            if truncated and mistake == "bootstraps_from_next_episode":
                at = (at + self.num_envs) % slots
            rewards.append(total)
            discounts.append(0.0 if stop else g**power)
            ends.append(at)
        return torch.tensor(rewards), torch.tensor(discounts), torch.tensor(ends)

    def push_dummies(self: Replay, *args: Tensor) -> None:
        push(self, *args[:-1], torch.zeros_like(args[-1]))

    def sample_without_tails(self: Replay, size: int, n: int, *args: object) -> Batch:
        batch = sample(self, size, n, *args)  # type: ignore[arg-type]
        ends = self.flags[:, FLAGS.index("terminated")] | self.flags[:, FLAGS.index("truncated")]
        steps = torch.arange(n - 1) * self.num_envs
        short = ends[(batch.index[:, None] + steps) % len(ends)].any(1)
        return replace(batch, weight=batch.weight * ~short)

    monkeypatch.setattr(Replay, "_n_step", n_step)
    if mistake == "stores_dummy_step":
        monkeypatch.setattr(Replay, "push", push_dummies)
    if mistake == "drops_episode_tail":
        monkeypatch.setattr(Replay, "sample", sample_without_tails)


@pytest.mark.parametrize("world", KNOWN)
def test_dqn_finds_the_value_known_on_paper(world: str) -> None:
    assert value_of_start(world) == pytest.approx(KNOWN[world].value, abs=TOLERANCE)


@pytest.mark.parametrize(("world", "mistake"), CASES, ids=[f"{w}-{m}" for w, m in CASES])
def test_each_mistake_gives_its_own_wrong_number(monkeypatch: pytest.MonkeyPatch, world: str, mistake: str) -> None:
    make_mistake(monkeypatch, mistake)
    found = value_of_start(world, 1_200 if mistake in SLOW else UPDATES)
    assert found == pytest.approx(KNOWN[world].mistakes[mistake], abs=TOLERANCE * 2)
    assert found != pytest.approx(KNOWN[world].value, abs=TOLERANCE * 2)


def test_every_mistake_is_caught_by_some_world() -> None:
    assert {mistake for _, mistake in CASES} == set(MISTAKES)
