"""The one supervised loop: batches, validation, early stopping, checkpoints, exact resume, the test at the end.

A task says what is learned: its network, the loss of a batch, and the metrics of a split. Order of the images is a
function of seed and epoch; everything else that is random comes from torch's own generators, which are saved.
"""

from __future__ import annotations

import contextlib
import math
import signal
import statistics
import sys
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.errors import CheckpointError, DivergedError, SaveError
from rl_gen_lab.cli.progress import ProgressDisplay, clock
from rl_gen_lab.cli.settings import DeviceConfig
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.compute.devices import peak_memory_mb
from rl_gen_lab.compute.optimizers import OptimizerConfig, Schedule, make_optimizer
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.data.dataset import Split
from rl_gen_lab.runs.checkpoints import load_state, load_weights, save_state, save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker

EXIT_INTERRUPTED = 130  # what shells report for a command ended by Ctrl-C
LATENCY_IMAGES = 50  # images that the latency is the median of
COUNTERS = ("epoch", "batch", "updates", "best", "best_epoch")


class _StoppedError(Exception):
    """Ctrl-C while a split was measured, which is done again after resuming."""


class Task(Protocol):
    """What is learned. goal: name of the validation metric that says which weights are best; higher is better."""

    goal: str

    @property
    def network(self) -> nn.Module:
        """What learns, on its device."""

    def loss(self, split: Split, indices: Tensor) -> dict[str, Tensor]:
        """Losses of these images, scalars; "loss" is minimised, the others are for the record. indices: (B,) int64."""

    def predict(self, images: Tensor) -> Any:
        """What a user of the network gets for images (B, C, H, W) uint8, on the CPU."""

    def evaluate(self, split: Split, on_image: Callable[[int], None]) -> dict[str, float]:
        """Metrics of a whole split; tell `on_image` how many images are done."""


class LoopConfig(Protocol):
    """The settings that the loop reads."""

    @property
    def seed(self) -> int:
        """Seed of the run."""

    @property
    def epochs(self) -> int:
        """Passes over the training images, at most."""

    @property
    def batch_size(self) -> int:
        """Images in an update."""

    @property
    def patience_epochs(self) -> int:
        """Epochs without a better validation metric after which training stops; 0: never."""

    @property
    def total_minutes(self) -> float | None:
        """Stop after this many minutes of training."""

    @property
    def checkpoint_every_updates(self) -> int:
        """Updates between checkpoints; there is one after every epoch as well."""

    @property
    def log_every_updates(self) -> int:
        """Updates between lines in the record."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """How weights are changed."""

    @property
    def device(self) -> DeviceConfig:
        """Where it computes."""


class Loop:
    """Training of one task; use as a context manager, then `run` it."""

    def __init__(
        self,
        title: str,
        config: LoopConfig,
        task: Task,
        splits: dict[str, Split],
        device: torch.device,
        run: RunFolder,
        tracker: Tracker,
        identity: dict[str, str],
    ) -> None:
        """identity: what a checkpoint must have been made with to be continued. `task.network` is on the device."""
        self.config, self.task, self.splits, self.device = config, task, splits, device
        self.run_folder, self.tracker, self.identity = run, tracker, identity
        self.batches = math.ceil(len(splits["train"]) / config.batch_size)
        self.display = ProgressDisplay(title, config.epochs * self.batches, "updates")
        self.optimizer = make_optimizer(task.network, config.optimizer)
        self.schedule = Schedule(self.optimizer, config.optimizer, self.batches, config.epochs)
        self.epoch = self.batch = self.updates = self.best_epoch = 0
        self.best: float | None = None
        self.validation: dict[str, float] = {}
        self._interrupted = self._finished = False

    # ---- training

    def run(self) -> dict[str, Any]:
        """Train to the end, measure the best weights on val and test, write the result and give it.

        Raises: DivergedError; SystemExit 130 after Ctrl-C, with everything saved.
        """
        while self._going():
            order = self.order(self.epoch)
            while self.batch < self.batches and self._going():
                start = self.batch * self.config.batch_size
                self._update(order[start : start + self.config.batch_size])
                if self.updates % self.config.checkpoint_every_updates == 0 and self.batch < self.batches:
                    self.save()
            if self.batch == self.batches:
                self.epoch, self.batch = self.epoch + 1, 0
                try:
                    self._validate()
                except _StoppedError:
                    self.epoch, self.batch = self.epoch - 1, self.batches
                    break
                self.save()
        if self._interrupted:
            self.save()
        else:
            with contextlib.suppress(_StoppedError):
                return self._finish()
        self.run_folder.write_result(self._result("interrupted"))
        return {}

    def order(self, epoch: int) -> Tensor:
        """(N,) int64: the training images in the order of this epoch."""
        generator = torch.Generator().manual_seed(Generators(self.config.seed).integer("order", epoch))
        return torch.randperm(len(self.splits["train"]), generator=generator)

    def _going(self) -> bool:
        minutes, patience = self.config.total_minutes, self.config.patience_epochs
        late = minutes is not None and self.tracker.wall_seconds >= 60 * minutes
        stale = patience > 0 and self.epoch - self.best_epoch >= patience
        return not (self.epoch >= self.config.epochs or late or stale or self._interrupted)

    def _update(self, indices: Tensor) -> None:
        self.task.network.train()
        with self.config.device.autocast(self.device):
            losses = self.task.loss(self.splits["train"], indices)
        self.batch, self.updates = self.batch + 1, self.updates + 1
        due = self.updates % self.config.log_every_updates == 0
        if (due or self.device.type == "cpu") and not bool(losses["loss"].isfinite()):
            kept = f"The checkpoint before stays in {self.run_folder.checkpoints / 'latest'}"
            raise DivergedError(
                f"the loss became {float(losses['loss'].detach())} at update {self.updates:,}."
                f" {kept if self._kept() else 'There was no checkpoint yet'}."
                " Look at optimizer.learning_rate and max_grad_norm"
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        limit = self.config.optimizer.max_grad_norm
        norm = nn.utils.clip_grad_norm_(self.task.network.parameters(), limit or math.inf)
        self.optimizer.step()
        if due:
            numbers = {f"losses/{name}": float(value.detach()) for name, value in losses.items()}
            rate = self.optimizer.param_groups[0]["lr"]
            status = {"charts/learning_rate": rate, "charts/epoch": self.epoch, "losses/grad_norm": float(norm)}
            self.tracker.log(numbers | status, self.updates)
        self.schedule.after_update()
        if self.display.due(self.updates):
            text = f"epoch {self.epoch + 1} · loss {float(losses['loss'].detach()):.4g}"
            if self.best is not None:
                text += f" · best val {self.task.goal} {self.best:.4f}"
            minutes = self.config.total_minutes
            left = None if minutes is None else max(60 * minutes - self.tracker.wall_seconds, 0.0)
            self.display.update(self.updates, text, left)

    # ---- measuring

    def measure(self, name: str) -> dict[str, float]:
        """Metrics of a split, by the weights as they are, and `ms_per_image`."""
        split = self.splits[name]

        def show(done: int) -> None:
            if self._interrupted:
                raise _StoppedError
            self.display.pause(self.updates, f"measuring {name}: {done:,} of {len(split):,} images")

        self.task.network.eval()
        started = time.monotonic()
        with torch.no_grad(), self.config.device.autocast(self.device):
            found = self.task.evaluate(split, show)
        return found | {"ms_per_image": 1_000 * (time.monotonic() - started) / len(split)}

    def latency_ms(self) -> float:
        """Median milliseconds for one test image by itself, from its pixels to what a user gets, with one thread.

        On a CPU it is the time that this thread computed, so that other work on the machine does not count.
        """
        images = self.splits["test"].images[:LATENCY_IMAGES]
        threads, took = torch.get_num_threads(), []
        now = time.thread_time if self.device.type == "cpu" else time.perf_counter
        self.task.network.eval()
        torch.set_num_threads(1)
        try:
            with torch.no_grad(), self.config.device.autocast(self.device):
                for image in images:
                    started = now()
                    self.task.predict(image[None])
                    took.append(1_000 * (now() - started))
        finally:
            torch.set_num_threads(threads)
        return statistics.median(took)

    def _validate(self) -> None:
        found = self.validation = self.measure("val")
        self.tracker.log({f"val/{name}": value for name, value in found.items()}, self.updates)
        value = found[self.task.goal]
        self.schedule.after_validation(value)
        if self.best is None or value > self.best:
            self.best, self.best_epoch = value, self.epoch
            self._save_weights()
        numbers = " · ".join(f"{name} {value:.4g}" for name, value in found.items())
        self.display.say(f"epoch {self.epoch} · {clock(self.tracker.wall_seconds)} · val {numbers}")

    def _finish(self) -> dict[str, Any]:
        if self.best is None or self.batch:  # the time was up within an epoch; the best weights are loaded below
            self.save()
        if self.best is None:
            self._validate()
            self.save()
        weights, _ = load_weights(self.run_folder.checkpoints / "best.safetensors")
        self.task.network.load_state_dict(weights)
        result = self._result("finished") | {"val": self.measure("val"), "test": self.measure("test")}
        result["latency_ms"] = self.latency_ms()
        self.run_folder.write_result(result)
        self._finished = True
        self.tracker.summary({f"test/{name}": value for name, value in result["test"].items()})
        self.tracker.model(self.run_folder.checkpoints / "best.safetensors", result["test"], ["best"])
        numbers = " · ".join(f"{name} {value:.4g}" for name, value in result["test"].items())
        numbers += f" · {result['latency_ms']:.1f} ms for one image at 1 thread"
        self.display.say(f"done: best weights are of epoch {self.best_epoch} · test {numbers}")
        return result

    def _result(self, status: str) -> dict[str, Any]:
        return {
            "status": status,
            "epochs": self.epoch,
            "updates": self.updates,
            "best_epoch": self.best_epoch,
            "goal": self.task.goal,
            "parameters": sum(weight.numel() for weight in self.task.network.parameters()),
            "wall_seconds": self.tracker.wall_seconds,
            "peak_memory_mb": peak_memory_mb(),
        }

    # ---- saving

    def save(self) -> None:
        """Write a checkpoint; a full disk costs this checkpoint, not the run. Raises: DivergedError."""
        for name, weight in self.task.network.state_dict().items():
            if not bool(weight.isfinite().all()):
                raise DivergedError(f"{name} is not finite at update {self.updates:,}; the checkpoint before stays")
        state: dict[str, Any] = {name: getattr(self, name) for name in COUNTERS}
        state |= {"wall_seconds": self.tracker.wall_seconds, "identity": self.identity}
        state["network"] = self.task.network.state_dict()
        state["optimizer"], state["schedule"] = self.optimizer.state_dict(), self.schedule.state_dict()
        state["random"] = torch.get_rng_state()
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        try:
            save_state(self.run_folder.checkpoints / "latest", state)
        except SaveError as error:
            self.display.say(f"checkpoint at update {self.updates:,} not written, the one before stays: {error}")

    def load(self, state: dict[str, Any]) -> None:
        """Continue from what `save` wrote. Raises: CheckpointError when it was made with something else."""
        check_identity(state, self.identity, self.run_folder)
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.task.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda" and "random_cuda" in state:
            torch.cuda.set_rng_state(state["random_cuda"], self.device)
        self.display.say(f"resumed in epoch {self.epoch + 1}, at update {self.updates:,}")

    def _kept(self) -> bool:
        return (self.run_folder.checkpoints / "latest").exists()

    def _save_weights(self) -> None:
        metadata = {name: str(value) for name, value in self.identity.items()}
        metadata |= {"epoch": str(self.epoch), self.task.goal: str(self.best)}
        try:
            save_weights(self.run_folder.checkpoints / "best.safetensors", self.task.network.state_dict(), metadata)
        except SaveError as error:
            self.display.say(f"the best weights were not written: {error}")

    # ---- a run that ends otherwise

    def __enter__(self) -> Loop:
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._handlers:
            signal.signal(number, self._ask_to_stop)
        self.display.__enter__()
        return self

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:  # asked twice: at once
            raise KeyboardInterrupt
        self._interrupted = True
        self.display.say(f"{signal.Signals(number).name}: saving, then stopping (again: stop at once)")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if error is not None and not self._finished:
            self.run_folder.write_result(self._result("failed") | {"error": f"{type(error).__name__}: {error}"})
        if (error is not None or self._interrupted) and not self._finished and self._kept():
            command = shell(python(), "-m", "rl_gen_lab.train", "--resume", self.run_folder.path)
            self.display.say(f"resume with: {command}")
        self.tracker.finish(0 if error is None and not self._interrupted else 1)
        if self._interrupted and error is None:
            sys.exit(EXIT_INTERRUPTED)


def read_checkpoint(run: RunFolder) -> dict[str, Any]:
    """The last checkpoint of a run that has not ended. Raises: CheckpointError."""
    if run.result_file.is_file() and run.read_result().get("status") == "finished":
        raise CheckpointError(f"{run.path} has ended, and its test images were measured; start a new run")
    return load_state(run.checkpoints / "latest")


def check_identity(state: dict[str, Any], identity: dict[str, str], run: RunFolder) -> None:
    """Raises CheckpointError when a checkpoint is of another task or of other data."""
    for name, value in identity.items():
        if state["identity"].get(name) != value:
            raise CheckpointError(
                f"{run.path} was trained with {name} {state['identity'].get(name)}, here it is {value}"
            )
