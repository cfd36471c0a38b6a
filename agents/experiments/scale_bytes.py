"""Bytes a second that many actors and one learner send to each other: frames there, weights back."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Measured inputs. Bytes of a frame as it is and packed, of what else a step has (action, reward, end of the
    episode, log-probability or value) and of all weights; actors of a host; hosts that a host passes weights on to;
    microseconds to unpack a frame.
    """

    frame_bytes: float
    packed_bytes: float
    other_bytes: float
    weight_bytes: float
    actors_per_host: int
    fan_out: int
    unpack_us: float


@dataclass(frozen=True)
class Traffic:
    """Megabytes (10^6 bytes) a second, and what follows.

    raw, packed: into the learner; to_actors, to_hosts: out of the learner with a copy of the weights for each;
    tree_node: out of each node where hosts pass them on; tree_levels: hops to the last host; unpack_cores: CPU cores
    that unpack.
    """

    raw: float
    packed: float
    to_actors: float
    to_hosts: float
    tree_node: float
    tree_levels: int
    unpack_cores: float


def traffic_of(actors: int, steps_per_second: float, broadcasts_per_second: float, sizes: Sizes) -> Traffic:
    """Compute the traffic of N actors, each at `steps_per_second`; a step has one new frame, whatever the stack.

    The learner is the root of the tree: level k of it reaches fan_out^k hosts.
    """
    steps, weights = actors * steps_per_second, sizes.weight_bytes * broadcasts_per_second / 1e6
    hosts = math.ceil(actors / sizes.actors_per_host)
    levels, reached, level = 0, 0, 1
    while reached < hosts:
        level *= sizes.fan_out
        levels, reached = levels + 1, reached + level
    return Traffic(
        raw=steps * (sizes.frame_bytes + sizes.other_bytes) / 1e6,
        packed=steps * (sizes.packed_bytes + sizes.other_bytes) / 1e6,
        to_actors=actors * weights,
        to_hosts=hosts * weights,
        tree_node=min(sizes.fan_out, hosts) * weights,
        tree_levels=levels,
        unpack_cores=steps * sizes.unpack_us / 1e6,
    )
