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
from fake_run import actor_of, learn, make_agent, network_of, train
from gymnasium import spaces

from agents import actor_critic, play, ppo, reinforce
from agents.rl.greedy_policy import GreedyActor
from agents.rl.interfaces import Step
from agents.rl.policy_networks import PolicyHead
from agents.training.cli import PRESETS, parse
from agents.training.config import PolicyConfig
from agents.training.load import load_policy
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder

CPU = torch.device("cpu")
COMMON: dict[str, Any] = {
    "env": "CartPole",
    "num_envs": 3,
    "policy": PolicyConfig("mlp_small"),
    "device": DeviceConfig(device="cpu"),
}
A2C = actor_critic.Config(**COMMON, rollout_steps=8, entropy_coefficient=0.0)
PPO = ppo.Config(**COMMON, rollout_steps=16, minibatch_size=16)
REINFORCE = reinforce.Config(**COMMON, entropy_coefficient=0.0)
AGENTS: dict[str, tuple[ModuleType, str, Any]] = {
    "actor_critic": (actor_critic, "A2C", A2C),
    "ppo": (ppo, "PPO", PPO),
    "reinforce": (reinforce, "Reinforce", REINFORCE),
}


def weights_after(config: Any, learnings: int = 3) -> torch.Tensor:
    run = train(config, learnings=learnings)
    assert run.updates > 0 and all(np.isfinite(float(value)) for value in run.learned.values())
    return torch.cat([p.detach().flatten() for p in run.network.parameters()])


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


def test_further_steps_of_the_critic_leave_the_policy_alone_and_bring_the_value_nearer_to_its_targets() -> None:
    def after_one_update(value_updates: int) -> Any:
        agent, rollout = make_agent(replace(A2C, shared_backbone=False, value_updates=value_updates))
        obs, targets = {}, {}

        def watch(target: torch.Tensor, mask: torch.Tensor, learning_rate: float) -> None:
            obs["seen"], targets["made"] = agent.actor.buffer.obs[:-1].flatten(0, 1).clone(), target.flatten()
            fit(target, mask, learning_rate)

        fit, agent._fit_value = agent._fit_value, watch
        learn(agent, rollout, 1)
        rollout.close()
        error = (targets["made"] - network_of(agent).value(obs["seen"])).square().mean().item()
        policy = [p for name, p in network_of(agent).named_parameters() if not name.startswith("value_")]
        return torch.nn.utils.parameters_to_vector(policy), error

    (policy, error), (same, smaller) = after_one_update(1), after_one_update(5)
    assert torch.equal(policy, same)
    assert smaller < error


def test_reinforce_in_chunks_is_reinforce_at_once() -> None:
    torch.testing.assert_close(weights_after(REINFORCE), weights_after(replace(REINFORCE, chunk_steps=7)))


def test_reinforce_scales_rewards_by_the_returns_of_its_own_episodes() -> None:
    agent, rollout = make_agent(replace(REINFORCE, normalize_rewards=True))
    found = []
    for _ in range(2):
        while not actor_of(agent).buffer.full:
            actor_of(agent).observe(rollout.step(actor_of(agent).act(rollout.obs))[0])
        # CartPole pays 1 a step: after n steps of an episode the running return is 1 + 0.99 + ... of n terms.
        lengths = torch.stack(agent.buffer._rows["alive"]).sum(0).tolist()
        found += [(1 - 0.99**n) / 0.01 for length in lengths for n in range(1, length + 1)]
        agent.learn()
        rollout.restart()
    assert float(actor_of(agent).reward_scaler.moments.var) == pytest.approx(np.var(found), rel=1e-4)
    rollout.close()


def test_reinforce_plays_one_whole_episode_in_each_copy_and_ignores_what_comes_after() -> None:
    agent, rollout = make_agent(REINFORCE)
    lengths = np.zeros(3)
    over = np.zeros(3, dtype=bool)
    while not actor_of(agent).buffer.full:
        step, _ = rollout.step(actor_of(agent).act(rollout.obs))
        actor_of(agent).observe(step)
        lengths += ~over
        over |= step.terminated | step.truncated
    alive = torch.stack(agent.buffer._rows["alive"])
    assert alive.sum(0).tolist() == lengths.tolist()
    mask, returns = agent._returns(agent.buffer.take())
    # CartPole pays 1 a step, so the first return is the discounted length, and nothing follows the end.
    assert returns[0].tolist() == pytest.approx([(1 - 0.99**n) / 0.01 for n in lengths], rel=1e-5)
    assert (returns[~mask] == 0).all()
    rollout.close()


@pytest.mark.parametrize("truncation", ["bootstrap", "drop", "end"])
def test_reinforce_learns_from_each_life_or_point_by_itself(truncation: Any) -> None:
    agent, rollout = make_agent(replace(REINFORCE, num_envs=2, gamma=0.5, truncation=truncation))
    obs = rollout.obs.astype(np.float32)
    network_of(agent).value = lambda obs: torch.full((2,), 8.0)
    # Both copies are cut at the third step; the first loses a point in the second, the second one in the third.
    for t, points in enumerate([(False, False), (True, False), (False, True)]):
        actor_of(agent).act(obs)
        none, cut = np.zeros(2, bool), np.full(2, t == 2)
        actor_of(agent).observe(
            Step(obs, np.zeros(2, np.int64), np.ones(2, np.float32), none, cut, np.array(points), none, none, obs)
        )
    mask, returns = agent._returns(agent.buffer.take())
    beyond = 0.5 * 8 if truncation == "bootstrap" else 0.0
    assert returns.T.tolist() == [[1.5, 1.0, 1.0 + beyond], [1.75, 1.5, 1.0]]
    assert mask.T.tolist() == [[True, True, truncation != "drop"], [True, True, True]]
    rollout.close()


# ---- worlds of every kind

KINDS: dict[str, dict[str, Any]] = {
    "continuous": {"env": "Pendulum"},
    "squashed": {"env": "Pendulum", "policy": PolicyConfig("mlp_small", squash=True, state_dependent_std=True)},
    "pixels": {"env": "Pong", "world": EnvConfig(image_size=36, max_episode_frames=400), "policy": PolicyConfig()},
}


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


def test_ppo_acts_in_the_precision_it_learns_in() -> None:
    agent, rollout = make_agent(replace(PPO, device=DeviceConfig(device="cpu", precision="bfloat16")))
    seen: list[torch.dtype] = []
    network_of(agent).head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    actor_of(agent).act(rollout.obs, rollout.first)
    rollout.close()
    assert seen == [torch.bfloat16]


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


def test_the_black_frames_that_fill_the_stacks_of_new_games_do_not_count() -> None:
    agent, rollout = make_agent(replace(PPO, **KINDS["pixels"] | {"policy": PolicyConfig("small", normalize_obs=True)}))
    rollout.close()
    games = torch.randint(1, 256, (40, 4, 36, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    games[:4, 0] = 0
    network_of(agent).take_statistics(games)
    state, seen = network_of(agent).state_dict(), games[4:].float()
    torch.testing.assert_close(state["backbone.conv.0.mean"], seen.mean(0))
    spread = (seen - seen.mean(0)).square().mean().sqrt()
    assert float(state["backbone.conv.0.scale"]) == pytest.approx(1 / float(spread))


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


@pytest.mark.parametrize("plain", [A2C, PPO], ids=["actor_critic", "ppo"])
def test_a_memory_is_reset_where_an_episode_begins_and_nowhere_else(plain: Any) -> None:
    agent, rollout = make_agent(replace(plain, lstm_units=8, num_envs=2))
    network_of(agent).requires_grad_(False)
    by_hand = network_of(agent).start(2)
    begun = np.ones(2, dtype=bool)
    resets = 0
    for _ in range(60):
        obs = torch.from_numpy(rollout.obs.copy())
        by_hand = by_hand * torch.from_numpy(~begun)[None, :, None]
        none = torch.zeros(1, 2, dtype=torch.bool)
        _, by_hand = network_of(agent).act(obs[None], none, by_hand)
        step, _ = rollout.step(actor_of(agent).act(rollout.obs, rollout.first))
        torch.testing.assert_close(agent.actor.state, by_hand)
        begun = step.dummy  # what the dummy step shows is a first observation
        resets += int(begun.sum())
    assert resets > 2
    rollout.close()


def test_what_ppo_learns_from_begins_in_the_states_that_acting_had() -> None:
    agent, rollout = make_agent(replace(PPO, lstm_units=8, bptt_steps=4, num_envs=2))
    learn(agent, rollout, 1)
    states, log_probs = [], []
    while not actor_of(agent).buffer.full:
        states.append(agent.actor.state)
        obs, first = torch.from_numpy(rollout.obs.copy()), torch.from_numpy(rollout.first.copy())
        actions = actor_of(agent).act(rollout.obs, rollout.first)
        with torch.no_grad():
            policy, _ = network_of(agent).act(obs[None], first[None], states[-1])
        log_probs.append(policy.log_prob(agent.actor.action[None])[0])
        actor_of(agent).observe(rollout.step(actions)[0])
    whole = agent._prepare_batch()
    assert whole.state is not None and whole.state.shape == (2, 8, 8) and whole.obs.shape[:2] == (4, 8)
    for k in range(4):
        torch.testing.assert_close(whole.state[:, 2 * k : 2 * k + 2], states[4 * k])
        for i in range(2):
            expected = torch.stack([log_probs[4 * k + t][i] for t in range(4)])
            torch.testing.assert_close(whole.log_prob_old[:, 2 * k + i], expected)
    rollout.close()


def test_what_actor_critic_learns_from_is_the_policy_that_acted_with_its_memory() -> None:
    agent, rollout = make_agent(replace(A2C, lstm_units=8, num_envs=2))
    said: list[Any] = []
    forward = agent._forward

    def spy(*arguments: Any) -> Any:
        said.append(forward(*arguments))
        return said[-1]

    agent._forward = spy
    begun = 0
    for _ in range(8):
        log_probs = []
        while not actor_of(agent).buffer.full:
            state, obs, first = (
                agent.actor.state,
                torch.from_numpy(rollout.obs.copy()),
                torch.from_numpy(rollout.first.copy()),
            )
            begun += int(first.sum())
            actions = actor_of(agent).act(rollout.obs, rollout.first)
            with torch.no_grad():
                policy, _ = network_of(agent).act(obs[None], first[None], state)
            log_probs.append(policy.log_prob(agent.actor.action[None])[0])
            actor_of(agent).observe(rollout.step(actions)[0])
        taken = agent.actor.buffer.action.clone()
        agent.learn()
        torch.testing.assert_close(said[-1].policy[:-1].log_prob(taken).detach(), torch.stack(log_probs))
    assert begun > 4  # episodes began within rollouts too
    rollout.close()


def test_the_first_minibatch_finds_the_policy_of_the_rollout() -> None:
    for config in (PPO, replace(PPO, lstm_units=8), replace(PPO, policy=PolicyConfig("mlp_small", normalize_obs=True))):
        agent, rollout = make_agent(replace(config, epochs=1, minibatch_size=48))
        for _ in range(3):
            learn(agent, rollout, 1)
            # One minibatch, before which nothing has moved: no divergence, nothing clipped.
            assert float(actor_of(agent).learned["losses/approx_kl"]) == pytest.approx(0.0, abs=1e-6)
            assert float(actor_of(agent).learned["losses/clipfrac"]) == 0.0
        rollout.close()


def test_every_pass_takes_each_sequence_once_in_an_order_of_its_own() -> None:
    agent, rollout = make_agent(replace(PPO, epochs=3, minibatch_size=20))
    parts = list(agent._minibatches(48))
    assert [len(part) for part in parts] == 3 * [20, 20, 8]
    passes = [torch.cat(parts[k : k + 3]).tolist() for k in (0, 3, 6)]
    assert all(sorted(order) == list(range(48)) for order in passes)
    assert len({tuple(order) for order in [*passes, list(range(48))]}) == 4
    rollout.close()


def test_learning_stops_once_the_policy_has_moved_far_enough() -> None:
    free, _ = make_agent(replace(PPO, learning_rate=1e-2))
    stopped, rollout = make_agent(replace(PPO, learning_rate=1e-2, kl_stop_nats=1e-4))
    for agent in (free, stopped):
        learn(agent, rollout, 1)
    assert free.actor.updates == 4 * 3
    assert 2 <= stopped.actor.updates < free.actor.updates
    rollout.close()


def test_a_player_knows_nothing_of_training_s_memory() -> None:
    agent, rollout = make_agent(replace(A2C, lstm_units=8))
    actor_of(agent).act(rollout.obs, rollout.first)
    before = agent.actor.state.clone()
    player = GreedyActor(network_of(agent))
    obs = np.ones((2, 4), np.float32)
    player.begin(np.array([True, True]))
    fresh = player.probabilities(obs)
    player.begin(np.array([True, False]))
    again = player.probabilities(obs)
    assert np.allclose(again[0], fresh[0]) and not np.allclose(again[1], fresh[1], atol=1e-7)
    assert torch.equal(agent.actor.state, before)
    rollout.close()


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


@pytest.mark.parametrize("start", [math.nan, math.inf])
def test_a_spread_that_is_no_number_is_refused_before_the_world_is_blamed(start: float) -> None:
    with pytest.raises(ConfigError, match="log_std_start"):
        PolicyConfig(log_std_start=start)


def test_bounds_as_wide_as_numbers_go_give_finite_actions() -> None:
    largest = float(np.finfo(np.float32).max)
    head = PolicyHead(4, spaces.Box(-largest, largest, (2,), np.float32), PolicyConfig())
    assert np.isfinite(head.to_env(torch.tensor([[0.0, 0.5]]))).all()


def test_a_memory_needs_one_backbone() -> None:
    with pytest.raises(ConfigError, match="shared_backbone"):
        make_agent(replace(A2C, lstm_units=8, shared_backbone=False))


@pytest.mark.parametrize(
    "preset", sorted(f.stem for f in PRESETS.glob("*.toml") if f.stem.startswith(tuple(AGENTS))), ids=str
)
def test_every_preset_can_be_read(preset: str) -> None:
    agent = next(name for name in AGENTS if preset.startswith(name))
    config = parse(AGENTS[agent][0].Config, agent, ["--preset", preset.removeprefix(f"{agent}_")])
    assert config != AGENTS[agent][0].Config()


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (spaces.MultiBinary(3), "Discrete or a Box"),
        (spaces.Box(0, 5, (2,), np.int64), "Box of floats"),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), "squash needs bounds"),
    ],
)
def test_actions_that_no_policy_can_take_are_refused(space: spaces.Space[Any], said: str) -> None:
    config = replace(A2C, policy=PolicyConfig(squash=True))
    with pytest.raises(ConfigError, match=said):
        actor_critic.make_network(config, spaces.Box(-1, 1, (4,), np.float32), space)
