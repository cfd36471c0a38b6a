"""A training run from start to end: everything that is not the algorithm and is the same for every agent.

Run folder, tracker, progress, the best and the last agent, checkpoints, resuming, signals, the result; evaluations are
`agents/training/evaluator.py`'s. The agent's own loop asks `running`, reports with `record`, and saves when
`checkpoint_due`.
"""

from __future__ import annotations

import math
import shutil
import signal
from collections import deque
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

import numpy as np
from torch import Tensor, nn

from agents.rl.interfaces import Policy
from agents.training import metadata
from agents.training.config import AgentConfig, Stateful
from agents.training.env_runner import Episode, Rollout
from agents.training.evaluator import RECENT, Evaluator, StopAsked
from envs import names
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, DivergedError, SaveError
from rl_gen_lab.cli.progress import ProgressDisplay, clock
from rl_gen_lab.cli.values import to_flat_dict
from rl_gen_lab.compute.devices import peak_memory_mb
from rl_gen_lab.runs.checkpoints import load_weights, save_state, save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker

EXIT_INTERRUPTED = 130  # what shells report for a command ended by Ctrl-C
COUNTERS = (
    "env_steps",
    "updates",
    "episodes",
    "next_log",
    "next_checkpoint",
    "best",
    "solved",
)


class Session:
    """One run of one agent. Use as a context manager; see the module's docstring for who calls what when."""

    def __init__(self, algo: str, config: AgentConfig) -> None:
        """Open or make the run folder and start tracking. Raises UserError subclasses for what a user can mend."""
        self.algo, self.config = algo, config
        self.env_id = names.resolve(config.env)
        self.fingerprint = metadata.task_fingerprint(config.env, config.world, config.eval.epsilon)
        self.display = ProgressDisplay(f"{algo} {names.short_name(self.env_id)}", config.total_env_steps, "steps")
        self._interrupted = False
        # Refuses an impossible seed, before there is a folder.
        self.evaluator = Evaluator(config, self.display, lambda: self._interrupted)
        self.saved: dict[str, Any] | None = None
        wall_offset = 0.0
        if config.run.resume is not None:
            self.run = RunFolder.open(config.run.resume)
            self.saved = metadata.load_checkpoint(self.run, algo, self.fingerprint)
            wall_offset = float(self.saved["session"]["wall_seconds"])
        else:
            self.run = RunFolder.create(config.run.runs_dir, algo, names.short_name(self.env_id), config.seed)
            self.run.write_config(metadata.describe(algo, self.env_id, config, self.fingerprint))
        self.tracker = Tracker(self.run, "", wall_offset)  # W&B starts in `begin`: nothing is recorded of a refusal
        self.env_steps = self.updates = self.episodes = 0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self.next_log = 0
        self.next_checkpoint = config.run.checkpoint_every_env_steps
        self.best: dict[str, Any] | None = None
        self.solved: dict[str, Any] | None = None
        self._rate_mark = (self.tracker.wall_seconds, 0)
        self._judged: Mapping[str, Any] | None = None  # what an update learned, when last looked at

    # ---- used by the agents' loops

    def begin(self, parts: Mapping[str, Stateful], policy: Policy, network: nn.Module) -> None:
        """Say what a checkpoint holds, how the agent acts and with which network; continue a resumed run.

        Raises: CheckpointError for one of another version of this program or its settings.
        """
        self.parts, self.policy, self.network = parts, policy, network
        if self.saved is not None:
            self._load(self.saved)
        self.display.say(f"task {self.fingerprint.hash}: {self.fingerprint.text}")
        self.display.say(f"run folder {self.run.path}")
        self.tracker = Tracker.start(
            self.run,
            self.config.wandb,
            algo=self.algo,
            env_id=self.env_id,
            seed=self.config.seed,
            flat_config=to_flat_dict(self.config),
            fingerprint_hash=self.fingerprint.hash,
            wall_offset=self.tracker.wall_seconds,
        )
        self.tracker.print_dashboard_hint()
        self._rate_mark = (self.tracker.wall_seconds, self.env_steps)
        if self.saved is not None:
            self.saved = None
            self._go_on()

    def note(self, facts: dict[str, Any]) -> None:
        """Add to config.json what is known only now, e.g. where the first weights came from. Raises: SaveError."""
        self.run.write_config(self.run.read_config() | facts)

    def running(self) -> bool:
        """False when the run is over: steps or minutes spent, solved, or asked to stop."""
        limit = self.config.run.total_minutes
        out_of_time = limit is not None and self.tracker.wall_seconds >= 60 * limit
        spent = self.env_steps >= self.config.total_env_steps or out_of_time
        return not (spent or self.solved is not None or self._interrupted)

    def record(
        self,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: dict[str, float],
    ) -> None:
        """Report a vector step: totals so far, finished episodes, what the last update learned, schedules' values.

        Raises: DivergedError.
        """
        self.env_steps, self.updates = env_steps, updates
        for episode in episodes:
            self.episodes += 1
            self.recent.append(episode.episodic_return)
            lengths = {"charts/episodic_length": episode.length}
            self.tracker.log({"charts/episodic_return": episode.episodic_return} | lengths, env_steps)
        due = env_steps >= self.next_log
        if due or learned is not self._judged:  # between two updates it is the same
            self._refuse_divergence(learned, wait=due)
            self._judged = learned
        if due:
            self.next_log = env_steps + self.config.run.log_every_env_steps
            self.tracker.log({k: float(v) for k, v in learned.items()} | self._speed() | status, env_steps)
        if self.display.due(env_steps):
            self._show(learned, status)
        if self._evaluation_due():
            self.evaluate()

    def checkpoint_due(self) -> bool:
        """True when the loop must restart its environments and `save`."""
        return self.env_steps >= self.next_checkpoint

    def save(self) -> None:
        """Write a checkpoint; a full disk costs this checkpoint, not the run. Raises: DivergedError."""
        for name, weights in self.network.state_dict().items():
            if not bool(weights.isfinite().all()):  # on a GPU the loss is looked at only now and then
                raise DivergedError(f"{name} is not finite at step {self.env_steps:,}. {self._kept()}")
        while self.next_checkpoint <= self.env_steps:
            self.next_checkpoint += self.config.run.checkpoint_every_env_steps
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"session": self._state_dict(), "algo": self.algo, "fingerprint": vars(self.fingerprint)}
        try:
            save_state(self.run.checkpoints / "latest", state)
        except SaveError as error:
            self.display.say(f"checkpoint at step {self.env_steps:,} not written, the one before stays: {error}")

    # ---- evaluation

    def evaluate(self) -> None:
        """Score the agent now; keep it if it is the best so far. One that is interrupted comes again after resuming."""
        try:
            result, values = self.evaluator.evaluate(self.policy, self.env_steps)
        except StopAsked:
            return
        self.tracker.log(result.summary(), self.env_steps)
        if values.size:
            name = "eval/q_values" if self.policy.meaning == "Q-value" else "eval/action_probabilities"
            self.tracker.histogram(name, values, self.env_steps)
        mean = float(np.mean(result.returns))
        self.display.say(
            f"step {self.env_steps:,} · {clock(self.tracker.wall_seconds)} · evaluation of {len(result.returns)}"
            f" episodes: {mean:.2f} ± {np.std(result.returns):.2f}"
        )
        better = self.best is None or mean > self.best["return_mean"]
        if better and self._save_weights("best", mean):  # else the best that is kept is still the one before
            self.best = result.to_dict() | {"global_step": self.env_steps}
        goal = self.config.run.stop_at_return
        if goal is not None and mean >= goal:
            self.solved = {"return_mean": mean, "env_steps": self.env_steps, "wall_seconds": self.tracker.wall_seconds}

    def _evaluation_due(self) -> bool:
        return self.evaluator.due(self.env_steps, list(self.recent))

    # ---- the end

    def end(self) -> None:
        """Save everything; unless the run was interrupted, score and film the best agent and write the result."""
        self.save()
        if not self._interrupted:
            self._save_weights("last", float(np.mean(self.recent)) if self.recent else math.nan)
        if not self._interrupted and self.evaluator.last_eval != self.env_steps:
            self.evaluate()
        if self._interrupted:
            self._write_result(self._result("interrupted"))
            return
        if self.best is not None:  # none where the disk was full at every evaluation: then the agent as it is
            tensors, _ = load_weights(self.run.checkpoints / "best.safetensors")
            self.network.load_state_dict(tensors)
        try:
            final = self.evaluator.final(self.policy, self.env_steps)
        except StopAsked:
            self._write_result(self._result("interrupted"))
            return
        result = self._result("finished") | {"final_eval": final.to_dict()}
        self.run.write_result(result)
        self.tracker.summary({"final/return_mean": result["final_eval"]["return_mean"]})
        if self.config.run.film:
            self._film()
        self.display.say(
            f"done: {np.mean(final.returns):.2f} ± {np.std(final.returns):.2f} over {len(final.returns)} fresh episodes"
            f" after {self.env_steps:,} steps and {clock(self.tracker.wall_seconds)}; see {self.run.path}"
        )
        metadata = {
            "global_step": self.env_steps,
            **{k: result["final_eval"][k] for k in ("return_mean", "return_std")},
        }
        if self.best is not None:
            self.tracker.model(self.run.checkpoints / "best.safetensors", metadata, ["best"])

    def _film(self) -> None:
        path = self.run.videos / "final.mp4"
        try:
            words = self.evaluator.film(self.policy, path, self.env_steps)
            self.tracker.video("videos/final", path, self.env_steps)
        except Exception as error:  # a world that cannot be drawn costs the film, never the finished run
            self.display.say(f"no film: {type(error).__name__}: {error}")
        else:
            self.display.say(f"{words}: {path}")

    def _result(self, status: str) -> dict[str, Any]:
        seconds = self.tracker.wall_seconds
        return {
            "status": status,
            "total_env_steps": self.env_steps,
            "updates": self.updates,
            "episodes": self.episodes,
            "wall_seconds": seconds,
            "steps_per_second": self.env_steps / max(seconds, 1e-9),
            "peak_memory_mb": peak_memory_mb(),
            "best_eval": self.best,
            "solved": self.solved,
        }

    def _write_result(self, result: dict[str, Any]) -> None:
        try:
            self.run.write_result(result)
        except SaveError as error:
            self.display.say(f"the result is not on disk: {error}")

    # ---- details

    def _load(self, saved: dict[str, Any]) -> None:
        try:
            self._load_state_dict(saved["session"])
            for name, part in self.parts.items():
                if isinstance(part, Rollout):
                    part.load_state_dict(saved[name], self._show_repetition)
                else:
                    part.load_state_dict(saved[name])
        except (KeyError, ValueError, RuntimeError) as error:  # what torch and dictionaries say of what does not fit
            raise CheckpointError(
                f"{self.run.checkpoints / 'latest'} does not fit this program and {self.run.config_file}: {error}"
            ) from error

    def _show_repetition(self, done: int, total: int) -> None:
        self.display.pause(self.env_steps, f"repeating the games up to here: {done:,} of {total:,} vector steps")

    def _go_on(self) -> None:
        """The rest of a resumption: from here on the folder is this run's again."""
        self._keep_limits()
        self.run.truncate_metrics(self.env_steps)
        self.display.say(f"resumed at step {self.env_steps:,}")
        if self.solved is not None:
            goal = f"stop_at_return {self.config.run.stop_at_return:g}"
            self.display.say(f"{goal} was reached at step {self.solved['env_steps']:,}: there is nothing left to train")
        if self._evaluation_due() and self.running():  # it was stopped in the middle of an evaluation
            self.evaluate()

    def _kept(self) -> str:
        latest = self.run.checkpoints / "latest"
        return f"The checkpoint before stays in {latest}" if latest.is_dir() else "No checkpoint was written before"

    def _speed(self) -> dict[str, float]:
        now = self.tracker.wall_seconds
        then, steps = self._rate_mark
        self._rate_mark = (now, self.env_steps)
        return {
            "charts/SPS": (self.env_steps - steps) / max(now - then, 1e-9),
            "charts/updates": self.updates,
            "charts/episodes": self.episodes,
            "charts/peak_memory_mb": peak_memory_mb(),
        }

    def _show(self, learned: Mapping[str, Any], status: Mapping[str, float]) -> None:
        limit = self.config.run.total_minutes
        left = None if limit is None else max(60 * limit - self.tracker.wall_seconds, 0.0)
        words = [f"episodes {self.episodes:,}"]
        if self.recent:
            words.append(f"return {np.mean(self.recent):.1f}")
        words += [f"{name.rpartition('/')[2]} {float(x):.3g}" for name, x in {**learned, **status}.items()]
        self.display.update(self.env_steps, " · ".join(words), left)

    def _refuse_divergence(self, learned: Mapping[str, Any], wait: bool) -> None:
        """A check needs the number on the host: each update on a CPU, only when it is logged on a GPU."""
        for name, value in learned.items():
            on_host = not isinstance(value, Tensor) or value.device.type == "cpu"
            if (wait or on_host) and not math.isfinite(float(value)):
                raise DivergedError(
                    f"{name} became {float(value)} at step {self.env_steps:,}, update {self.updates:,}. {self._kept()}."
                    " Look at learning_rate, max_grad_norm and the rewards' scale"
                )

    def _save_weights(self, name: str, return_mean: float) -> bool:
        """False where the disk refused."""
        metadata = {
            "algo": self.algo,
            "env_id": self.env_id,
            "fingerprint": self.fingerprint.hash,
            "global_step": str(self.env_steps),
            "return_mean": str(return_mean),
        }
        tensors = {key: value.detach().cpu().contiguous() for key, value in self.network.state_dict().items()}
        try:
            save_weights(self.run.checkpoints / f"{name}.safetensors", tensors, metadata)
        except SaveError as error:
            self.display.say(f"weights of the {name} agent not written: {error}")
            return False
        return True

    def _state_dict(self) -> dict[str, Any]:
        counters = {name: getattr(self, name) for name in COUNTERS} | self.evaluator.state_dict()
        return counters | {"recent": list(self.recent), "wall_seconds": self.tracker.wall_seconds}

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.evaluator.load_state_dict(state)
        self.recent.extend(state["recent"])
        self._rate_mark = (self.tracker.wall_seconds, self.env_steps)

    def _keep_limits(self) -> None:
        """Limits given to a resumed run are its own from then on: the next resume needs no flags. Raises: SaveError."""
        described = self.run.read_config()
        saved = described["config"]
        limits = {"total_env_steps": self.config.total_env_steps}
        run = saved["run"] | {"total_minutes": self.config.run.total_minutes}
        if saved != (kept := saved | limits | {"run": run}):
            self.run.write_config(described | {"config": kept})

    def _limits_to_tell(self) -> list[str]:
        """Flags of the limits that a run stopped before `_go_on` did not keep."""
        if self.saved is None:
            return []
        saved, minutes = self.run.read_config()["config"], self.config.run.total_minutes
        flags = []
        if self.config.total_env_steps != saved["total_env_steps"]:
            flags += ["--total-env-steps", str(self.config.total_env_steps)]
        if minutes is not None and minutes != saved["run"]["total_minutes"]:
            flags += ["--total-minutes", f"{minutes:g}"]
        return flags

    # ---- a run that ends otherwise

    def __enter__(self) -> Session:
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in self._handlers:
            signal.signal(number, self._ask_to_stop)
        self.display.__enter__()
        return self

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        # Asked twice, or before anything is begun that could be saved: at once.
        if self._interrupted or self.saved is not None:
            raise KeyboardInterrupt
        self._interrupted = True
        self.display.say(f"{signal.Signals(number).name}: saving, then stopping (again: stop at once)")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        refused = self.saved is not None  # the checkpoint to go on from: what is in the folder stays as it is
        if error is not None and not refused:
            self._write_result(self._result("failed") | {"error": f"{type(error).__name__}: {error}"})
        resumable = (not refused or isinstance(error, KeyboardInterrupt)) and (self.run.checkpoints / "latest").is_dir()
        hopeless = isinstance(error, DivergedError)  # a resumed run is the same run: it would end there again
        if (error is not None or self._interrupted) and resumable and not hopeless:
            self.display.say(f"resume with: {metadata.resume_command(self.algo, self.run, *self._limits_to_tell())}")
        self.tracker.finish(0 if error is None and not self._interrupted else 1)
        impossible = isinstance(error, ConfigError | CheckpointError)  # settings, or weights to begin from
        if impossible and self.config.run.resume is None and self.env_steps == 0:
            shutil.rmtree(self.run.path, ignore_errors=True)  # what cannot be began nothing that is worth a folder
        if self._interrupted and error is None:
            raise SystemExit(EXIT_INTERRUPTED)
