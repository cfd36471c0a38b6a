"""Play in a window: where there is a screen, and one line where there is none."""

from __future__ import annotations

import os

import numpy as np
import odd_envs
import pytest
from odd_envs import Odd

from agents.rl.interfaces import Policy
from agents.training.window import open_screen, watch
from envs.config import EnvConfig
from rl_gen_lab.cli.errors import ConfigError

LEFT = Policy(lambda obs: np.zeros(len(obs), np.int64))


def test_without_a_screen_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"no screen.*leave out --render human"):
        open_screen()
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"


@pytest.mark.parametrize("variable", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_with_a_screen_windows_may_open(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv(variable, ":0")
    open_screen()
    assert "SDL_VIDEODRIVER" not in os.environ


def test_a_driver_of_the_user_s_own_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    open_screen()
    assert os.environ["SDL_VIDEODRIVER"] == "offscreen"


def test_an_episode_is_played_by_an_environment_with_a_window() -> None:
    steps: list[int] = []
    with odd_envs.registered() as name:
        found = watch(name, EnvConfig(), LEFT, 1, epsilon=0.0, max_steps=9, on_step=steps.append)
    assert found == (4.0, True) and steps == [0, 1, 2, 3, 4]
    assert Odd.modes == ["human"] and Odd.alive == 0


@pytest.mark.filterwarnings("ignore:.*HumanRendering wrapper is being applied:UserWarning")
def test_pictures_are_shown_in_a_window_of_gymnasium_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Odd.metadata, "render_modes", ["rgb_array"])
    monkeypatch.setenv("SDL_VIDEODRIVER", "offscreen")
    with odd_envs.registered(renders=np.zeros((40, 30, 3), np.uint8)) as name:
        found = watch(name, EnvConfig(), LEFT, 1, epsilon=0.0, max_steps=9, on_step=lambda n: None)
    assert found == (4.0, True) and Odd.modes == ["rgb_array"] and Odd.alive == 0


def test_an_environment_that_renders_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Odd.metadata, "render_modes", [])
    with odd_envs.registered() as name, pytest.raises(ConfigError, match=r"test/Odd-v0 offers no window"):
        watch(name, EnvConfig(), LEFT, 1, epsilon=0.0, max_steps=9, on_step=lambda n: None)
