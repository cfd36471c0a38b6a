"""Short names of environments: "Pong" -> "ALE/Pong-v5", "CartPole" -> "CartPole-v1".

Any registered Gymnasium id is a name too, and so is `module:Id-v0`, for which Gymnasium imports `module` first (that
module registers the environment, at once or in a function `register_envs`).
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from typing import Any

import ale_py
import gymnasium as gym
from gymnasium.envs.registration import EnvSpec, load_env_creator, parse_env_id

from envs.config import UnknownEnvError
from envs.copies import RAISES, described

gym.register_envs(ale_py)
ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner on the screen for each emulator

CLASSIC = {
    "CartPole": "CartPole-v1",
    "Acrobot": "Acrobot-v1",
    "MountainCar": "MountainCar-v0",
    "MountainCarContinuous": "MountainCarContinuous-v0",
    "Pendulum": "Pendulum-v1",
    "LunarLander": "LunarLander-v3",
    "LunarLanderContinuous": "LunarLanderContinuous-v3",
    "BipedalWalker": "BipedalWalker-v3",
    "CarRacing": "CarRacing-v3",
    "Blackjack": "Blackjack-v1",
    "FrozenLake": "FrozenLake-v1",
    "CliffWalking": "CliffWalking-v1",
    "Taxi": "Taxi-v4",
    "HalfCheetah": "HalfCheetah-v5",
    "Hopper": "Hopper-v5",
    "Walker2d": "Walker2d-v5",
    "Ant": "Ant-v5",
}

# Earlier places of modules that register environments: recorded runs name them in their ids.
MOVED_MODULES = {
    "envs.partial": "envs.probes.partially_observable",
    "envs.known_answers": "envs.probes.values",
    "envs.known_controls": "envs.probes.policies",
}

# "dream:RUN" is no module: whoever makes such worlds puts a function here that registers one and returns its id.
SCHEMES: dict[str, Callable[[str], str]] = {}
BATCHED: set[str] = set()  # ids of such worlds that run their copies at once, with vectors as observations


def _registered(name: str) -> str | None:
    """Return the id of a world of a scheme, None for other names. Raises: what the scheme raises."""
    scheme, colon, rest = name.partition(":")
    return SCHEMES[scheme](rest) if colon and scheme in SCHEMES else None


@functools.cache
def aliases() -> dict[str, str]:
    """Return the full id of every short name."""
    games = {i.removeprefix("ALE/").removesuffix("-v5"): i for i in gym.registry if i.startswith("ALE/")}
    registered = {name: i for name, i in CLASSIC.items() if i in gym.registry}
    return games | registered


def resolve(name: str) -> str:
    """Return the full Gymnasium id of a name.

    Raises: UnknownEnvError, with the nearest known names.
    """
    if (env_id := _registered(name)) is not None:
        return env_id
    module, _, rest = name.rpartition(":")
    if module:
        try:
            _import(module, rest)
        except RAISES as error:
            raise UnknownEnvError(f"env {name!r}: cannot import module {module!r} ({described(error)})") from error
        if rest not in gym.registry:
            raise UnknownEnvError(f"env {name!r}: module {module!r} registers no {rest!r}" + _nearest(rest))
        return name
    by_lower_case = {short.lower(): full for short, full in aliases().items()}
    if name.lower() in by_lower_case:
        return by_lower_case[name.lower()]
    if name in gym.registry:
        return name
    raise UnknownEnvError(f"unknown env {name!r}" + _nearest(name))


def spec(env_id: str) -> EnvSpec:
    """Return Gymnasium's registration of a full id, `module:Id-v0` included, which `gym.spec` does not accept."""
    module, _, registered = env_id.rpartition(":")
    if module:
        _import(module, registered)
    return gym.spec(registered)


def _import(module: str, env_id: str) -> None:
    """Import a module that registers environments, also under the name that it had before it was moved.

    One that registers them only when asked, as MinAtar's, is asked: its `register_envs` is called without arguments.
    """
    if module in MOVED_MODULES:
        sys.modules.setdefault(module, importlib.import_module(MOVED_MODULES[module]))
    register = getattr(importlib.import_module(module), "register_envs", None)
    if env_id in gym.registry or not inspect.isfunction(register):
        return
    parameters = inspect.signature(register).parameters.values()
    if all(p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # ids that it registered before are registered again
            register()


def is_atari(env_id: str) -> bool:
    """Return whether ale-py runs the environment (`ALE/Pong-v5`, `PongNoFrameskip-v4`, ...)."""
    entry_point: Any = spec(env_id).entry_point
    if isinstance(entry_point, str) and entry_point.partition(":")[0].partition(".")[0] == "ale_py":
        with contextlib.suppress(ImportError, AttributeError):  # making the environment says what is missing
            entry_point = load_env_creator(entry_point)
    return entry_point is ale_py.AtariEnv


def short_name(env_id: str) -> str:
    """Return the short name of an id, `Pong` for `ALE/Pong-v5`; without one, the id less its module and namespace."""
    for short, full in aliases().items():
        if full == env_id:
            return short
    bare = env_id.rpartition(":")[2]
    try:
        _, name, version = parse_env_id(bare)
    except gym.error.Error as error:
        raise UnknownEnvError(f"{env_id[:60]!r} is no id of an environment") from error
    return name if version is None else f"{name}-v{version}"


def _nearest(name: str) -> str:
    choices = list(aliases()) + list(gym.registry)
    by_lower_case = {choice.lower(): choice for choice in reversed(choices)}
    close = difflib.get_close_matches(name.lower(), list(by_lower_case), n=3, cutoff=0.5)
    return "; did you mean " + " or ".join(repr(by_lower_case[c]) for c in close) + "?" if close else ""
