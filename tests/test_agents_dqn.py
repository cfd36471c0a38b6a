"""DQN: every option changes what it must change; runs are deterministic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from dqn_agents import ACTIONS, PIXELS, SMALL, VECTOR, agent_with_memory, new_agent, random_step, values
from fake_run import FakeRun, NoEnvironments, train
from gymnasium import spaces

from agents import dqn
from agents.dqn import Config, make_agent
from agents.rl.q_networks import QEnsemble
from agents.rl.replay import PreparedBatches, ReplayConfig
from envs.config import EnvConfig
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.runs.weights import load_network


def weights_after(config: Config, updates: int = 3, space: spaces.Box = VECTOR) -> torch.Tensor:
    agent = agent_with_memory(config, space)
    for _ in range(updates):
        agent.learn()
    return torch.cat([p.detach().flatten() for p in agent.online.parameters()])


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"double": False},
        {"n_step": 3},
        {"loss": "mse"},
        {"max_grad_norm": 1e-3, "adam_eps": 1.0},
        {"gamma": 0.5},
        {"learning_rate": 1e-4},
        {"learning_rate_end": 0.0, "total_env_steps": 200},
        {"target_update_every_updates": 1},
        {"target_update_every_updates": 1, "target_tau": 0.5},
        {"replay": ReplayConfig(capacity=400, priority_exponent=0.6)},
        {"n_step": 5, "n_step_end": 1, "horizon_env_steps": 1_000},
        {"seed": 2},
    ],
    ids=lambda change: "-".join(change),
)
def test_each_option_changes_what_is_learned(change: dict[str, object]) -> None:
    # Fast enough that online and target networks come to disagree, else double Q-learning changes nothing.
    plain = replace(SMALL, target_update_every_updates=100, learning_rate=3e-3)
    if "max_grad_norm" in change:
        plain = replace(plain, adam_eps=1.0)  # Adam's usual epsilon makes it blind to the gradient's scale
    changed = replace(plain, **change)
    assert not torch.equal(weights_after(plain, 30), weights_after(changed, 30))


def test_the_same_seed_learns_the_same_weights() -> None:
    assert torch.equal(weights_after(SMALL), weights_after(SMALL))


@pytest.mark.parametrize("change", [{}, {"double": False}, {"double": False, "target_tau": 0.5}])
def test_minibatches_prepared_in_a_second_thread_teach_the_same(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, target_update_every_updates=3, learning_rate=3e-3, n_step=2, **change)
    begun = []

    def begin(batches: PreparedBatches) -> None:
        begun.append(batches)
        real_begin(batches)

    real_begin = PreparedBatches.begin
    monkeypatch.setattr(PreparedBatches, "begin", begin)
    ahead = weights_after(config, 10, PIXELS)
    # The first update may standardize; a change of the target after updates 3, 6, 9 is waited for; double needs all.
    assert len(begun) == (0 if config.double else 7)
    monkeypatch.setattr(PreparedBatches, "begin", lambda batches: None)
    assert torch.equal(ahead, weights_after(config, 10, PIXELS))


@pytest.mark.parametrize("double", [True, False])  # False: minibatches are drawn in a second thread
def test_a_packed_replay_memory_teaches_the_same(double: bool) -> None:
    config = replace(SMALL, double=double, n_step=2)
    packed = replace(config, replay=replace(config.replay, packed=True))
    assert torch.equal(weights_after(config, 10, PIXELS), weights_after(packed, 10, PIXELS))


def test_dueling_adds_a_value_head_that_shifts_every_action_alike() -> None:
    agent = new_agent(SMALL)
    obs = np.ones((1, 4), np.float32)
    before = values(agent, obs)
    assert agent.online.value is not None
    with torch.no_grad():
        agent.online.value.bias += 2.0
    assert np.allclose(values(agent, obs) - before, 2.0, atol=1e-6)
    assert new_agent(replace(SMALL, dueling=False)).online.value is None


def test_a_hard_target_copies_and_a_soft_target_averages() -> None:
    for tau in (1.0, 0.25):
        agent = agent_with_memory(replace(SMALL, target_update_every_updates=2, target_tau=tau))
        before = [p.clone() for p in agent.target.parameters()]
        agent.learn()
        assert all(torch.equal(a, b) for a, b in zip(before, agent.target.parameters(), strict=True))
        agent.learn()
        for old, online, now in zip(before, agent.online.parameters(), agent.target.parameters(), strict=True):
            assert torch.allclose(now, (1 - tau) * old + tau * online, atol=1e-6)
            assert not now.requires_grad


def test_priorities_of_sampled_transitions_become_their_td_errors() -> None:
    config = replace(SMALL, replay=ReplayConfig(capacity=400, priority_exponent=1.0))
    agent = agent_with_memory(config)
    before = agent.replay.priority.clone()
    agent.learn()
    changed = (agent.replay.priority != before).nonzero().flatten()
    assert 1 <= len(changed) <= config.batch_size


def test_standardising_uses_the_frames_seen_and_is_part_of_the_weights() -> None:
    agent = agent_with_memory(replace(SMALL, standardize=True), PIXELS)
    agent.learn()
    first = agent.online.backbone.conv[0]
    frames = agent.replay.frames[: len(agent.replay)].float().view(-1, 36, 36)
    assert torch.allclose(first.mean[2], frames.mean(0), atol=1e-3)
    assert any(name.endswith("mean") for name in agent.online.state_dict())
    assert torch.equal(first.mean, agent.target.backbone.conv[0].mean)
    assert not torch.equal(weights_after(SMALL, 2, PIXELS), weights_after(replace(SMALL, standardize=True), 2, PIXELS))


def test_an_ensemble_judges_by_the_mean_of_the_newest_network_and_its_snapshots() -> None:
    config = replace(SMALL, ensemble_size=3, ensemble_every_env_steps=1)
    agent = agent_with_memory(config)
    obs = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    assert isinstance(agent.network, QEnsemble)
    assert np.array_equal(values(agent, obs), values(agent, obs, agent.online))  # no snapshot yet
    seen = []
    for _ in range(3):  # the first of the three snapshots is overwritten by the last
        for _ in range(20):
            agent.learn()
        agent.network.snapshot()
        seen.append(values(agent, obs, agent.online))
    agent.learn()
    newest = values(agent, obs, agent.online)
    expected = (seen[1] + seen[2] + newest) / 3
    assert np.allclose(values(agent, obs), expected, atol=1e-6)
    assert not np.allclose(expected, newest, atol=1e-6)
    copy = new_agent(replace(config, seed=2))
    load_network(copy.network, agent.network.state_dict(), "the test")
    assert np.array_equal(values(copy, obs), values(agent, obs))


def test_snapshots_are_taken_at_their_steps_once_learning_has_begun() -> None:
    agent = agent_with_memory(replace(SMALL, ensemble_size=3, ensemble_every_env_steps=10))
    assert isinstance(agent.network, QEnsemble)
    assert int(agent.network.taken) == 0
    agent.learn()
    before = agent.env_steps
    for _ in range(25):
        agent.observe(random_step(np.random.default_rng(0), SMALL.num_envs))
    assert int(agent.network.taken) == agent.env_steps // 10 - before // 10 > 0


def test_acting_in_training_follows_the_newest_network() -> None:
    agent = agent_with_memory(replace(SMALL, ensemble_size=2, epsilon_start=0.0, epsilon_end=0.0))
    obs = np.random.default_rng(0).normal(size=(SMALL.num_envs, 4)).astype(np.float32)
    assert isinstance(agent.network, QEnsemble)
    agent.network.snapshot()
    with torch.no_grad():  # snapshots that would choose otherwise
        for weight in agent.network.snapshots.parameters():
            weight.mul_(-100)
    assert np.array_equal(agent.act(obs), values(agent, obs, agent.online).argmax(1))
    assert not np.array_equal(agent.act(obs), values(agent, obs).argmax(1))


def test_updates_keep_up_with_the_steps() -> None:
    agent = agent_with_memory(replace(SMALL, learn_every_env_steps=4), steps=30)  # 60 steps, 40 of them learning
    assert agent.updates_due() == 10
    agent.learn()
    assert agent.updates_due() == 9


@pytest.mark.parametrize(("saved", "loaded"), [(3, 1), (1, 3)])
def test_a_checkpoint_of_another_ensemble_is_refused(saved: int, loaded: int) -> None:
    state = agent_with_memory(replace(SMALL, ensemble_size=saved)).state_dict()
    with pytest.raises(ValueError, match="ensemble_size"):
        agent_with_memory(replace(SMALL, ensemble_size=loaded)).load_state_dict(state)


def test_bfloat16_learns_nearly_what_float32_learns() -> None:
    exact = weights_after(SMALL, 1)
    rough = weights_after(replace(SMALL, device=DeviceConfig(device="cpu", precision="bfloat16")), 1)
    assert not torch.equal(exact, rough)
    assert torch.allclose(exact, rough, atol=5e-4)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:Synchronization debug mode")  # torch says that it does not see every wait
def test_an_update_on_a_gpu_never_waits_for_the_host() -> None:
    for exponent in (0.0, 0.5):
        config = replace(SMALL, replay=ReplayConfig(capacity=400, priority_exponent=exponent))
        runner = NoEnvironments(config.num_envs, PIXELS, ACTIONS)
        agent = make_agent(config, FakeRun(config, env_runner=runner, device=torch.device("cuda")))
        rng = np.random.default_rng(0)
        for _ in range(60):
            agent.observe(random_step(rng, config.num_envs, PIXELS))
        agent.learn()  # the first one also prepares kernels
        torch.cuda.set_sync_debug_mode("error")
        try:
            agent.learn()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_pixels_learn_on_a_game() -> None:
    config = replace(SMALL, env="Pong", world=EnvConfig(image_size=36), learning_starts_env_steps=40)
    run = train(config, env_steps=80)
    assert run.updates > 0
    assert set(run.learned) == {"losses/td_loss", "losses/q_values", "losses/grad_norm"}
    assert all(np.isfinite(float(value)) for value in run.learned.values())


TINY = [
    "--env", "CartPole", "--total-env-steps", "600", "--learning-starts-env-steps", "200", "--num-envs", "2",
    "--checkpoint-every-env-steps", "200", "--eval.every-env-steps", "300", "--eval.episodes", "2",
    "--eval.final-episodes", "3", "--log-every-env-steps", "100", "--no-film", "--wandb.mode", "disabled",
]  # fmt: skip


def test_a_run_leaves_its_whole_record(tmp_path: Path) -> None:
    dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    (run,) = tmp_path.iterdir()
    result = json.loads((run / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["total_env_steps"] == 600
    assert len(result["final_eval"]["returns"]) == 3
    config = json.loads((run / "config.json").read_text())
    assert config["env_id"] == "CartPole-v1"
    assert len(config["fingerprint"]["hash"]) == 12
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = {name for line in lines for name in line}
    assert {"charts/episodic_return", "losses/td_loss", "charts/epsilon", "charts/SPS", "eval/return_mean"} <= names
    assert {"best.safetensors", "last.safetensors", "latest"} <= {p.name for p in (run / "checkpoints").iterdir()}
