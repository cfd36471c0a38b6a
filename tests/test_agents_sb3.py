"""SB3 on our environments: the adapter against SB3's own vector envs, the record of whole runs, the presets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agents import sb3
from agents.reference.learner_env import LearnerEnv
from agents.reference.settings import Config, DQNSettings, PPOSettings
from agents.reference.vec_env import LearnerVecEnv
from agents.training.load import load_policy
from envs.config import EnvConfig
from envs.factory import make_env
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder


def adapter(name: str, num_envs: int = 1, world: EnvConfig = EnvConfig()) -> LearnerVecEnv:
    return LearnerVecEnv(LearnerEnv(name, num_envs, world))


def small(algo: str = "dqn", **changes: Any) -> Config:
    """A configuration that is quick to build and to train."""
    tables = {
        "dqn": DQNSettings(buffer_size=200, learning_starts=8, batch_size=8, target_update_interval=10_000),
        "ppo": PPOSettings(n_steps=16, batch_size=8, n_epochs=2),
    }
    return Config(algo=algo, **{"env": "CartPole", **tables, **changes})  # type: ignore[arg-type]


# ---- the adapter


# ---- networks


# ---- whole runs


def run(tmp_path: Path, *flags: str) -> RunFolder:
    limits = ["--eval.episodes", "2", "--eval.final-episodes", "2", "--eval.every-env-steps", "40"]
    where = ["--runs-dir", str(tmp_path), "--wandb.mode", "offline", "--no-film", "--log-every-env-steps", "20"]
    sb3.main([*flags, *limits, *where])
    (path,) = tmp_path.iterdir()
    return RunFolder.open(path)


RUNS = {
    "dqn": (
        "--env Pong --backbone small --dqn.learning-starts 10 --dqn.buffer-size 100 --world.max-episode-frames 80",
        {"losses/td_loss", "losses/grad_norm", "charts/epsilon", "charts/learning_rate"},
    ),
    "a2c": (
        "--env Pendulum --num-envs 2",
        {"losses/policy_loss", "losses/value_loss", "losses/grad_norm", "losses/entropy", "charts/learning_rate"},
    ),
    "ppo": (
        "--env CartPole --num-envs 2 --ppo.n-steps 16 --ppo.batch-size 8 --ppo.n-epochs 2",
        {"losses/policy_loss", "losses/value_loss", "losses/grad_norm", "losses/approx_kl", "losses/clipfrac"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("algo", RUNS)
def test_a_run_leaves_the_same_record_as_our_agents(algo: str, tmp_path: Path) -> None:
    flags, metrics = RUNS[algo]
    found = run(tmp_path, "--algo", algo, *flags.split(), "--total-env-steps", "80")
    saved, result = found.read_config(), found.read_result()
    assert saved["exp_name"] == f"sb3_{algo}" and saved["seed"] == 1
    assert result["status"] == "finished" and 80 <= result["total_env_steps"] < 120
    assert result["updates"] == {"dqn": 18, "a2c": 5, "ppo": 3 * 2 * 4}[algo]
    assert len(result["final_eval"]["returns"]) == 2 and result["best_eval"]["global_step"] >= 40
    lines = found.read_metrics()
    names = set().union(*lines)
    assert metrics | {"charts/SPS", "charts/cpu_percent", "charts/peak_memory_mb", "eval/return_mean"} <= names
    assert max(line["global_step"] for line in lines) == result["total_env_steps"]
    if algo == "dqn":
        assert next(line["charts/episodic_length"] for line in lines if "charts/episodic_length" in line) <= 20
    assert list((found.path / "wandb").glob("offline-run-*/run-*.wandb"))
    tensors, metadata = load_weights(found.checkpoints / "best.safetensors")
    assert metadata["algo"] == f"sb3_{algo}"
    policy = load_policy(found, "best")
    shape = (3, *make_env(saved["env_id"]).observation_space.shape)  # type: ignore[misc]
    obs = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8 if algo == "dqn" else np.float32)
    assert len(policy.act(obs)) == 3 and (policy.values is not None) == (algo == "dqn")
    assert tensors


CLASSES = {"dqn": DQN, "a2c": A2C, "ppo": PPO}


@pytest.mark.slow
@pytest.mark.parametrize("algo", CLASSES)
def test_stable_baselines3_itself_loads_the_agent_and_plays_the_same(algo: str, tmp_path: Path) -> None:
    flags = ["--algo", algo, "--env", "CartPole", "--preset", "defaults", "--total-env-steps", "80"]
    flags += {"dqn": ["--dqn.learning-starts", "10"], "a2c": [], "ppo": RUNS["ppo"][0].split()[4:]}[algo]
    found = run(tmp_path, *flags)
    for which in ("best", "last"):
        env = gym.make("CartPole-v1")
        model = CLASSES[algo].load(found.checkpoints / f"{which}.zip", env=env, device="cpu")
        policy = load_policy(found, which)  # type: ignore[arg-type]
        obs, _ = env.reset(seed=3)
        ended = False
        while not ended:
            action, _ = model.predict(obs, deterministic=True)
            assert action == policy.act(obs[None])[0]
            obs, _, terminated, truncated, _ = env.step(int(action))
            ended = terminated or truncated
    assert sorted(found.checkpoints.glob("*.tmp*")) == []


def test_an_agent_that_sb3_cannot_write_costs_the_zip_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TypeError("cannot pickle this")

    monkeypatch.setattr(A2C, "save", refuse)
    found = run(tmp_path, "--algo", "a2c", "--env", "CartPole", "--preset", "defaults", "--total-env-steps", "20")
    assert "the last agent was not exported, an export before it stays: cannot pickle this" in capsys.readouterr().out
    assert found.read_result()["status"] == "finished" and load_policy(found, "last")
    assert not list(found.checkpoints.glob("*.zip*"))


def test_a_standardized_agent_is_loaded_with_its_statistics(tmp_path: Path) -> None:
    flags = ["--algo", "a2c", "--env", "Pendulum", "--preset", "defaults", "--normalize", "--total-env-steps", "60"]
    found = run(tmp_path, *flags)
    plain = DummyVecEnv([lambda: gym.make("Pendulum-v1")])
    env = VecNormalize.load(str(found.checkpoints / "last_vecnormalize.pkl"), plain)
    env.training = False
    model = A2C.load(found.checkpoints / "last.zip", env=env, device="cpu")
    policy = load_policy(found, "last")
    obs = env.reset()
    for _ in range(10):
        action, _ = model.predict(obs, deterministic=True)  # type: ignore[arg-type]
        np.testing.assert_allclose(action, policy.act(env.get_original_obs()), rtol=1e-5)  # type: ignore[arg-type]
        obs, *_ = env.step(action)


def test_a_run_continues_from_its_networks_and_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags, _ = RUNS["ppo"]
    found = run(tmp_path, "--algo", "ppo", *flags.split(), "--total-env-steps", "64")
    assert found.read_result()["updates"] == 16
    sb3.main(["--resume", str(found.path), "--total-env-steps", "128"])
    assert "resumed at step 64" in capsys.readouterr().out
    result = found.read_result()
    assert (result["total_env_steps"], result["updates"]) == (128, 32)


def test_minutes_end_a_run_in_the_middle_of_a_rollout(tmp_path: Path) -> None:
    flags = ("--algo", "ppo", "--env", "CartPole", "--preset", "defaults", "--total-minutes", "0.005")
    result = run(tmp_path, *flags).read_result()
    assert result["status"] == "finished" and 0 < result["total_env_steps"] < 2048


# ---- what a user can get wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--algo dqn --env Pendulum", "finite set of actions.*--algo ppo"),
        ("--algo dqn --env Pong --backbone natur", "nature"),
        ("--algo dqn --env CartPole --dqn.buffer-size 10000000000", "at most .* fit"),
        ("--algo ppo --env Pong --normalize", "normalize is for vectors"),
        ("--algo ppo --env Pong --world.no-grayscale", "gray only"),
        ("--algo a2c --env CartPole --precision bfloat16", "float32"),
        ("--algo a2c --env CartPoel", "CartPole"),
        ("--algo sac --env CartPole", "dqn"),
        ("--algo a2c --env CartPole --dqn.batch-size 3", "--dqn.batch-size is a setting of dqn"),
        ("--env CartPole --algo", "--algo needs a value"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run_folder(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        sb3.main(["--runs-dir", str(tmp_path), *flags.split()])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert re.search(message, said.err + said.out)
    assert not list(tmp_path.iterdir())


# ---- settings
