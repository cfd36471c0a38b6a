"""A worker of a sweep: takes a trial, makes its runs, compares it with the others, and takes the next."""

from __future__ import annotations

import os
import time
from types import FrameType
from typing import TYPE_CHECKING, Any

from agents.experiments.heartbeat import BEAT, BEAT_SECONDS, END_SECONDS, end_runs
from agents.experiments.launcher import on_signals
from agents.experiments.study import DIED, ERROR, MADE, PLACE, SCORES, STOPPED, SharedStudy, settings_in_words
from agents.experiments.trial_runs import DivergedTrialError, RunKilledError, SeedRun, TrialFailedError, score_of
from agents.reports.provenance import provenance_of_trial
from envs.config import UnknownEnvError
from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from optuna import Trial

SECONDS_BETWEEN_POLLS = 0.5
REPAIR_SECONDS = 5.0
MOST_FAILURES = 3  # in a row, after which a worker ends: the fault is not that of the settings


class WorkerError(UserError):
    """A worker ended, as its trials fail one after another."""


class Worker:
    """Works on a study until all its places are filled, or it is to stop (SIGINT, SIGTERM, SIGHUP).

    It stops as well where the command that started it was killed.
    """

    def __init__(self, shared: SharedStudy) -> None:
        self.shared, self.sweep = shared, shared.sweep
        self.asked = False
        self._parent = os.getppid()
        self._failures = 0
        self._repaired = self._beaten = -1e9  # when that was done last
        self._beats = 0

    def run(self) -> None:
        """Work. Raises: WorkerError; SystemExit 130 after it was asked to stop."""
        with on_signals(self._ask):
            while not self.asked and len(self.shared.finished()) < self.shared.places:
                self._repair()
                trial = self.shared.claim()
                if trial is not None:
                    self._work(trial)
                elif not self.asked:  # others work on the last trials; should they die, these come back
                    time.sleep(SECONDS_BETWEEN_POLLS)
        if self.asked:
            raise SystemExit(EXIT_INTERRUPTED)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def _repair(self) -> None:
        if os.getppid() != self._parent and not self.asked:  # nobody is left who would stop this worker
            print("the command that started this worker has ended: stopping", flush=True)
            self.asked = True
        if time.monotonic() - self._repaired > REPAIR_SECONDS:
            self._repaired = time.monotonic()
            for line in self.shared.repair():
                print(line, flush=True)

    def _work(self, trial: Trial) -> None:
        """Make the runs of a trial and end it: complete, pruned, failed or given up."""
        from optuna.exceptions import UpdateFinishedTrialError

        self._beats, self._beaten = 0, time.monotonic()
        self.runs: list[SeedRun] = []
        try:
            values = self.sweep.space.suggest(trial)
            if self._refuse_impossible(trial, values):
                self._start_runs(trial, values)
                self._follow(trial, self.runs)
        except UpdateFinishedTrialError:  # this worker was taken for dead, and its trial is somebody else's
            print(f"trial {trial.user_attrs[PLACE]} was taken over by another worker", flush=True)
        except BaseException:
            self._stop(self.runs)
            self.shared.give_up(trial, STOPPED)
            raise
        finally:
            self._stop(self.runs)
        if self._failures >= MOST_FAILURES:
            raise WorkerError(f"{MOST_FAILURES} trials failed one after another; the last: {self._last_failure}")

    def _refuse_impossible(self, trial: Trial, values: dict[str, Any]) -> bool:
        """End a trial whose settings contradict each other as pruned, which the sampler takes for bad."""
        try:
            self.sweep.settings(values)
        except (ConfigError, UnknownEnvError) as error:
            trial.set_user_attr(ERROR, str(error))
            self._end(trial, "PRUNED", f"impossible: {error}")
            return False
        return True

    def _start_runs(self, trial: Trial, values: dict[str, Any]) -> None:
        folder = self.shared.trial_folder(trial.user_attrs[PLACE])
        if folder.exists():
            end_runs(self.sweep.plan.module, folder)  # of a worker that died
        words = self.sweep.space.words(values)
        self.runs = [SeedRun(self.sweep.plan, words, seed, folder / f"seed_{seed}") for seed in self.sweep.plan.seeds]
        for run in self.runs:
            run.start()
        print(f"trial {trial.user_attrs[PLACE]} begins: {settings_in_words(self.sweep, trial.params)}", flush=True)

    def _follow(self, trial: Trial, runs: list[SeedRun]) -> None:
        """Compare the runs with those of other trials while they last, and end the trial with them."""
        left = list(self.sweep.compared_at)
        ended = False
        while not ended:
            if self.asked:
                self._stop(runs)
                self.shared.give_up(trial, STOPPED)
                return
            self._beat(trial)
            self._repair()
            try:
                done = [run.poll() for run in runs]
            except (DivergedTrialError, TrialFailedError) as error:
                self._stop(runs)
                self._fail(trial, error)
                return
            except RunKilledError as error:
                self._stop(runs)
                print(f"trial {trial.user_attrs[PLACE]}: {error}; it is tried again", flush=True)
                self.shared.give_up(trial, DIED)
                return
            ended = all(done)
            while left and (value := self._compared(runs, done, left[0])) is not None:
                trial.report(value, left.pop(0))
                if not ended and trial.should_prune():
                    self._stop(runs)
                    self._record(trial, runs, [])
                    self._end(trial, "PRUNED", f"behind the others after {trial_steps(trial):,} steps: {value:.4g}")
                    return
            if not ended:
                time.sleep(SECONDS_BETWEEN_POLLS)
        scores = [run.score(self.sweep.compared_at) for run in runs]
        self._record(trial, runs, scores)
        words = ", ".join(f"{score:.4g}" for score in scores)
        self._end(trial, "COMPLETE", words, score_of(self.sweep.plan, scores))

    def _compared(self, runs: list[SeedRun], done: list[bool], steps: int) -> float | None:
        """Return the score of the runs after so many steps; None before all of them have got there."""
        values = [run.scores.at(steps, ended=over) for run, over in zip(runs, done, strict=True)]
        known = [value for value in values if value is not None]
        return score_of(self.sweep.plan, known) if len(known) == len(values) else None

    def _beat(self, trial: Trial) -> None:
        if time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beats, self._beaten = self._beats + 1, time.monotonic()
            trial.set_user_attr(BEAT, self._beats)

    def _record(self, trial: Trial, runs: list[SeedRun], scores: list[float]) -> None:
        """Keep with the trial what its runs cost and scored."""
        costs = [run.cost() for run in runs]
        trial.set_user_attr("steps", sum(cost["steps"] for cost in costs))
        trial.set_user_attr("seconds", sum(cost["seconds"] for cost in costs))
        trial.set_user_attr(MADE, provenance_of_trial())
        if scores:
            trial.set_user_attr(SCORES, scores)
        for run in runs:
            run.remove_checkpoint()

    def _fail(self, trial: Trial, error: UserError) -> None:
        trial.set_user_attr(ERROR, str(error))
        if isinstance(error, DivergedTrialError):
            self._end(trial, "PRUNED", str(error))
            return
        self._failures, self._last_failure = self._failures + 1, str(error)
        self._end(trial, "FAIL", str(error))

    def _end(self, trial: Trial, state: str, words: str, value: float | None = None) -> None:
        from optuna.trial import TrialState

        if state != "FAIL":
            self._failures = 0
        self.shared.study.tell(trial, value, TrialState[state], skip_if_finished=True)
        result = f"{value:.4g} ({words})" if value is not None else f"{state.lower()}: {words}"
        print(f"trial {trial.user_attrs[PLACE]}: {result}", flush=True)

    @staticmethod
    def _stop(runs: list[SeedRun]) -> None:
        for run in runs:
            run.ask_to_stop()
        end = time.monotonic() + END_SECONDS
        for run in runs:
            run.wait_for_stop(max(end - time.monotonic(), 0.0))


def trial_steps(trial: Trial) -> int:
    """Return the steps after which a trial was last compared."""
    frozen = trial.study.get_trials(deepcopy=False)[trial.number]
    return max(frozen.intermediate_values, default=0)
