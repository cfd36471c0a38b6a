"""Which backend carries out actors, and what is refused before anything is opened."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from agents.training import rollout_choice
from agents.training.config import RolloutsConfig
from agents.training.rollout_choice import actors_of, refuse_impossible
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.ranks import Ranks

THREE = Ranks(0, 3)


def test_each_backend_has_actors_of_its_own() -> None:
    names = [actors_of(backend).__name__ for backend in ("local", "processes", "gloo", "ray")]
    assert names == ["LocalActors", "ProcessActors", "GlooActors", "RayActors"]


@pytest.mark.parametrize(
    ("actors", "ranks", "message"),
    [
        (2, Ranks(), r"actors 2 needs 3 processes, .* without torchrun: torchrun --standalone --nproc-per-node 3 -m"),
        (3, THREE, r"actors 3 needs 4 processes, one that learns .* torchrun started 3 processes: torchrun .* 4 -m"),
        (1, THREE, r"several that learn can have actors of their own by --rollouts.backend processes"),
    ],
)
def test_gloo_needs_a_process_for_each_actor_and_one_that_learns(actors: int, ranks: Ranks, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_impossible(RolloutsConfig(backend="gloo", actors=actors), ranks)


def test_what_can_work_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_choice, "find_spec", lambda name: object())
    reached: list[tuple[str, int]] = []
    monkeypatch.setattr(
        rollout_choice.socket, "create_connection", lambda where, timeout: reached.append(where) or socket.socket()
    )
    refuse_impossible(RolloutsConfig(backend="gloo", actors=2), THREE)
    refuse_impossible(RolloutsConfig(backend="processes", actors=2), THREE)
    for address in ("auto", "local", "10.0.0.7:6379", "head.cluster.example:6379", "[::1]:6379"):
        refuse_impossible(RolloutsConfig(backend="ray", address=address), Ranks())
    assert reached == [("10.0.0.7", 6379), ("head.cluster.example", 6379), ("::1", 6379)]


def test_a_ray_that_does_not_answer_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_choice, "find_spec", lambda name: object())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        refuse_impossible(RolloutsConfig(backend="ray", address=address), Ranks())
    with pytest.raises(ConfigError, match=rf"nobody answers at --rollouts.address {address} .*: ray start --head"):
        refuse_impossible(RolloutsConfig(backend="ray", address=address), Ranks())


@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        ({"address": "somewhere"}, Ranks(), r"address is auto, local or HOST:PORT, not 'somewhere'"),
        ({"address": "host:99999"}, Ranks(), r"address is auto, local or HOST:PORT, not 'host:99999'"),
        ({"backend": "processes", "address": "auto"}, Ranks(), "address auto is for --rollouts.backend ray"),
        ({}, THREE, r"Ray starts the actors of one learner: start it without torchrun"),
    ],
)
def test_what_ray_cannot_do_is_refused(
    settings: dict[str, Any], ranks: Ranks, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_choice, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match=message):
        refuse_impossible(RolloutsConfig(**{"backend": "ray"} | settings), ranks)


def test_without_ray_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout_choice, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install -c constraints.txt -e \"\.\[ray\]\""):
        refuse_impossible(RolloutsConfig(backend="ray"), Ranks())
