"""The supervised loop: batches, validation, early stopping, checkpoints, exact resume, the test at the end.

A task brings its network, the loss of a batch and the metrics of a split. The order of the images is a function of seed
and epoch; all other randomness comes from torch's own generators, whose states are saved.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.progress import ProgressDisplay, clock
from rl_gen_lab.cli.shell import python, shell
from rl_gen_lab.compute.optimizers import Schedule, make_optimizer
from rl_gen_lab.compute.seeding import Generators
from rl_gen_lab.distributed import data_parallel
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.runs import guards
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.ending import can_resume, failure, fitting_checkpoint, keep_result
from rl_gen_lab.runs.fitting import refuse_misfit, refuse_odd_optimizer
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED, Interrupt
from rl_gen_lab.runs.reading import WHOLE, misfit
from rl_gen_lab.runs.weights import refuse_unfit
from rl_gen_lab.tracking.tracker import Tracker
from rl_gen_lab.training.checkpoint import check_identity, random_state, restore_random_state
from rl_gen_lab.training.measure import measure_latency_ms, measure_split
from rl_gen_lab.training.record import formatted, log_update, memory_of_ranks, publish, result_of
from rl_gen_lab.training.task import LoopConfig, Part, Task, watch

COUNTERS = {"epoch": WHOLE, "batch": WHOLE, "updates": WHOLE, "best": (float, None), "best_epoch": WHOLE}  # by schema
ADVICE = "Look at optimizer.learning_rate and max_grad_norm"


class _StoppedError(Exception):
    """Ctrl-C during an evaluation, which is repeated after resuming."""


class Loop:
    """Training of a task; use as a context manager, then `run` it."""

    def __init__(
        self,
        title: str,
        config: LoopConfig,
        task: Task,
        splits: Mapping[str, Part],
        device: torch.device,
        run: RunFolder,
        tracker: Tracker,
        identity: dict[str, str],
        group: Group | None = None,
        parallel: data_parallel.DataParallel | None = None,
    ) -> None:
        """identity: the values that a checkpoint must share to be continued. `task.network` is on the device.

        group: the processes that train together (None: this one alone); the others record in a folder of their own.
        parallel: how they share the work (None: each learns from its images of a batch).
        """
        self.config, self.task, self.splits, self.device = config, task, splits, device
        self.run_folder, self.tracker, self.identity = run, tracker, identity
        self.batches = math.ceil(len(splits["train"]) / config.batch_size)
        learns = any(weight.requires_grad for weight in task.network.parameters())
        self.epochs = config.epochs if learns else 0  # what has no weights is only measured
        self.display = ProgressDisplay(title, self.epochs * self.batches, "updates")
        self.group = group or Group()
        self.parallel = parallel or data_parallel.Replicas(self.group, task.network, task.loss)
        self.optimizer = make_optimizer(task.network, config.optimizer)  # of what each process keeps
        self.schedule = Schedule(self.optimizer, config.optimizer, self.batches, config.epochs)
        self.epoch = self.batch = self.updates = self.best_epoch = 0
        self.best: float | None = None
        self._interrupt, self._finished = Interrupt(self.display.say), False
        self._resumed = self._asked = False  # asked: any of the processes was asked to stop

    # ---- training

    def run(self) -> dict[str, Any]:
        """Train to the end, measure the best weights on val and test, write the result and return it.

        Raises: DivergedError; SystemExit 130 after Ctrl-C, with everything saved.
        """
        if self._resumed:
            self.run_folder.truncate_metrics(self.updates)
            self.display.say(f"resumed in epoch {self.epoch + 1}, at update {self.updates:,}")
        else:
            self.save()  # a run that is killed before its next checkpoint begins anew from here
        while self._continues():
            order = order_of(self.config.seed, self.epoch, len(self.splits["train"]))
            while self.batch < self.batches and self._continues():
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
        if self._stops():
            self.save()
        else:
            with contextlib.suppress(_StoppedError):
                return self._finish()
        keep_result(self.run_folder, result_of(self, "interrupted"), self.display.say)
        return {}

    def _continues(self) -> bool:
        late = self.group.any(self.tracker.seconds_left(self.config.total_minutes) == 0.0)
        stale = 0 < self.config.patience_epochs <= self.epoch - self.best_epoch
        return not (self.epoch >= self.epochs or late or stale or self._stops())

    def _stops(self) -> bool:
        """Return whether somebody asked any of the processes to stop; all of them hear of it at the same update."""
        self._asked = self._asked or self.group.any(self._interrupt.asked)
        return self._asked

    def _update(self, indices: Tensor) -> None:
        self.task.network.train()
        started = time.perf_counter()
        self.optimizer.zero_grad(set_to_none=True)  # a pipeline computes gradients beside the losses
        with self.config.device.autocast(self.device), self.group.exchange():
            losses = self.parallel.losses(self.splits["train"], indices)
        self.batch, self.updates = self.batch + 1, self.updates + 1
        due = self.updates % self.config.log_every_updates == 0
        seconds = max(time.perf_counter() - started, 1e-9)
        losses_of_all = self.group.means(losses)
        total = {"the loss": losses_of_all["loss"]}
        guards.refuse_nonfinite_losses(total, f"update {self.updates:,}", self.run_folder, ADVICE, wait=due)
        with self.group.exchange():  # gradients are averaged as they are computed
            self.parallel.backward(losses["loss"])
            norm = self.parallel.clip(self.config.optimizer.max_grad_norm or math.inf)
        self.optimizer.step()
        if due:
            speed = len(indices) / (1 if self.parallel.one_stream else self.group.size) / seconds
            log_update(self, losses_of_all, float(norm), speed)
        self.schedule.after_update()
        if self.display.due(self.updates):
            best = "" if self.best is None else f" · best val {self.task.target_metric} {self.best:.4f}"
            text = f"epoch {self.epoch + 1} · loss {float(total['the loss']):.4g}{best}"
            self.display.update(self.updates, text, self.tracker.seconds_left(self.config.total_minutes))

    # ---- evaluation

    def measure(self, name: str) -> dict[str, float]:
        """Evaluate a split by the present weights; also `ms_per_image`."""
        split = self.splits[name]

        def show(done: int) -> None:
            if self._interrupt.asked and self.group.size == 1:  # several processes end their evaluations together
                raise _StoppedError
            self.display.pause(self.updates, f"measuring {name}: {done:,} of {len(split):,} images")

        with self.parallel.whole():
            return measure_split(self.task, split, self.config.device, self.device, show)

    def _validate(self) -> None:
        metrics = self.measure("val")
        self.tracker.log({f"val/{name}": n for name, n in metrics.items()} | memory_of_ranks(self), self.updates)
        self.schedule.after_validation(value := metrics[self.task.target_metric])
        if self.best is None or value > self.best:
            if save_best(self, value):  # else the best that is kept is still the one before
                self.best, self.best_epoch = value, self.epoch
        elif self.epoch - self.best_epoch == self.config.wandb.alert_evaluations > 0:
            self.tracker.alert_no_improvement(f"no better validation in {self.epoch - self.best_epoch} epochs")
        self.display.say(f"epoch {self.epoch} · {clock(self.tracker.wall_seconds)} · val {formatted(metrics)}")
        show_progress(self, metrics)

    def _finish(self) -> dict[str, Any]:
        saved = self.save()  # the time was up within an epoch, or the disk full; the best weights are loaded below
        if self.best is None:
            self._validate()
            saved = self.save()
        guards.refuse_unsaved(self.run_folder, saved)
        best_file = guards.weights_on_disk(self.run_folder, "best")
        self.parallel.load_network(load_weights(best_file)[0])
        result = result_of(self, "finished") | {"val": self.measure("val"), "test": self.measure("test")}
        with self.parallel.whole():
            result["latency_ms"] = measure_latency_ms(self.task, self.splits["test"], self.config.device, self.device)
        result |= memory_of_ranks(self)
        self.run_folder.write_result(result)
        self._finished = True
        publish(self, result, best_file)
        return result

    def save(self) -> bool:
        """Write a checkpoint; False where a full disk refused it, which does not end the run. Raises: DivergedError."""
        when = f"update {self.updates:,}"
        with self.parallel.whole():
            guards.refuse_nonfinite_weights(self.task.network, when, self.run_folder)
            return not self.group.any(not guards.keep_state(self.run_folder, self._state(), when, self.display.say))

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {"identity": self.identity} | {name: getattr(self, name) for name in COUNTERS}
        state |= {"wall_seconds": self.tracker.wall_seconds, "schedule": self.schedule.state_dict()}
        state |= {"network": self.task.network.state_dict(), "optimizer": self.parallel.optimizer_state(self.optimizer)}
        return state | random_state(self.device, self.group, self.parallel.one_stream)

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint of `save`; nothing is written. Raises: CheckpointError where it does not fit."""
        with fitting_checkpoint(self.run_folder):
            check_identity(state, self.identity, self.run_folder)
            with self.parallel.whole():
                refuse_misfit(state, fresh := self._state())
            for name, value in counters_of(state, self.batches, self.epochs).items():
                setattr(self, name, value)
            refuse_odd_optimizer(state["optimizer"], self.optimizer, self.updates, fresh["optimizer"])
            self.parallel.load_network(state["network"])
            self.parallel.load_optimizer(self.optimizer, state["optimizer"])
            self.schedule.load_state_dict(state["schedule"], self.updates, self.epoch)
            restore_random_state(state, self.device, self.group, self.parallel.one_stream)
            refuse_lost_best(self.best, self.task.network, self.run_folder)
        self._resumed = True

    def __enter__(self) -> Loop:
        self._interrupt.__enter__()
        self.display.__enter__()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(error_type, error, trace)
        self._interrupt.__exit__(error_type, error, trace)
        unfinished = error is not None or self._interrupt.asked or self._asked
        lost = unfinished and not self._finished
        if error is not None and lost:
            keep_result(self.run_folder, result_of(self, "failed") | failure(error), self.display.say)
        if lost and can_resume(self.run_folder, error):
            words = ("-m", "rl_gen_lab.train", "--resume", self.run_folder.path)
            start = self.group.ranks.started_by() or (python(),)
            self.display.say(f"resume with: {shell(*start, *words)}")
        self.tracker.alert_of(error)
        self.tracker.finish(int(unfinished))
        if unfinished and error is None:
            sys.exit(EXIT_INTERRUPTED)


def show_progress(loop: Loop, metrics: dict[str, float]) -> None:
    """Say the warnings of a task and show its figures, by the metrics of a validation."""
    with loop.parallel.whole():
        files = watch(loop.task, loop.splits["val"], metrics, loop.run_folder.path, loop.display.say)
    for file in files:
        loop.tracker.image(f"pictures/{file.stem}", file, loop.updates)


def save_best(loop: Loop, value: float) -> bool:
    """Write the weights of the best validation so far, with its value; False where a full disk refused them."""
    metadata = loop.identity | {"epoch": str(loop.epoch), loop.task.target_metric: str(value)}
    with loop.parallel.whole():
        kept = guards.keep_weights(loop.run_folder, "best", loop.task.network, metadata, loop.display.say)
        return not loop.group.any(not kept)


def order_of(seed: int, epoch: int, images: int) -> Tensor:
    """Return the order of the training images in an epoch, (N,) int64."""
    generator = torch.Generator().manual_seed(Generators(seed).integer("order", epoch))
    return torch.randperm(images, generator=generator)


def counters_of(state: dict[str, Any], batches: int, epochs: int) -> dict[str, Any]:
    """Return the counters in a checkpoint. batches: of an epoch. Raises ValueError for impossible ones."""
    counters = {name: state[name] for name in COUNTERS}
    if wrong := misfit(counters, COUNTERS):
        raise ValueError(wrong)
    epoch, batch, updates = counters["epoch"], counters["batch"], counters["updates"]
    if epoch > epochs or batch > batches or updates != epoch * batches + batch:
        done = f"{epoch:,} epochs of {batches:,} updates and {batch:,} more"
        raise ValueError(f"{done} are not {updates:,} updates of a training of {epochs:,} epochs")
    if counters["best_epoch"] > (0 if counters["best"] is None else epoch):
        raise ValueError(
            f"'best_epoch' is {counters['best_epoch']:,} after {epoch:,} epochs, 'best' {counters['best']}"
        )
    return counters


def refuse_lost_best(best: float | None, network: nn.Module, run: RunFolder) -> None:
    """Raise CheckpointError where the best weights so far, which the run ends with, are lost or do not fit."""
    if best is not None:
        file = run.checkpoints / "best.safetensors"
        refuse_unfit(network, load_weights(file)[0], run.shown(file))
