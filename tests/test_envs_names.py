"""Names of environments: every short name leads to a registered id, a wrong one to a hint; users' modules work."""

import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

from envs import names
from envs.config import UnknownEnvError
from envs.names import aliases, is_atari, resolve, short_name

OWN_WORLD = """
import gymnasium as gym
from gymnasium import spaces

class Own(gym.Env):
    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)

gym.register("Own-v0", entry_point=Own)
"""


@pytest.mark.parametrize(
    ("name", "env_id"),
    [
        ("Pong", "ALE/Pong-v5"),
        ("pong", "ALE/Pong-v5"),
        ("MsPacman", "ALE/MsPacman-v5"),
        ("CartPole", "CartPole-v1"),
        ("LunarLander", "LunarLander-v3"),
        ("ALE/Pong-v5", "ALE/Pong-v5"),
        ("PongNoFrameskip-v4", "PongNoFrameskip-v4"),
        ("FrozenLake8x8-v1", "FrozenLake8x8-v1"),
        ("Blackjack", "Blackjack-v1"),  # the card game, though an Atari game is called so too
    ],
)
def test_a_name_stands_for_one_id(name: str, env_id: str) -> None:
    assert resolve(name) == env_id


def test_every_short_name_leads_to_a_registered_id_and_back() -> None:
    assert len(aliases()) > 100
    for short, full in aliases().items():
        assert resolve(short) == resolve(short.upper()) == full
        assert full in gym.registry
        assert short_name(full) == short


def test_every_classic_name_is_registered_in_this_gymnasium() -> None:
    # An id that Gymnasium has outgrown would silently drop out of the names.
    assert [full for full in names.CLASSIC.values() if full not in gym.registry] == []


def test_every_ale_game_has_a_short_name_or_is_named_like_a_classic() -> None:
    games = [i for i in gym.registry if i.startswith("ALE/")]
    assert {"ALE/Breakout-v5", "ALE/Pong-v5"} <= set(games)
    assert set(games) - set(aliases().values()) == {"ALE/Blackjack-v5"}


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("Pongg", "Pong"), ("cartpol", "CartPole"), ("CartPole-v9", "CartPole-v1"), ("ALE/Pong-v6", "ALE/Pong-v5")],
)
def test_an_unknown_name_gets_the_nearest_right_ones(wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownEnvError, match=rf"unknown env '{wrong}'; did you mean .*'{nearest}'") as caught:
        resolve(wrong)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_a_name_near_nothing_gets_no_hint() -> None:
    with pytest.raises(UnknownEnvError) as caught:
        resolve("qqqqqqqqqqqqqqqqqqqq")
    assert str(caught.value) == "unknown env 'qqqqqqqqqqqqqqqqqqqq'"


def test_a_users_module_is_imported_for_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_world_module.py").write_text(OWN_WORLD)
    monkeypatch.syspath_prepend(tmp_path)
    try:
        assert "Own-v0" not in gym.registry
        assert resolve("own_world_module:Own-v0") == "own_world_module:Own-v0"
        assert names.spec("own_world_module:Own-v0").id == "Own-v0"
        assert short_name("own_world_module:Own-v0") == "Own-v0"
        assert not is_atari("own_world_module:Own-v0")
        with pytest.raises(UnknownEnvError, match=r"registers no 'Owm-v0'; did you mean 'Own-v0'"):
            resolve("own_world_module:Owm-v0")
    finally:
        gym.registry.pop("Own-v0", None)


def test_a_module_that_registers_only_when_asked_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = OWN_WORLD.replace("gym.register(", "def register_envs(number=0):\n    gym.register(")
    (tmp_path / "asked_world_module.py").write_text(asked)
    (tmp_path / "needy_world_module.py").write_text(asked.replace("number=0", "number"))
    monkeypatch.syspath_prepend(tmp_path)
    try:
        with pytest.raises(UnknownEnvError, match="module 'needy_world_module' registers no 'Own-v0'"):
            resolve("needy_world_module:Own-v0")
        assert names.spec("asked_world_module:Own-v0").id == "Own-v0"
        gym.registry.pop("Own-v0")
        assert resolve("asked_world_module:Own-v0") == "asked_world_module:Own-v0"
        with pytest.raises(UnknownEnvError, match=r"registers no 'Owm-v0'; did you mean 'Own-v0'"):
            resolve("asked_world_module:Owm-v0")
    finally:
        gym.registry.pop("Own-v0", None)


def test_a_users_module_that_fails_is_named_with_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_world_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UnknownEnvError, match=r"cannot import module 'broken_world_module' .*ZeroDivisionError"):
        resolve("broken_world_module:Own-v0")
    (tmp_path / "leaving_world_module.py").write_text("raise SystemExit")
    with pytest.raises(UnknownEnvError, match=r"cannot import module 'leaving_world_module' \(SystemExit\)"):
        resolve("leaving_world_module:Own-v0")


@pytest.mark.parametrize("name", ["no_such_module_here:Own-v0", ".relative:Own-v0", "..:Own-v0"])
def test_a_module_that_cannot_be_imported_is_named(name: str) -> None:
    with pytest.raises(UnknownEnvError, match="cannot import module"):
        resolve(name)


@pytest.mark.parametrize(
    ("recorded", "module"),
    [
        ("envs.partial:CartPoleNoVelocity-v1", "envs.probes.partially_observable"),
        ("envs.known_answers:KnownAnswers/Truncation-v0", "envs.probes.values"),
        ("envs.known_controls:KnownControls/Recall-v0", "envs.probes.policies"),
    ],
)
def test_an_id_recorded_before_its_module_was_moved_is_still_the_same_environment(recorded: str, module: str) -> None:
    # In a process of its own: here the module may be imported already.
    code = (
        "import gymnasium as gym; from envs import names\n"
        f"assert names.resolve({recorded!r}) == {recorded!r}\n"
        f"print(type(gym.make({recorded!r}).unwrapped).__module__, names.spec({recorded!r}).id)\n"
        f"print(names.short_name({recorded!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    env_id = recorded.partition(":")[2]
    assert done.stdout.splitlines()[0].endswith(f" {env_id}")
    assert done.stdout.splitlines()[1] == env_id.rpartition("/")[2]
    assert resolve(f"{module}:{env_id}") == f"{module}:{env_id}"
    assert names.spec(recorded) is names.spec(f"{module}:{env_id}")


def test_an_empty_module_name_is_no_module() -> None:
    with pytest.raises(UnknownEnvError, match="unknown env ':CartPole-v1'; did you mean 'CartPole-v1'"):
        resolve(":CartPole-v1")


def test_atari_is_known_by_its_emulator() -> None:
    assert is_atari("ALE/Pong-v5")
    assert is_atari("PongNoFrameskip-v4")
    assert is_atari("ale_py:ALE/Pong-v5")
    assert not is_atari("CartPole-v1")


@pytest.mark.parametrize(
    ("env_id", "short"),
    [
        ("ALE/Pong-v5", "Pong"),
        ("CartPole-v1", "CartPole"),
        ("PongNoFrameskip-v4", "PongNoFrameskip-v4"),
        ("FrozenLake8x8-v1", "FrozenLake8x8-v1"),
        ("some.module:corp/Own-v3", "Own-v3"),
        ("ALE/Blackjack-v5", "Blackjack-v5"),
    ],
)
def test_short_names_of_ids(env_id: str, short: str) -> None:
    assert short_name(env_id) == short
