"""Progress of a study on a terminal: a line for each trial that ends, and a bar with the best so far."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from agents.experiments.study import ERROR, PLACE, SCORES, SharedStudy, counts, settings_in_words
from rl_gen_lab.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class StudyProgress:
    """Shows what all workers of a study do, wherever they are; use as a context manager."""

    def __init__(self, shared: SharedStudy) -> None:
        self.shared = shared
        self.display = ProgressDisplay(f"sweep {shared.study.study_name}", shared.places, "trials", in_pieces=True)
        self._said = {trial.number for trial in shared.finished()}  # before this process began

    def __enter__(self) -> StudyProgress:
        self.display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)

    def update(self) -> None:
        """Say what has finished since the last call, and update the bar."""
        finished, best = self.shared.finished(), self.shared.best()
        for trial in finished:
            if trial.number not in self._said:
                self._said.add(trial.number)
                leads = best is not None and best.number == trial.number
                words = settings_in_words(self.shared.sweep, trial.params)
                self.display.say(f"trial {trial.user_attrs[PLACE]}: {result_in_words(trial, leads)} · {words}")
        status = [f"{count} {state}" for state, count in counts(finished).items() if count]
        status += [f"{len(self.shared.trials('RUNNING'))} running"]
        if best is not None:
            status.insert(0, f"best {best.value:.4g} (trial {best.user_attrs[PLACE]})")
        self.display.update(len(finished), " · ".join(status))


def result_in_words(trial: FrozenTrial, leads: bool = False) -> str:
    """Describe how a trial ended. leads: whether it is the best so far."""
    attributes = trial.user_attrs
    if trial.state.name == "COMPLETE":
        seeds = ", ".join(f"{score:.4g}" for score in attributes.get(SCORES, ()))
        return f"{trial.value:.4g} (by seed {seeds}){' · best so far' if leads else ''}"
    if trial.state.name == "PRUNED":
        return str(attributes.get(ERROR) or f"pruned after {max(trial.intermediate_values, default=0):,}")
    return f"failed: {attributes.get(ERROR, 'for no known reason')}"
