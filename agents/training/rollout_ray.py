"""Actors of Ray, on this machine or on all that its cluster has; needs the extra `ray`.

Source: https://docs.ray.io/en/latest/ray-core/actors.html, "Actor Task Execution Order" and "Concurrency Groups".
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import secrets
import signal
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from agents.training.config import RolloutsConfig
from agents.training.env_runner import EnvStepError
from agents.training.rollout_actor import Order, Recipe, Start
from agents.training.rollout_backends import ActorEnded
from agents.training.rollout_chunks import Arrays, ChunkLayout
from agents.training.rollout_ray_actor import RayWorker, command_here
from agents.training.rollout_weights import NEWEST, bytes_of, flatten, tensors_of
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.distributed.follower import remove_left_folders
from rl_gen_lab.runs.lock import FolderLock
from rl_gen_lab.runs.reading import first_line

LEAST_STORE_BYTES = 100_000_000  # Ray refuses less than 78 MB
PREFIX = "rl_gen_lab-ray-"  # of its folders; of sockets in them the whole path may have 107 letters
# A Ray of our own tells its makers nothing, hears this machine alone (the name of that switch speaks of other systems,
# but by it all of Ray's processes bind to the loopback address), and of this machine only who knows the token, which
# Ray would otherwise write into the user's home. Read when Ray is imported.
OF_OWN_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


class RayActors:
    """Actors of Ray; see `Actors`. Chunks and weights are arrays in its object store, uncopied on one machine.

    One that ends is replaced, on any machine. Ray ends them when this process does.
    """

    def __init__(
        self, recipes: Sequence[Recipe], learner: nn.Module, layout: ChunkLayout, blocks: int, places: int
    ) -> None:
        """learner: the network whose weights are published; blocks: of each actor; places: of publications.

        Raises: ConfigError where Ray cannot be started or reached, or has fewer processors than actors.
        """
        settings = getattr(recipes[0].spec.config, "rollouts", RolloutsConfig())
        self._weights, self._size_bytes = tensors_of(learner), bytes_of(learner)
        store = 2 * (len(recipes) * blocks * layout.size_bytes + places * self._size_bytes) + LEAST_STORE_BYTES
        self._ray, self._leave = connected(settings.address, len(recipes), store)
        self._layout, self._free = layout, settings.lag == "free"
        self._published: deque[tuple[int, int, Any]] = deque(maxlen=places)  # publication, version, flat weights
        self._asked: list[deque[tuple[Order, Any]]] = [deque() for _ in recipes]
        self._came: list[dict[int, np.ndarray]] = [{} for _ in recipes]
        self._recipe = self._ray.put(pickle.dumps(recipes[0]))
        # Weights come in while a chunk is played; chunks themselves in the order in which they are asked for.
        self._worker = self._ray.remote(num_cpus=1, concurrency_groups={"weights": 1})(RayWorker)
        self._workers = [self._made(number) for number in range(len(recipes))]

    def _made(self, number: int) -> Any:
        return self._worker.remote(self._recipe, command_here(), number)

    def begin(self, number: int, start: Start) -> None:
        """Let an actor begin, or begin anew."""
        self._workers[number].begin.remote(start)

    def order(self, number: int, order: Order) -> None:
        """Let an actor play a chunk."""
        wanted = self._published[-1][0] if order.publication == NEWEST else order.publication
        (published,) = (each for each in self._published if each[0] == wanted)
        self._asked[number].append((order, self._workers[number].play.remote(order, *published)))

    def publish(self, publication: int, version: int) -> None:
        """Publish the learner's weights: once in the object store, from which each machine takes them once."""
        flat = np.empty(self._size_bytes, np.uint8)
        flatten(self._weights, flat)
        self._published.append((publication, version, self._ray.put(flat)))
        if self._free:  # otherwise they come with the order
            for worker in self._workers:
                worker.publish.options(concurrency_group="weights").remote(*self._published[-1])

    def receive(self, seconds: float) -> list[tuple[int, Order]]:
        """Return the orders that have been carried out, waiting for the first so long.

        Raises: ActorEnded; EnvStepError, or RuntimeError for a bug, with what an actor raised; ConfigError for a
        machine on which no actor can be made.
        """
        first = {asked[0][1]: number for number, asked in enumerate(self._asked) if asked}
        ready, _ = self._ray.wait(list(first), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self._ray.wait(list(first), num_returns=len(first), timeout=0)
        done: list[tuple[int, Order]] = []
        for future in ready:
            number = first[future]
            try:
                came = self._ray.get(future)
            except self._ray.exceptions.RayActorError as error:
                if done:
                    continue  # first what is whole
                raise ended(number, error) from error
            order, _ = self._asked[number].popleft()
            if isinstance(came, str):
                told = came.startswith("Traceback")
                raise RuntimeError(came) if told else EnvStepError(f"actor {number}: {came}")
            self._came[number][order.block] = came
            done.append((number, order))
        return done

    def arrays(self, number: int, block: int) -> Arrays:
        """Return the arrays of a chunk that has come, once: the object store frees it when they are gone."""
        return self._layout.arrays(self._came[number].pop(block))

    @property
    def pids(self) -> list[int]:
        """The actors' process numbers, each on its machine."""
        found: list[int] = self._ray.get([worker.pid.remote() for worker in self._workers])
        return found

    def replace(self, number: int) -> None:
        """Start an actor anew."""
        self._ray.kill(self._workers[number])
        self._asked[number].clear()
        self._workers[number] = self._made(number)

    def close(self) -> None:
        """End all actors, and the Ray that was started for them."""
        for worker in self._workers:
            self._ray.kill(worker)  # what it plays now is for nobody
        self._asked, self._came, self._recipe = [], [], None
        self._published.clear()
        self._leave()


def ended(number: int, error: Any) -> Exception:
    """Return what to raise for an actor that Ray says is gone. error: RayActorError."""
    if error.actor_init_failed:
        why = str(error).strip().rpartition("\n")[2]
        return ConfigError(
            f"actor {number} could not be made where Ray put it ({why[:200]}): start Ray on each machine in the folder"
            " of this checkout, with the same packages"
        )
    detail = re.search(r"Worker exit detail: ([^\n]*?)(?:\.\s|\n|$)", str(error))
    return ActorEnded(number, None, why=detail[1] if detail else first_line(error)[:200])


def connected(address: str, actors: int, store_bytes: int) -> tuple[Any, Callable[[], None]]:
    """Connect to Ray, or start one on this machine's loopback address; return the module, and how to leave it.

    A Ray that this process is connected to already is used as it is, and not left. address: as in the settings;
    store_bytes: of the object store of a new one. Raises: ConfigError.
    """
    held = ExitStack()

    def leave() -> None:
        ray.shutdown()
        held.close()

    if address == "local":
        for name, value in OF_OWN_RAY.items():
            os.environ.setdefault(name, value)
    import ray

    found = ray.is_initialized()
    if not found:
        where: dict[str, Any] = {"address": address}
        if address == "local":
            remove_left_folders(PREFIX)
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True))
            held.enter_context(FolderLock(Path(folder), folder))
            where |= {"num_cpus": actors, "num_gpus": 0, "include_dashboard": False, "_temp_dir": folder}
            where |= {"object_store_memory": store_bytes}
        try:
            with own_signals(), own_modules():
                ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            leave()
            raise ConfigError(f"no Ray at --rollouts.address {address}: {first_line(error)[:200]}") from error
    processors = int(ray.cluster_resources().get("CPU", 0))
    if processors < actors:
        if not found:
            leave()
        fits = max(processors, 1)
        raise ConfigError(f"Ray has {processors} processors for {actors} actors: --rollouts.actors {fits}")
    return ray, (lambda: None) if found else leave


@contextmanager
def own_signals() -> Iterator[None]:
    """Keep how this process answers SIGTERM, which Ray would end it by: it saves first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def own_modules() -> Iterator[None]:
    """Let processes of a Ray that is started now find the modules that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({} if before is None else {"PYTHONPATH": before})
