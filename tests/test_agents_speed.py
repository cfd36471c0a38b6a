"""Both sides of a matchup do the same work, and the CSV keeps the rows of other work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.torch_layers import NatureCNN
from torch import nn

from agents import actor_critic, dqn, ppo
from agents.reference import settings as sb3_settings
from agents.reports.store import read_csv
from agents.speed import Agent, Config, commands, learning_speed, main, record, time_agent
from agents.training.cli import parse
from envs.config import UnknownEnvError
from rl_gen_lab.backbones import build
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.runs.folder import RunFolder

OURS: dict[Agent, Any] = {"dqn": dqn.Config, "actor_critic": actor_critic.Config, "ppo": ppo.Config}


def settings(agent: Agent, env: str) -> tuple[Any, sb3_settings.Config, Any]:
    """The settings of both: ours, the reference, and the reference's own table."""
    ours, plain, theirs = commands(Config(env=env), agent, Path("runs")).values()
    assert ours[1:3] == ["-m", f"agents.{agent}"] and theirs[1:3] == ["-m", "agents.sb3"]
    assert plain[1:3] == ["-m", "agents.reference.plain"]
    assert plain[5:] == theirs[3 : theirs.index("--runs-dir")]  # the same settings for both
    own = parse(OURS[agent], agent, ours[3:])
    reference = parse(sb3_settings.Config, theirs[2], theirs[3:])
    return own, reference, reference.settings


@pytest.mark.parametrize("env", ["Pong", "CartPole"])
@pytest.mark.parametrize("agent", OURS)
def test_both_do_the_same_work(agent: Agent, env: str) -> None:
    ours, reference, theirs = settings(agent, env)
    for name in ("env", "num_envs", "total_env_steps", "world", "eval", "device"):
        assert getattr(ours, name) == getattr(reference, name)
    assert ours.gamma == theirs.gamma and ours.max_grad_norm == theirs.max_grad_norm
    network = ours.backbone if agent == "dqn" else ours.policy.backbone
    assert (network, reference.backbone) == (("nature", None) if env == "Pong" else ("mlp_tanh", "mlp_tanh"))
    assert reference.net_arch is None
    if agent == "dqn":
        per_step = theirs.gradient_steps / (theirs.train_freq * reference.num_envs)
        assert per_step == 1 / ours.learn_every_env_steps
        assert (ours.batch_size, ours.replay.capacity) == (theirs.batch_size, theirs.buffer_size)
        assert (ours.n_step, ours.double, ours.dueling, theirs.n_steps) == (1, False, False, 1)
        return
    # The reference has no layers behind the backbone, and its policy and value share it by default.
    assert ours.shared_backbone
    assert (ours.rollout_steps, ours.gae_lambda) == (theirs.n_steps, theirs.gae_lambda)
    assert (ours.value_coefficient, ours.entropy_coefficient) == (theirs.vf_coef, theirs.ent_coef)
    assert (ours.learning_rate, ours.normalize_advantages) == (theirs.learning_rate, theirs.normalize_advantage)
    assert not (ours.normalize_rewards or ours.policy.normalize_obs or reference.normalize or ours.lstm_units)
    if agent == "ppo":
        assert (ours.minibatch_size, ours.epochs, ours.clip) == (theirs.batch_size, theirs.n_epochs, theirs.clip_range)
    else:
        assert ours.optimizer == "rmsprop" and theirs.use_rms_prop and not theirs.rms_prop_tf_like
        assert ours.optimizer_eps == theirs.rms_prop_eps


def test_the_reference_has_the_nature_network_too() -> None:
    theirs = NatureCNN(spaces.Box(0, 255, (4, 84, 84), np.uint8), features_dim=512)
    ours = build("nature", (4, 84, 84))
    assert [weight.shape for weight in theirs.parameters()] == [weight.shape for weight in ours.parameters()]
    for network in (theirs, ours):
        strides = [(m.stride, m.padding) for m in network.modules() if isinstance(m, nn.Conv2d)]
        assert strides == [((4, 4), (0, 0)), ((2, 2), (0, 0)), ((1, 1), (0, 0))]


@pytest.mark.parametrize("agent", ["actor_critic", "ppo"])
def test_every_speed_measurement_covers_whole_rollouts(agent: Agent) -> None:
    ours, *_ = settings(agent, "CartPole")
    assert ours.run.log_every_env_steps % (ours.rollout_steps * ours.num_envs) == 0


def test_the_csv_keeps_other_work_and_replaces_its_own(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    record(file, [{"agent": "ppo", "work": "a", "speed": 1}, {"agent": "sb3_ppo", "work": "a", "speed": 2}])
    record(file, [{"agent": "ppo", "work": "b", "speed": 3}])
    record(file, [{"agent": "ppo", "work": "a", "speed": 4}])
    assert [(r["agent"], r["work"], r["speed"]) for r in read_csv(file)[1]] == [
        ("sb3_ppo", "a", "2"), ("ppo", "b", "3"), ("ppo", "a", "4"),
    ]  # fmt: skip


def test_the_ratios_are_those_of_the_medians(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runs themselves are left out: in three rounds ours, plain and adapter are as fast as given here."""
    speeds = iter([10.0, 4.0, 2.0, 30.0, 6.0, 5.0, 20.0, 5.0, 3.0])
    made = []
    monkeypatch.setattr("agents.speed.run_child", lambda words: made.append(words[2]) or 0)
    monkeypatch.setattr("agents.speed.learning_speed", lambda run, starts: next(speeds))
    rows = time_agent(Config(env="CartPole"), "ppo")
    assert made == ["agents.ppo", "agents.reference.plain", "agents.sb3"] * 3
    assert [row["agent"] for row in rows[:9]] == ["ppo", "plain_sb3_ppo", "sb3_ppo"] * 3
    ratios = [(row["agent"], row["pair"], row["env_steps_per_second"]) for row in rows[9:]]
    assert ratios == [
        ("ppo / plain_sb3_ppo", "medians", 4.0),
        ("ppo / plain_sb3_ppo", "lowest", 2.5),
        ("ppo / plain_sb3_ppo", "highest", 5.0),
        ("ppo / sb3_ppo", "medians", 6.67),
        ("ppo / sb3_ppo", "lowest", 5.0),
        ("ppo / sb3_ppo", "highest", 6.67),
        ("sb3_ppo / plain_sb3_ppo", "medians", 0.6),
        ("sb3_ppo / plain_sb3_ppo", "lowest", 0.5),
        ("sb3_ppo / plain_sb3_ppo", "highest", 0.83),
    ]
    assert "ppo / plain_sb3_ppo = 4.00 [2.50, 5.00] (medians of 3" in capsys.readouterr().out


def test_speed_is_steps_over_seconds_after_the_start_of_learning(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "ppo" / "run")
    run.path.mkdir(parents=True)
    for step, seconds in ((1_024, 9.0), (1_536, 10.0), (2_048, 14.0), (2_560, 15.0)):
        run.append_metrics({"charts/SPS": 1.0, "global_step": step, "wall_seconds": seconds})
        run.append_metrics({"charts/episodic_return": 1.0, "global_step": step + 100, "wall_seconds": seconds + 3.0})
    assert learning_speed(tmp_path / "ppo", 1_000) == 1_024 / 5
    (tmp_path / "plain").write_text("12.5\n")
    assert learning_speed(tmp_path / "plain", 1_000) == 12.5


@pytest.mark.slow
def test_every_run_of_a_round_leaves_its_speed(tmp_path: Path) -> None:
    main(["--env", "CartPole", "--agents", "actor_critic", "--pairs", "1", "--steps", "2500",
          "--results-dir", str(tmp_path)])  # fmt: skip
    rows = {row["agent"]: float(row["env_steps_per_second"]) for row in read_csv(tmp_path / "speed.csv")[1]}
    assert min(rows[name] for name in ("actor_critic", "plain_sb3_a2c", "sb3_a2c")) > 10
    assert 0 < rows["actor_critic / plain_sb3_a2c"] < 100


def test_an_unknown_environment_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownEnvError):
        Config(env="CartPoll")


def test_fewer_steps_than_two_measurements_take_are_refused() -> None:
    Config("CartPole", steps=2_524)
    with pytest.raises(ConfigError, match="steps must be at least 2,524"):
        Config("CartPole", steps=2_523)
    Config("CartPole", agents=("dqn",), steps=2_500)
