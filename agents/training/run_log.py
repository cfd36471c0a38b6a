"""Training metrics and progress of a run: finished episodes, metrics of the updates, speed, progress bar."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from agents.rl.interfaces import Episode
from agents.training.config import RunConfig
from agents.training.evaluator import RECENT
from agents.training.metadata import RunSpec
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.values import to_flat_dict
from rl_gen_lab.compute.devices import peak_memory_mb
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.guards import refuse_nonfinite_losses
from rl_gen_lab.tracking.tracker import Tracker

COUNTERS = ("env_steps", "updates", "episodes", "next_log")
ADVICE = "Look at learning_rate, max_grad_norm and the rewards' scale"


def start_tracker(spec: RunSpec, run: RunFolder, wall_offset: float) -> Tracker:
    """Start recording a run, and say where to watch it. wall_offset: seconds that it trained before it was resumed."""
    tracker = Tracker.start(
        run,
        spec.config.wandb,
        algo=spec.algo,
        env_id=spec.env_id,
        seed=spec.config.seed,
        flat_config=to_flat_dict(spec.config),
        fingerprint_hash=spec.task.hash,
        wall_offset=wall_offset,
    )
    tracker.print_dashboard_hint()
    return tracker


class RunLog:
    """Counts steps, updates and episodes, and passes on what is to be logged.

    recent: unclipped returns of the last training episodes.
    """

    def __init__(self, config: RunConfig, display: ProgressDisplay, run: RunFolder, tracker: Tracker) -> None:
        self.config, self.display, self.run = config, display, run
        self.env_steps = self.updates = self.episodes = 0
        self.next_log = 0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.of_environments: Callable[[], dict[str, float]] = dict  # what else is to be logged at each line
        self._checked: Mapping[str, Any] | None = None  # metrics of the last update that was checked
        self.start(tracker)

    def start(self, tracker: Tracker) -> None:
        """Log by this tracker from now on, and measure speed from here."""
        self.tracker = tracker
        self._rate_mark = (tracker.wall_seconds, self.env_steps)
        self._cpu_mark = time.process_time()

    def record(
        self,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: Mapping[str, float],
    ) -> None:
        """Take in a vector step, as `TrainingRun.record`. Raises: DivergedError."""
        self.env_steps, self.updates = env_steps, updates
        for episode in episodes:
            self.episodes += 1
            self.recent.append(episode.episodic_return)
            lengths = {"charts/episodic_length": episode.length}
            self.tracker.log({"charts/episodic_return": episode.episodic_return} | lengths, env_steps)
        due = env_steps >= self.next_log
        if due or learned is not self._checked:  # between two updates it is the same
            refuse_nonfinite_losses(
                learned, f"step {env_steps:,}, update {updates:,}", self.run, ADVICE, wait=due
            )  # waiting for a GPU costs time: only where it is logged
            self._checked = learned
        if due:
            self.next_log = env_steps + self.config.log_every_env_steps
            metrics = {name: float(value) for name, value in learned.items()}
            self.tracker.log(metrics | self._speed() | dict(status) | self.of_environments(), env_steps)
        if self.display.due(env_steps):
            self._show(learned, status)

    def _speed(self) -> dict[str, float]:
        now = self.tracker.wall_seconds
        then, steps = self._rate_mark
        self._rate_mark = (now, self.env_steps)
        seconds, cpu_before = max(now - then, 1e-9), self._cpu_mark
        self._cpu_mark = time.process_time()
        return {
            "charts/SPS": (self.env_steps - steps) / seconds,
            "charts/cpu_percent": 100 * (self._cpu_mark - cpu_before) / seconds,
            "charts/updates": self.updates,
            "charts/episodes": self.episodes,
            "charts/peak_memory_mb": peak_memory_mb(),
        }

    def _show(self, learned: Mapping[str, Any], status: Mapping[str, float]) -> None:
        words = [f"episodes {self.episodes:,}"]
        if self.recent:
            words.append(f"return {np.mean(self.recent):.1f}")
        words += [f"{name.rpartition('/')[2]} {float(x):.3g}" for name, x in {**learned, **status}.items()]
        self.display.update(self.env_steps, " · ".join(words), self.tracker.seconds_left(self.config.total_minutes))

    def totals(self) -> dict[str, Any]:
        """Return what result.json says of the whole run."""
        seconds = self.tracker.wall_seconds
        return {
            "total_env_steps": self.env_steps,
            "updates": self.updates,
            "episodes": self.episodes,
            "wall_seconds": seconds,
            "steps_per_second": self.env_steps / max(seconds, 1e-9),
            "peak_memory_mb": peak_memory_mb(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and recent returns."""
        counters = {name: getattr(self, name) for name in COUNTERS}
        return counters | {"recent": list(self.recent), "wall_seconds": self.tracker.wall_seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name in COUNTERS:
            setattr(self, name, int(state[name]))
        self.recent.extend(map(float, state["recent"]))
        self._rate_mark = (self.tracker.wall_seconds, self.env_steps)
