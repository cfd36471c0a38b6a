"""REINFORCE, actor-critic and PPO: options change what they must, statistics freeze, memories reset."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from fake_run import actor_of, learn, make_agent, network_of
from policy_gradient_configs import A2C, PPO, REINFORCE, weights_after

from agents import actor_critic, play, ppo, reinforce
from agents.rl.greedy_policy import GreedyActor
from agents.training.cli import PRESETS, parse
from agents.training.config import PolicyConfig
from agents.training.load import load_policy
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder

AGENTS: dict[str, tuple[ModuleType, str, Any]] = {
    "actor_critic": (actor_critic, "A2C", A2C),
    "ppo": (ppo, "PPO", PPO),
    "reinforce": (reinforce, "Reinforce", REINFORCE),
}


CHANGES: list[tuple[Any, dict[str, Any]]] = [
    *[
        (plain, change)
        for plain in (A2C, PPO, REINFORCE)
        for change in (
            {"gamma": 0.5},
            {"learning_rate": 1e-4},
            {"learning_rate_end": 0.0, "total_env_steps": 200},
            {"entropy_coefficient": 0.1},
            {"entropy_coefficient": 0.1, "entropy_coefficient_end": 0.0, "total_env_steps": 5_000},
            {"normalize_advantages": "other"},
            {"policy": PolicyConfig("mlp_small", normalize_obs=True)},
            {"policy": PolicyConfig("mlp_tanh")},
            {"policy": PolicyConfig("mlp_small", noise_hold_steps=5)},
            {"seed": 2},
        )
    ],
    *[
        (plain, change)
        for plain in (A2C, PPO)
        for change in (
            {"gae_lambda": 0.3},
            {"value_coefficient": 0.1},
            {"max_grad_norm": 1e-4},
            {"normalize_rewards": True},
            {"shared_backbone": False},
            {"lstm_units": 8},
        )
    ],
    (A2C, {"optimizer": "adam"}),
    (replace(A2C, shared_backbone=False), {"value_updates": 3}),
    (A2C, {"optimizer_eps": 1.0}),
    (PPO, {"clip": 0.001}),
    (PPO, {"clip_end": 0.0001, "total_env_steps": 48}),
    (PPO, {"value_clip": 0.01}),
    (PPO, {"kl_stop_nats": 1e-7}),
    (PPO, {"epochs": 2}),
    (PPO, {"minibatch_size": 8}),
    *[(REINFORCE, {"baseline": name}) for name in ("none", "mean", "moving-average", "leave-one-out")],
    (REINFORCE, {"normalize_rewards": True}),
    (REINFORCE, {"value_learning_rate": 1e-4}),
    (REINFORCE, {"value_updates": 2}),
    (REINFORCE, {"value_batch_size": 4}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plain", "change"), CHANGES, ids=[f"{type(c).__module__[7:]}-{'-'.join(d)}" for c, d in CHANGES]
)
def test_each_option_changes_what_is_learned(plain: Any, change: dict[str, Any]) -> None:
    if change.get("normalize_advantages") == "other":
        change = {"normalize_advantages": not plain.normalize_advantages}
    found, other = weights_after(plain), weights_after(replace(plain, **change))
    assert found.shape != other.shape or not torch.equal(found, other)


@pytest.mark.parametrize("plain", [A2C, PPO, REINFORCE], ids=list(AGENTS))
def test_the_same_seed_learns_the_same_weights(plain: Any) -> None:
    assert torch.equal(weights_after(plain), weights_after(plain))


# ---- environments of every kind

KINDS: dict[str, dict[str, Any]] = {
    "continuous": {"env": "Pendulum"},
    "squashed": {"env": "Pendulum", "policy": PolicyConfig("mlp_small", squash=True, state_dependent_std=True)},
    "pixels": {"env": "Pong", "world": EnvConfig(image_size=36, max_episode_frames=400), "policy": PolicyConfig()},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("plain", [A2C, PPO, REINFORCE], ids=list(AGENTS))
def test_continuous_actions_and_pixels_are_learned_from(plain: Any, kind: str) -> None:
    config = replace(plain, num_envs=2, **KINDS[kind])
    agent, rollout = make_agent(config)
    before = torch.cat([p.detach().flatten() for p in network_of(agent).parameters()])
    learn(agent, rollout, 1)
    after = torch.cat([p.detach().flatten() for p in network_of(agent).parameters()])
    assert not torch.equal(before, after) and after.isfinite().all()
    actions = GreedyActor(network_of(agent)).act(rollout.obs)
    assert all(rollout.action_space.contains(action) for action in actions)
    rollout.close()


CRITICS_STEPS = replace(A2C, shared_backbone=False, value_updates=4)


@pytest.mark.parametrize("config", [A2C, PPO, REINFORCE, CRITICS_STEPS], ids=[*AGENTS, "critics_steps"])
def test_bfloat16_learns_nearly_what_float32_learns(config: Any) -> None:
    rough = replace(config, device=DeviceConfig(device="cpu", precision="bfloat16"))
    agent, rollout = make_agent(config)
    rollout.close()
    before = torch.cat([p.detach().flatten() for p in network_of(agent).parameters()])
    fine, coarse = (weights_after(c, 1) - before for c in (config, rough))
    # Weights move by at most a few step sizes, so how far apart they end says nothing; where they went does.
    assert not torch.equal(fine, coarse)
    assert float(torch.cosine_similarity(fine, coarse, 0)) > 0.99


# ---- running statistics


@pytest.mark.parametrize("plain", [A2C, PPO, REINFORCE], ids=list(AGENTS))
def test_statistics_follow_training_between_rollouts_and_freeze_in_evaluation(plain: Any) -> None:
    agent, rollout = make_agent(replace(plain, policy=PolicyConfig("mlp_small", normalize_obs=True)))
    seen: list[np.ndarray] = []
    observe = actor_of(agent).observe

    def spy(step: Any) -> None:
        over = agent.buffer.done if isinstance(agent, reinforce.Reinforce) else step.dummy
        seen.append(step.obs[~over])
        before = network_of(agent).moments.count.clone()
        observe(step)
        assert torch.equal(before, network_of(agent).moments.count)  # never within a rollout

    actor_of(agent).observe = spy
    learn(agent, rollout, 4)
    everything = torch.from_numpy(np.concatenate(seen))
    moments = network_of(agent).moments
    assert int(moments.count) == len(everything)
    torch.testing.assert_close(moments.mean, everything.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments.var, everything.var(0, correction=0), rtol=1e-3, atol=1e-4)
    frozen = {name: value.clone() for name, value in network_of(agent).state_dict().items()}
    player = GreedyActor(network_of(agent))
    for _ in range(20):
        player.act(100 * np.ones((2, 4), np.float32))
    assert all(torch.equal(frozen[name], value) for name, value in network_of(agent).state_dict().items())
    rollout.close()


def test_frames_are_standardised_once_by_those_of_the_first_rollout() -> None:
    change = {**KINDS["pixels"], "policy": PolicyConfig(normalize_obs=True), "num_envs": 2}
    agent, rollout = make_agent(replace(A2C, **change, shared_backbone=False))
    learn(agent, rollout, 1)
    means = [
        backbone.conv[0].mean.clone() for backbone in (network_of(agent).backbone, network_of(agent).value_backbone)
    ]
    assert float(means[0].std()) > 0 and torch.equal(*means)
    learn(agent, rollout, 2)
    assert torch.equal(network_of(agent).backbone.conv[0].mean, means[0])
    assert bool(network_of(agent).state_dict()["frames_known"])
    rollout.close()


TINY = [
    "--preset", "defaults", "--env", "CartPole", "--total-env-steps", "400", "--num-envs", "2", "--eval.episodes", "2",
    "--checkpoint-every-env-steps", "200", "--eval.every-env-steps", "200", "--eval.final-episodes", "3",
    "--log-every-env-steps", "50", "--no-film", "--wandb.mode", "disabled", "--normalize-obs",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_a_run_leaves_its_whole_record_and_its_agent_can_be_played(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], agent: str
) -> None:
    short = [] if agent == "reinforce" else ["--rollout-steps", "16", "--lstm-units", "8"]
    AGENTS[agent][0].main([*TINY, *short, "--runs-dir", str(tmp_path)])
    (path,) = tmp_path.iterdir()
    result = json.loads((path / "result.json").read_text())
    assert result["status"] == "finished" and result["total_env_steps"] >= 400 and result["updates"] > 0
    lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    names = {name for line in lines for name in line}
    assert {"charts/episodic_return", "losses/policy_loss", "losses/value_loss", "losses/entropy"} <= names
    assert {"charts/learning_rate", "charts/SPS", "eval/return_mean"} <= names
    weights, _ = load_weights(path / "checkpoints" / "best.safetensors")
    assert float(weights["moments.count"]) > 0
    # The same agent on the same seeds scores the same, by its saved statistics and with a memory of its own.
    seed = str(result["final_eval"]["protocol"]["seed"])
    capsys.readouterr()
    play.main([str(path), "--episodes", "3", "--film-steps", "12", "--seed", seed])
    mean = float(np.mean(result["final_eval"]["returns"]))
    assert f"{agent} (best): {mean:.2f} ±" in capsys.readouterr().out
    assert (path / "videos" / "play.mp4").stat().st_size > 1_000
    policy = load_policy(RunFolder.open(path), "best")
    assert policy.meaning == "probability"
    assert policy.values is not None and policy.begin is not None
    policy.begin(np.ones(5, dtype=bool))
    assert policy.values(np.zeros((5, 4), np.float32)).sum(1) == pytest.approx(np.ones(5))


def test_a_continuous_agent_can_be_played_without_bars(tmp_path: Path) -> None:
    arguments = [*TINY, "--env", "Pendulum", "--runs-dir", str(tmp_path), "--eval.every-env-steps", "0"]
    ppo.main([*arguments, "--total-env-steps", "256", "--rollout-steps", "64", "--squash"])
    (path,) = tmp_path.iterdir()
    assert load_policy(RunFolder.open(path), "last").values is None
    play.main([str(path), "--episodes", "1", "--film-steps", "5"])


# ---- memory


# ---- what is refused

WRONG: list[tuple[Any, dict[str, Any]]] = [
    *[(plain, {"gamma": 1.5}) for plain in (A2C, PPO, REINFORCE)],
    *[(plain, {"learning_rate": 0.0}) for plain in (A2C, PPO, REINFORCE)],
    *[(plain, {"entropy_coefficient": -1.0}) for plain in (A2C, PPO, REINFORCE)],
    *[
        (plain, {name: math.nan})
        for plain in (A2C, PPO, REINFORCE)
        for name in ("learning_rate", "entropy_coefficient")
    ],
    *[(plain, {"learning_rate_end": -1e-3}) for plain in (A2C, PPO, REINFORCE)],  # would climb the loss
    *[(plain, {"entropy_coefficient_end": -1.0}) for plain in (A2C, PPO, REINFORCE)],
    *[(PPO, {name: -0.1}) for name in ("clip_end", "value_clip", "kl_stop_nats")],
    (PPO, {"clip": math.nan}),
    (A2C, {"gae_lambda": -0.1}),
    (A2C, {"value_updates": 0}),
    (A2C, {"value_updates": 2}),  # of a critic that shares its backbone with the policy
    (PPO, {"clip": 0.0}),
    (PPO, {"bptt_steps": 5, "lstm_units": 8}),
    (REINFORCE, {"baseline": "leave-one-out", "num_envs": 1}),
    (REINFORCE, {"truncation": "bootstrap", "baseline": "mean"}),
]


@pytest.mark.parametrize(("plain", "change"), WRONG)
def test_impossible_settings_are_refused(plain: Any, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(plain, **change)


@pytest.mark.parametrize(
    "preset", sorted(f.stem for f in PRESETS.glob("*.toml") if f.stem.startswith(tuple(AGENTS))), ids=str
)
def test_every_preset_can_be_read(preset: str) -> None:
    agent = next(name for name in AGENTS if preset.startswith(name))
    config = parse(AGENTS[agent][0].Config, agent, ["--preset", preset.removeprefix(f"{agent}_")])
    assert config != AGENTS[agent][0].Config()
