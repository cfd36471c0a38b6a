"""Which backend carries out the actors of a run; those that need torch.distributed or Ray are imported when chosen."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from agents.training.config import RolloutsConfig
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.ranks import Ranks

if TYPE_CHECKING:
    from agents.training.rollout_backends import Actors

REACH_SECONDS = 10.0  # for a machine to answer


def actors_of(backend: str) -> Callable[..., Actors]:
    """Return the class of a backend's actors: made of recipes, the learner's network, layout, blocks and places."""
    if backend == "gloo":
        from agents.training.rollout_gloo import GlooActors

        return GlooActors
    if backend == "ray":
        from agents.training.rollout_ray import RayActors

        return RayActors
    from agents.training.rollout_backends import LocalActors, ProcessActors

    return LocalActors if backend == "local" else ProcessActors


def refuse_impossible(settings: RolloutsConfig, ranks: Ranks) -> None:
    """Raise ConfigError for actors that cannot be started, before anything is opened. ranks: of this process."""
    if settings.backend == "gloo":
        _refuse_other_processes(settings.actors, ranks)
    if settings.backend == "ray":
        _refuse_ray(settings.address, ranks)
    elif settings.address != RolloutsConfig.address:
        raise ConfigError(f"--rollouts.address {settings.address} is for --rollouts.backend ray")


def _refuse_other_processes(actors: int, ranks: Ranks) -> None:
    needed = actors + 1
    if ranks.size != needed:
        found = f"torchrun started {ranks.size} processes" if ranks.size > 1 else "it was started without torchrun"
        raise ConfigError(
            f"--rollouts.backend gloo --rollouts.actors {actors} needs {needed} processes, one that learns and others"
            f" that act, and {found}: torchrun --standalone --nproc-per-node {needed} -m ...; several that learn can"
            " have actors of their own by --rollouts.backend processes"
        )


def _refuse_ray(address: str, ranks: Ranks) -> None:
    port = re.fullmatch(r"[\w.\-\[\]:]+:(\d{1,5})", address)
    if address not in ("auto", "local") and (port is None or not 0 < int(port[1]) < 65_536):
        raise ConfigError(f"--rollouts.address is auto, local or HOST:PORT, not {address!r}")
    if ranks.size > 1:
        raise ConfigError(
            "Ray starts the actors of one learner: start it without torchrun, or take --rollouts.backend processes"
        )
    if find_spec("ray") is None:
        raise ConfigError(
            "--rollouts.backend ray needs the package ray: .venv/bin/python -m pip install -c constraints.txt"
            ' -e ".[ray]"; --rollouts.backend processes needs no package'
        )
    if port is not None:
        _refuse_unreachable(address.rpartition(":")[0].strip("[]"), int(port[1]))


def _refuse_unreachable(host: str, port: int) -> None:
    """Raise ConfigError where nobody listens, which Ray itself would find out in two minutes."""
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"nobody answers at --rollouts.address {host}:{port} ({error}): ray start --head --port {port} there"
        ) from error
