"""The probe of small images: its contract, the same view of every layout, and agents that learn to read it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from fake_run import train
from gymnasium.utils.env_checker import check_env

from agents import dqn, ppo
from agents.rl.replay import ReplayConfig
from envs.config import EnvConfig
from envs.factory import make_vec
from envs.probes.pictures import QUARTER, Quarter
from rl_gen_lab.backbones.convolutional import Small, Tiny
from rl_gen_lab.cli.settings import DeviceConfig

LAYOUTS: list[dict[str, Any]] = [
    {"layout": layout, "dtype": dtype} for layout in ("last", "first", "dict") for dtype in ("bool", "float32", "uint8")
]


@pytest.fixture
def registered_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    def register(**words: Any) -> str:
        monkeypatch.setattr(gym.registry["Pictures/Quarter-v0"], "kwargs", words)
        return QUARTER

    return register


@pytest.mark.filterwarnings("ignore:.*Box observation space:UserWarning")  # ours is a small image on purpose
@pytest.mark.parametrize("words", LAYOUTS, ids=str)
def test_the_probe_keeps_the_contract_of_gymnasium(words: dict[str, Any]) -> None:
    check_env(Quarter(**words), skip_render_check=True)


def test_the_quarter_of_the_first_channel_pays_and_no_other() -> None:
    env = Quarter()
    obs, _ = env.reset(seed=0)
    returns = {"right": 0.0, "other channel": 0.0, "swapped axes": 0.0}
    for _ in range(400):
        (row, column), (other_row, other_column) = (np.argwhere(obs[..., k])[0] for k in (0, 1))
        guesses = {
            "right": 2 * (row > 4) + (column > 4),
            "other channel": 2 * (other_row > 4) + (other_column > 4),
            "swapped axes": 2 * (column > 4) + (row > 4),
        }
        drawn = env.cells
        for name, guess in guesses.items():
            env.cells = drawn
            obs, reward, *_ = env.step(np.int64(guess))
            returns[name] += reward
    assert returns["right"] == 400
    assert 60 < returns["other channel"] < 140 and 160 < returns["swapped axes"] < 240


@pytest.mark.parametrize(
    ("size", "words"),
    [(size, words) for size in (10, 40) for words in LAYOUTS[1:] if size == 40 or words["layout"] != "dict"],
    ids=str,
)
def test_every_layout_of_a_picture_is_the_same_view(size: int, words: dict[str, Any], registered_with: Any) -> None:
    shown = []
    for kind in (LAYOUTS[0], words):
        vec = make_vec(registered_with(size=size, channels=3, **kind), 2, EnvConfig(frame_stack=2, image_size=36))
        shown.append([vec.reset(seed=3)[0], *(vec.step(np.array([0, 1]))[0] for _ in range(3))])
        vec.close()
    np.testing.assert_array_equal(shown[0], shown[1])
    assert shown[0][0].shape == ((2, 6, 10, 10) if size == 10 else (2, 2, 36, 36))
    assert shown[0][0].dtype == np.uint8 and np.max(shown) > 60


def config(agent: Any, **settings: Any) -> Any:
    world = EnvConfig(frame_stack=1, image_size=40)
    return agent.Config(env=QUARTER, world=world, gamma=0.1, device=DeviceConfig(device="cpu"), **settings)


def learned(settings: Any, env_steps: int) -> tuple[float, Any]:
    """The mean return of the last episodes, and the backbone that read the images."""
    run = train(settings, env_steps=env_steps)
    network: Any = run.network
    return float(np.mean([episode.episodic_return for episode in run.episodes[-50:]])), network.backbone


@pytest.mark.slow
def test_dqn_reads_a_picture_of_a_few_cells() -> None:
    settings = config(
        dqn,
        num_envs=8,
        n_step=1,
        learning_rate=3e-3,
        learning_starts_env_steps=300,
        epsilon_env_steps=2_500,
        learn_every_env_steps=6,
        target_update_every_updates=50,
        replay=ReplayConfig(capacity=5_000),
    )
    score, backbone = learned(settings, 4_000)
    assert score > 9 and isinstance(backbone, Tiny)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "backbone", "enough"),
    [
        ({"layout": "first", "dtype": "float32"}, Tiny, 9.0),
        ({"size": 40, "layout": "first", "dtype": "uint8", "channels": 4}, Small, 7.0),
    ],
)
def test_ppo_reads_channels_first(words: dict[str, Any], backbone: type, enough: float, registered_with: Any) -> None:
    registered_with(**words)
    score, read_by = learned(config(ppo, num_envs=16, rollout_steps=16, minibatch_size=64, learning_rate=3e-3), 5_000)
    assert score > enough and isinstance(read_by, backbone)
