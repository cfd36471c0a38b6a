"""Stable-Baselines3 on our worlds: the adapter against SB3's own vector envs, the record of whole runs, the presets."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, DQN, PPO
from stable_baselines3.common.env_checker import check_env
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize
from torch import nn

from agents import sb3
from agents.reference.agent import Reference
from agents.reference.learner_env import LearnerEnv
from agents.reference.models import OURS_ONLY, BackboneExtractor, make_model
from agents.reference.settings import A2CSettings, Config, DQNSettings, PPOSettings, refuse_impossible, translate
from agents.reference.vec_env import LearnerVecEnv
from agents.training.cli import PRESETS
from agents.training.load import load_policy
from envs.config import EnvConfig
from envs.factory import make_env
from rl_gen_lab.backbones import build
from rl_gen_lab.cli import presets
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder

SHORT = "ShortCartPole-v0"  # random play ends now by a fall, now by the time limit
OLD_PROTOCOL = EnvConfig(sticky=0.0, noop_max=0, fire_reset=False, clip_rewards=False)


@pytest.fixture(autouse=True, scope="module")
def _short_cart_pole() -> Any:
    gym.register(SHORT, "gymnasium.envs.classic_control:CartPoleEnv", max_episode_steps=14)
    yield
    del gym.registry[SHORT]


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


@pytest.mark.parametrize("name", ["CartPole", "Pendulum", "Pong"])
def test_single_worlds_pass_sb3s_env_checker(name: str) -> None:
    env = make_env(name, EnvConfig(max_episode_frames=400))
    check_env(env, warn=False, skip_render_check=True)
    env.close()


def test_adapter_gives_what_sb3s_own_vector_env_gives() -> None:
    ours: VecEnv = adapter(SHORT, 3)
    theirs: VecEnv = DummyVecEnv([lambda: Monitor(make_env(SHORT))] * 3)
    rng = np.random.default_rng(0)
    for env in (ours, theirs):
        env.seed(5)
    np.testing.assert_array_equal(ours.reset(), theirs.reset())
    ends = {True: 0, False: 0}
    for _ in range(60):
        actions = rng.integers(2, size=3)
        (obs, reward, done, infos), expected = ours.step(actions), theirs.step(actions)
        for mine, other in zip((obs, reward, done), expected, strict=False):
            assert mine.dtype == np.asarray(other).dtype
            np.testing.assert_array_equal(mine, other)
        for info, other_info in zip(infos, expected[3], strict=True):
            assert info["TimeLimit.truncated"] is bool(other_info["TimeLimit.truncated"])
            assert ("terminal_observation" in info) == ("terminal_observation" in other_info)
            if "terminal_observation" in info:
                np.testing.assert_array_equal(info["terminal_observation"], other_info["terminal_observation"])
                assert info["episode"]["r"] == other_info["episode"]["r"]
                assert info["episode"]["l"] == other_info["episode"]["l"]
                ends[info["TimeLimit.truncated"]] += 1
    assert min(ends.values()) > 0  # both kinds of end were seen
    ours.close()


def test_adapter_keeps_the_vec_env_contract_on_pixels() -> None:
    env = adapter("Pong", 2)
    assert env.observation_space.shape == (4, 84, 84) and env.observation_space.dtype == np.uint8
    assert env.get_attr("render_mode") == [None, None] and env.env_is_wrapped(Monitor, [0]) == [False]
    env.seed(3)
    first = env.reset()
    again = adapter("Pong", 2)
    again.seed(3)
    np.testing.assert_array_equal(first, again.reset())
    obs, reward, done, infos = env.step(np.zeros(2, dtype=np.int64))
    assert obs.shape == (2, 4, 84, 84) and obs.dtype == np.uint8
    assert (reward.shape, reward.dtype, done.shape, done.dtype) == ((2,), np.float32, (2,), np.bool_)
    assert [type(info) for info in infos] == [dict, dict]
    with pytest.raises(NotImplementedError, match="no attributes of their own"):
        env.set_attr("x", 1)
    env.close()
    again.close()


def test_a_game_cut_by_its_frame_limit_is_a_truncation_with_its_own_last_frame() -> None:
    cut = adapter("PongNoFrameskip-v4", 1, EnvConfig(noop_max=0, max_episode_frames=80, fire_reset=False))
    whole = adapter("PongNoFrameskip-v4", 1, EnvConfig(noop_max=0, fire_reset=False))
    for env in (cut, whole):
        env.seed(1)
        env.reset()
    for step in range(1, 21):
        action = np.array([step % 6])
        obs, _, done, infos = cut.step(action)
        expected = whole.step(action)[0]
        assert bool(done[0]) == (step == 20)
    assert infos[0]["TimeLimit.truncated"] is True and infos[0]["episode"]["l"] == 20
    # ale-py stops before it draws the frame in which a game ends, so the newest frame of the stack is a stale one.
    np.testing.assert_array_equal(infos[0]["terminal_observation"][:3], expected[0, :3])
    assert (obs[0, :3] == 0).all()  # the next game has begun: one frame, zeros before it


def test_lost_lives_end_learning_but_not_the_game_and_returns_are_not_clipped() -> None:
    world = EnvConfig(sticky=0.0, noop_max=0, episodic_life=True)
    env, plain = adapter("MsPacman", 1, world), LearnerEnv("MsPacman", 1, OLD_PROTOCOL)
    env.seed(0)
    env.reset()
    plain.reset(0)
    rng = np.random.default_rng(0)
    lost, total = 0, 0.0
    for _ in range(1_500):
        action = rng.integers(9, size=1)
        obs, reward, done, infos = env.step(action)
        _, unclipped, ended, _ = plain.step(action)
        total += float(unclipped[0])
        assert reward[0] == np.clip(unclipped[0], -1, 1)
        if ended[0]:
            break
        if done[0]:
            lost += 1
            assert "episode" not in infos[0] and infos[0]["TimeLimit.truncated"] is False
            np.testing.assert_array_equal(infos[0]["terminal_observation"], obs[0])
    assert lost == 2 and done[0]
    assert infos[0]["episode"]["r"] == total == env.learner_env.episodes[0].episodic_return > 100


def test_a_point_in_the_step_that_cuts_the_game_short_is_no_time_limit() -> None:
    told = {}
    for asked in (True, False):
        world = EnvConfig(sticky=0.0, noop_max=0, image_size=42, max_episode_frames=256, episodic_points=asked)
        env = adapter("Pong", 1, world)
        env.seed(0)
        env.reset()
        for _ in range(64):
            _, reward, done, infos = env.step(np.array([0]))
        assert reward[0] == -1 and done[0] and infos[0]["episode"]["l"] == 64  # nobody moved, so the first is lost
        told[asked] = infos[0]["TimeLimit.truncated"]
    assert told == {True: False, False: True}


@pytest.mark.parametrize(("name", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh), (None, nn.Tanh)])
def test_the_activation_is_between_the_layers(name: Any, kind: type[nn.Module]) -> None:
    config = Config(algo="ppo", env="CartPole", activation=name, device=DeviceConfig(device="cpu"))
    layers = make_model(config, adapter("CartPole"), torch.device("cpu")).policy.mlp_extractor.modules()
    assert {type(layer) for layer in layers if isinstance(layer, nn.ReLU | nn.Tanh)} == {kind}


def test_an_activation_that_nothing_would_use_is_refused() -> None:
    vector, choice = spaces.Box(-1.0, 1.0, (4,), np.float32), spaces.Discrete(2)
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    with pytest.raises(ConfigError, match="activation is for"):
        refuse_impossible(Config(algo="ppo", activation="relu"), frames, choice)
    with pytest.raises(ConfigError, match="activation is for"):
        refuse_impossible(Config(algo="ppo", activation="relu", backbone="mlp"), vector, choice)
    refuse_impossible(Config(algo="ppo", activation="relu"), vector, choice)


def test_points_end_learning_but_not_the_game() -> None:
    env = adapter("Pong", 1, EnvConfig(episodic_points=True, image_size=42))
    env.seed(0)
    env.reset()
    rng = np.random.default_rng(0)
    points = 0
    for _ in range(2_000):
        obs, reward, done, infos = env.step(rng.integers(6, size=1))
        assert done[0] == (reward[0] != 0)
        points += int(done[0])
        if "episode" in infos[0]:
            break
        if done[0]:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], obs[0])
    assert points >= 21 and infos[0]["episode"]["r"] <= -15


@pytest.mark.parametrize(
    ("game", "skip", "steps", "same_pixels"),
    # SB3 takes the maximum of two frames in colour and makes it grey, ALE the other way round: where a sprite of one
    # colour flickers over another the two differ. In Boxing nothing does; at skip 1 there is no maximum.
    [("MsPacman", 4, 600, False), ("Boxing", 4, 250, True), ("MsPacman", 1, 250, True), ("Pong", 1, 250, True)],
)
def test_same_game_as_sb3s_make_atari_env(game: str, skip: int, steps: int, same_pixels: bool) -> None:
    env_id = f"{game}NoFrameskip-v4"
    wrappers = {"noop_max": 0, "frame_skip": skip, "terminal_on_life_loss": False, "clip_reward": False}
    theirs = VecFrameStack(make_atari_env(env_id, n_envs=1, seed=0, wrapper_kwargs=wrappers), 4)
    world = EnvConfig(sticky=0.0, frame_skip=skip, max_pool=skip > 1, noop_max=0, fire_reset=False, clip_rewards=False)
    ours = adapter(env_id, 1, world)
    first, other = ours.reset(), np.asarray(theirs.reset())
    # SB3 presses FIRE and then the next button at the start of games that know FIRE.
    pressed = [1, 2] if "FIRE" in theirs.unwrapped.envs[0].unwrapped.get_action_meanings() else []  # type: ignore[attr-defined]
    if not pressed:
        np.testing.assert_array_equal(first, np.moveaxis(other, -1, 1))
    for button in pressed:
        ours.step(np.array([button]))
    rng = np.random.default_rng(1)
    games = 0
    for step in range(steps):
        action = rng.integers(ours.action_space.n, size=1)  # type: ignore[attr-defined]
        obs, reward, done, infos = ours.step(action)
        expected = theirs.step(action)
        assert reward[0] == expected[1][0] and done[0] == expected[2][0]
        if done[0]:
            games += 1
            assert infos[0]["episode"]["r"] == expected[3][0]["episode"]["r"]
        if same_pixels and step >= 4:  # the stacks of the two start at different frames
            np.testing.assert_array_equal(obs, np.moveaxis(np.asarray(expected[0]), -1, 1))
    assert games > 0 or same_pixels
    ours.close()
    theirs.close()


# ---- networks


def test_online_and_target_network_have_a_backbone_each() -> None:
    reference = Reference(small(env="Pong", backbone="small"), torch.device("cpu"))
    model = reference.model
    assert isinstance(model, DQN)
    own = {p.data_ptr() for p in model.q_net.parameters()}
    assert own.isdisjoint({p.data_ptr() for p in model.q_net_target.parameters()})
    before = [p.clone() for p in model.q_net_target.parameters()]
    model.learn(40)
    assert model._n_updates > 0
    assert all(torch.equal(a, b) for a, b in zip(before, model.q_net_target.parameters(), strict=True))
    assert not torch.equal(model.q_net.features_extractor.backbone.fc.weight, before[-4])  # type: ignore[union-attr]
    reference.close()


@pytest.mark.parametrize("algo", ["dqn", "ppo"])
def test_our_backbone_sees_frames_scaled_once(algo: str) -> None:
    reference = Reference(small(algo, env="Pong", backbone="nature"), torch.device("cpu"))
    policy = reference.model.q_net if isinstance(reference.model, DQN) else reference.model.policy
    assert isinstance(policy.features_extractor, BackboneExtractor)
    alone = build("nature", (4, 84, 84))
    alone.load_state_dict(policy.features_extractor.backbone.state_dict())
    frames = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    torch.testing.assert_close(policy.extract_features(frames, policy.features_extractor), alone(frames))  # type: ignore[arg-type, operator]
    reference.close()


def test_players_standardise_as_training_does() -> None:
    reference = Reference(small("a2c", env="Pendulum", normalize=True), torch.device("cpu"))
    reference.model.learn(50)
    assert isinstance(reference.normalizer, VecNormalize)
    reference.network.take_statistics()
    obs = np.array([[0.3, -0.9, 5.0], [1.0, 0.0, -7.5]], dtype=np.float32)
    np.testing.assert_allclose(reference.network.standardized(obs), reference.normalizer.normalize_obs(obs))
    assert not np.allclose(reference.network.standardized(obs), obs)
    copy = Reference(small("a2c", env="Pendulum", normalize=True, seed=2), torch.device("cpu"))
    assert not np.allclose(copy.network.policy().act(obs), reference.network.policy().act(obs))
    copy.load_state_dict(reference.state_dict())
    np.testing.assert_array_equal(copy.network.policy().act(obs), reference.network.policy().act(obs))


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
        {"losses/td_loss", "charts/epsilon", "charts/learning_rate"},
    ),
    "a2c": (
        "--env Pendulum --num-envs 2",
        {"losses/policy_loss", "losses/value_loss", "losses/entropy", "charts/learning_rate"},
    ),
    "ppo": (
        "--env CartPole --num-envs 2 --ppo.n-steps 16 --ppo.batch-size 8 --ppo.n-epochs 2",
        {"losses/policy_loss", "losses/value_loss", "losses/approx_kl", "losses/clipfrac"},
    ),
}


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
    assert metrics | {"charts/SPS", "eval/return_mean"} <= names
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


def test_a_run_continues_from_its_networks_and_counters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags, _ = RUNS["ppo"]
    found = run(tmp_path, "--algo", "ppo", *flags.split(), "--total-env-steps", "64")
    assert found.read_result()["updates"] == 16
    sb3.main(["--resume", str(found.path), "--total-env-steps", "128"])
    assert "resumed at step 64" in capsys.readouterr().out
    result = found.read_result()
    assert (result["total_env_steps"], result["updates"]) == (128, 32)


def test_a_resumed_dqn_fills_its_new_replay_memory_before_it_learns() -> None:
    first = Reference(small(), torch.device("cpu"))
    first.model.learn(20)
    second = Reference(small(seed=2), torch.device("cpu"))
    second.load_state_dict(first.state_dict())
    assert isinstance(second.model, DQN)
    assert (second.model.num_timesteps, second.model.learning_starts) == (20, 28)
    assert second.updates == first.updates > 0


def test_minutes_end_a_run_in_the_middle_of_a_rollout(tmp_path: Path) -> None:
    flags = ("--algo", "ppo", "--env", "CartPole", "--preset", "defaults", "--total-minutes", "0.005")
    result = run(tmp_path, *flags).read_result()
    assert result["status"] == "finished" and 0 < result["total_env_steps"] < 2048


# ---- what a user can get wrong


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--algo dqn --env Pendulum", "finite set of actions.*--algo ppo"),
        ("--algo dqn --env Pong --backbone natur", "nature"),
        ("--algo dqn --env CartPole --dqn.buffer-size 10000000000", "at most .* fit"),
        ("--algo ppo --env Pong --normalize", "normalize is for vectors"),
        ("--algo ppo --env Pong --world.no-grayscale", "grey only"),
        ("--algo a2c --env CartPole --precision bfloat16", "float32"),
        ("--algo a2c --env CartPoel", "CartPole"),
        ("--algo sac --env CartPole", "dqn"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run_folder(
    flags: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        sb3.main([*flags.split(), "--runs-dir", str(tmp_path)])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert re.search(message, said.err + said.out)
    assert not list(tmp_path.iterdir())


# ---- settings


@pytest.mark.parametrize(("table", "algorithm"), [(DQNSettings, DQN), (A2CSettings, A2C), (PPOSettings, PPO)])
def test_defaults_are_sb3s_own(table: Any, algorithm: Any) -> None:
    theirs = inspect.signature(algorithm.__init__).parameters
    ours = {name: value for name, value in asdict(table()).items() if name not in OURS_ONLY}
    assert ours == {name: theirs[name].default for name in ours}


FILES = sorted(PRESETS.glob("sb3_*.toml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_presets_load_and_are_of_the_algorithm_in_their_name(file: Path) -> None:
    _, algo, name = file.stem.split("_")
    config = presets.load(Config, ["--preset", name], agent=f"sb3_{algo}", presets_dir=PRESETS)
    assert config.algo == algo
    tables = set(tomllib.loads(file.read_text())) & {"dqn", "a2c", "ppo"}
    assert tables == {algo}
    assert "Zoo" in file.read_text().splitlines()[0]
    if config.algo == "ppo":  # SB3 warns of a last batch that is cut short
        assert config.ppo.n_steps * config.num_envs % config.ppo.batch_size == 0


def test_there_are_presets_for_the_tasks_of_the_zoo() -> None:
    found = {file.stem for file in FILES}
    tasks = {"atari", "cartpole", "lunarlander", "acrobot", "mountaincar"}
    wanted = {f"sb3_{algo}_{task}" for algo in ("dqn", "a2c", "ppo") for task in tasks}
    assert wanted | {"sb3_a2c_pendulum", "sb3_ppo_pendulum"} <= found


def test_schedules_fall_linearly_over_the_run() -> None:
    ppo = PPOSettings(n_steps=16, batch_size=8, learning_rate_end=0.0, clip_range_end=0.1)
    reference = Reference(small("ppo", ppo=ppo), torch.device("cpu"))
    model = reference.model
    assert isinstance(model, PPO)
    assert [model.lr_schedule(left) for left in (1.0, 0.5, 0.0)] == pytest.approx([3e-4, 1.5e-4, 0.0])
    assert model.clip_range(0.5) == pytest.approx(0.15)  # type: ignore[operator]


def test_sb3s_metrics_get_our_names() -> None:
    logged = {"train/loss": 2.0, "train/entropy_loss": -1.5, "train/value_loss": 3.0, "time/fps": 9}
    assert translate("dqn", {"train/loss": 2.0, "rollout/exploration_rate": 0.5}) == (
        {"losses/td_loss": 2.0},
        {"charts/epsilon": 0.5},
    )
    assert translate("ppo", logged) == ({"losses/value_loss": 3.0}, {"losses/entropy": 1.5})
    undefined = {"train/explained_variance": float("nan"), "train/value_loss": float("nan")}
    losses, rest = translate("a2c", undefined)
    assert np.isnan(losses["losses/value_loss"]) and rest == {}  # a loss is handed on: it must stop the run


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_envs must be at least 1"):
        Config(num_envs=0)
    with pytest.raises(ConfigError, match="at least 2 transitions"):
        Config(algo="ppo", ppo=PPOSettings(n_steps=1))
    assert json.dumps(to_dict(Config()))
