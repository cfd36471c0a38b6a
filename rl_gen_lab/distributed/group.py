"""What the processes of one training exchange: sums of gradients, decisions, checkpoints.

Alone, every exchange returns its input. Each of them must be called by all processes in the same order.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.reading import first_line

PATIENCE_SECONDS = 2.0  # for the others to say that they still run, once an exchange has failed


BACKENDS = {"gloo", "nccl"}  # what their errors name


class RankLostError(UserError):
    """Another process of the training ended or no longer answers."""


class Group:
    """The processes of one training."""

    def __init__(self, ranks: Ranks | None = None) -> None:
        """Name them; `joined` connects them. None: this process alone."""
        self.ranks = ranks or Ranks()
        self.size = self.ranks.size

    def mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replace the floating-point tensors among these, of one type, by their means over the processes."""
        if self.size == 1 or not (given := [tensor for tensor in tensors if tensor.is_floating_point()]):
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in given])
        with self.exchange():
            dist.all_reduce(flat)
        flat /= self.size
        for tensor, mean in zip(given, flat.split([tensor.numel() for tensor in given]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def mean_gradients_(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace the gradients of these parameters by their means over the processes; none counts as zero."""
        if self.size == 1:
            return
        learned = [parameter for parameter in parameters if parameter.requires_grad]
        for parameter in learned:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.mean_(parameter.grad for parameter in learned if parameter.grad is not None)

    def copy_(self, tensors: Iterable[Tensor], source: int = 0) -> None:
        """Overwrite tensors by those of a process."""
        if self.size > 1:
            with self.exchange():
                for tensor in tensors:
                    dist.broadcast(tensor.detach(), source)

    def largest(self, *values: float) -> list[float]:
        """Return the largest of each value over the processes; a NaN anywhere is the largest."""
        if self.size == 1:
            return list(values)
        found = torch.tensor([*values, *(float(value != value) for value in values)], dtype=torch.float64)
        found = found.nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)
        with self.exchange():
            dist.all_reduce(found, dist.ReduceOp.MAX)
        numbers, nan = found.tolist()[: len(values)], found.tolist()[len(values) :]
        return [float("nan") if is_nan else number for number, is_nan in zip(numbers, nan, strict=True)]

    def total(self, value: float) -> float:
        """Return the sum of a number over the processes."""
        return value if self.size == 1 else float(sum(self.gather(torch.tensor([value], dtype=torch.float64))))

    def mean(self, value: float) -> float:
        """Return the mean of a number over the processes."""
        return self.total(value) / self.size

    def text(self, own: str) -> str:
        """Return the text of process 0."""
        if self.size == 1:
            return own
        letters = torch.frombuffer(bytearray(own.encode() or b" "), dtype=torch.uint8).clone()
        length = torch.tensor([len(letters)])
        self.copy_([length])
        if not self.ranks.leads:
            letters = torch.zeros(int(length), dtype=torch.uint8)
        self.copy_([letters])
        return bytes(letters.tolist()).decode()

    def texts(self, own: str) -> list[str]:
        """Return the texts of all processes, cut after 400 bytes."""
        letters = torch.zeros(400, dtype=torch.uint8)
        encoded = own.encode()[:400]
        letters[: len(encoded)] = torch.tensor(list(encoded), dtype=torch.uint8)
        return [bytes(found.tolist()).rstrip(b"\0").decode(errors="ignore") for found in self.gather(letters)]

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any of the processes."""
        return bool(self.largest(float(flag))[0])

    def means(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the means of scalars over the processes, which have the same names, in one exchange."""
        found = {name: value.detach() for name, value in values.items()}
        if self.size > 1:
            together = torch.stack([value.double() for value in found.values()])
            self.mean_([together])
            found = dict(zip(found, together.unbind(), strict=True))
        return found

    def named(self, name: str, value: float) -> dict[str, float]:
        """Return a number of each of several processes by its name in the record: ranks/0/NAME, ranks/1/NAME ..."""
        if self.size == 1:
            return {}
        numbers = self.gather(torch.tensor([value], dtype=torch.float64))
        return {f"ranks/{rank}/{name}": float(number) for rank, number in enumerate(numbers)}

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensors of all processes, which have one shape, in the order of their ranks."""
        if self.size == 1:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with self.exchange():
            dist.all_gather(found, tensor.contiguous())
        return found

    def objects(self, own: Any) -> list[Any]:
        """Return the values of all processes, tensors among them, in the order of their ranks; they are pickled."""
        if self.size == 1:
            return [own]
        found = [None] * self.size
        with self.exchange():
            dist.all_gather_object(found, own)
        return list(found)

    def refuse_different(self, what: str, text: str) -> None:
        """Raise ConfigError where the processes have not the same: data, commit, settings."""
        if self.size == 1:
            return
        digest = hashlib.sha256(text.encode()).digest()[:8]
        own = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
        other = [rank for rank, found in enumerate(self.gather(own)) if not torch.equal(found, own)]
        if other:
            names = ", ".join(map(str, other))
            raise ConfigError(f"process {self.ranks.rank} has other {what} than process {names}: {text[:200]} here")

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Turn what torch raises when a process is lost into one line that names it."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not (isinstance(error, dist.DistError) or BACKENDS & set(_words(str(error)))):
                raise  # an error of the network that is trained
            raise RankLostError(self._lost(error)) from error

    def _lost(self, error: Exception) -> str:
        """Say which processes no longer answer: those that do not say within PATIENCE_SECONDS that they run."""
        missing = []
        try:
            store = dist.distributed_c10d._get_default_store()
            store.set(f"runs/{self.ranks.restarts}/{self.ranks.rank}", "yes")
            time.sleep(PATIENCE_SECONDS)
            others = [rank for rank in range(self.size) if rank != self.ranks.rank]
            missing = [rank for rank in others if not store.check([f"runs/{self.ranks.restarts}/{rank}"])]
        except RuntimeError:  # the store ended with the process that kept it
            pass
        names = ", ".join(map(str, missing))
        lost = f"process {names} of {self.size}" if missing else "another process"
        return (
            f"process {self.ranks.rank} lost {lost}, which ended or did not answer in time"
            f" ({first_line(error)[:120]}); the last checkpoint stays"
        )


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


@contextmanager
def joined(ranks: Ranks, timeout_seconds: float, *, cuda: bool = False) -> Iterator[Group]:
    """Connect the processes for as long as the context is open. Raises: ConfigError where they do not find each other.

    timeout_seconds: how long each waits in an exchange before it gives the others up; cuda: whether they use GPUs.
    """
    if ranks.size == 1 or dist.is_initialized():  # whoever connected them also disconnects them
        yield Group(ranks)
        return
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    patience = timedelta(seconds=timeout_seconds)
    try:
        store, rank, size = next(dist.rendezvous("env://", timeout=patience))  # type: ignore[attr-defined]
        # torchrun keeps its store when it restarts the processes: in it stand the addresses of those before.
        store = dist.PrefixStore(f"restart-{ranks.restarts}", store)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)
    except (RuntimeError, ValueError) as error:  # a port in use, a machine that cannot be reached
        raise ConfigError(f"the processes could not connect: {first_line(error)[:200]}") from error
    try:
        yield Group(ranks)
    finally:
        dist.destroy_process_group()
