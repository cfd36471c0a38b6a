"""A study that many workers share: as many places as it has trials, each of which is filled exactly once.

All places are put into the study's queue when it is made. A worker takes one by a step that only one worker can make. A
trial that is given up (its worker died or was stopped) ends as failed and lost, and its place is put into the queue
again with the same settings, so that its runs go on where they stopped. Two processes may do so at the same time: of
two open trials of one place only the first is worked on.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.experiments.heartbeat import BEAT, OWNER, Watch, end_runs, this_worker
from agents.experiments.search_space import Scalar
from agents.experiments.storage import damaged_study, open_storage, require, shown, storage_errors
from agents.experiments.sweep_plan import Sweep, start_values
from rl_gen_lab.cli.errors import CheckpointError, ConfigError
from rl_gen_lab.runs.files import plain
from rl_gen_lab.runs.reading import WHOLE, ListOf, misfit

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

PLACE, LOST, ERROR, SCORES, MADE = "place", "lost", "error", "scores", "made"  # attributes of a trial
PLAN, READY = "plan", "places"  # attributes of a study
DIED, STOPPED = "its worker or a run died", "stopped"  # why a trial is given up
# Schema of their attributes: the journal is a file, and a database may be shared.
TRIAL: dict[Any, Any] = {
    PLACE: range(1_000_000),
    **dict.fromkeys((LOST, ERROR), str),
    SCORES: ListOf(float),
    MADE: {},
    OWNER: {},
    BEAT: WHOLE,
    **dict.fromkeys(("steps", "seconds"), float),
}
STUDY: dict[Any, Any] = {PLAN: {}, READY: WHOLE}
READY_SECONDS = 20.0  # in which whoever made a study fills its queue
MOST_ATTEMPTS = 5  # of a place whose workers die


@dataclass
class SharedStudy:
    """A study in a storage, and what this process has seen of its workers."""

    sweep: Sweep
    study: Study
    places: int
    folder: Path
    storage: str

    def __post_init__(self) -> None:
        """Begin to watch."""
        self.watch = Watch()

    # ---- the queue

    def trials(self, *states: str) -> list[FrozenTrial]:
        """Return the trials of places, all or those in these states, in the order in which they were put in."""
        from optuna.trial import TrialState

        wanted = tuple(TrialState[name] for name in states) or None
        with damaged_study(shown(self.storage)):
            found = self.study.get_trials(deepcopy=False, states=wanted)
        for trial in found:
            self._refuse_damaged(trial)
        return [trial for trial in found if PLACE in trial.user_attrs]

    def _refuse_damaged(self, trial: FrozenTrial) -> None:
        """Raise CheckpointError for a trial that no worker of this study has written."""
        wrong = misfit(trial.user_attrs, TRIAL) or misfit(dict(trial.intermediate_values), {...: float})
        scored = ListOf(float, 1, 1) if trial.state.name == "COMPLETE" else (ListOf(float), None)
        wrong = wrong or misfit(trial.values, scored, "values")
        if any(type(step) is not int or step not in WHOLE for step in trial.intermediate_values):
            wrong = wrong or "a value of it has no step"
        fixed = trial.system_attrs.get("fixed_params", {})  # what its settings were chosen to be, where they were
        if PLACE in trial.user_attrs and not self.sweep.space.holds(fixed):
            wrong = wrong or "'fixed_params' has what the search cannot find"
        if wrong is None and trial.state.name in ("COMPLETE", "PRUNED"):
            missing = [d.name for d in self.sweep.space.dimensions if d.name not in trial.params]
            wrong = f"it has no '{missing[0]}'" if missing and PLACE in trial.user_attrs else None
        if wrong:
            raise CheckpointError(f"trial {trial.number} of the study in {shown(self.storage)} is damaged: {wrong}")

    def claim(self) -> Trial | None:
        """Take the next place of the queue; None while there is none."""
        from optuna.trial import TrialState

        while self.trials("WAITING"):
            trial = self.study.ask()
            place = trial.user_attrs.get(PLACE)
            if place is None:  # another worker was faster, and Optuna made a trial of its own
                self.study.tell(trial, state=TrialState.FAIL)
                return None
            trial.set_user_attr(OWNER, this_worker())
            trial.set_user_attr(BEAT, 0)
            others = [t for t in self.trials() if t.user_attrs[PLACE] == place and t.number < trial.number]
            if all(_is_lost(t) for t in others):
                self.study.sampler = make_sampler(self.sweep, trial.number)
                return trial
            trial.set_user_attr(LOST, "its place was filled twice")
            self.study.tell(trial, state=TrialState.FAIL)
        return None

    def repair(self) -> list[str]:
        """Give up the trials of dead workers and fill empty places; return a line for each."""
        lines = []
        for trial in self.watch.dead(self.trials("RUNNING")):
            end_runs(self.sweep.plan.module, self.trial_folder(trial.user_attrs[PLACE]))
            if self.give_up(trial, DIED):
                owner = trial.user_attrs.get(OWNER) or {}
                lines.append(
                    f"trial {trial.user_attrs[PLACE]} was lost with its worker (process {owner.get('pid', 'unknown')}"
                    f" on {owner.get('host', 'an unknown host')}); it is tried again"
                )
        trials = self.trials()
        by_place: dict[int, list[FrozenTrial]] = {}
        for trial in trials:
            by_place.setdefault(trial.user_attrs[PLACE], []).append(trial)
        for place in range(self.places):
            attempts = by_place.get(place, [])
            if all(_is_lost(trial) for trial in attempts):
                known: dict[str, Any] = {}  # also of one that died before it had all its settings
                for trial in attempts:
                    known |= trial.system_attrs.get("fixed_params", {}) | trial.params
                self.study.enqueue_trial(known, user_attrs={PLACE: place})
        return lines

    def give_up(self, trial: FrozenTrial | Trial, reason: str) -> bool:
        """End a trial, so that its place is filled again, but not for ever; return False where it had ended."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        place = trial.user_attrs[PLACE]
        died = [t for t in self.trials("FAIL") if t.user_attrs[PLACE] == place and t.user_attrs.get(LOST) == DIED]
        final = reason == DIED and len(died) + 1 >= MOST_ATTEMPTS
        try:
            words = f"{reason} {MOST_ATTEMPTS} times" if final else reason
            self.study._storage.set_trial_user_attr(trial._trial_id, ERROR if final else LOST, words)
            self.study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return False
        return True

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that fill their places: complete, pruned, or failed for a reason of their own."""
        done: dict[int, FrozenTrial] = {}
        for trial in self.trials("COMPLETE", "PRUNED", "FAIL"):
            if not _is_lost(trial):
                done.setdefault(trial.user_attrs[PLACE], trial)
        return list(done.values())

    def best(self) -> FrozenTrial | None:
        """Return the trial with the highest score; None while none is complete."""
        complete = [trial for trial in self.trials("COMPLETE") if trial.value is not None]
        return max(complete, key=lambda trial: trial.value or 0.0, default=None)

    def trial_folder(self, place: int) -> Path:
        """Return the folder of the runs of a place."""
        return self.folder / "trials" / f"{place:04d}"


def _is_lost(trial: FrozenTrial) -> bool:
    return trial.state.name == "FAIL" and LOST in trial.user_attrs


def open_study(sweep: Sweep, name: str, storage: str, folder: Path, *, join_only: bool = False) -> SharedStudy:
    """Make a study with its queue, once, or join it.

    folder: of this machine, for the runs. Raises: ConfigError for a study of another sweep, for none where one is to be
    joined only, for a storage that cannot be reached or a missing package.
    """

    make_sampler(sweep, 0)  # refuses a missing package
    if join_only and "://" not in storage and not Path(storage).exists():
        raise _no_study(name, storage)
    opened = open_storage(storage)
    pruner = make_pruner(sweep)
    with storage_errors(shown(storage)):
        described = plain(sweep.describe())
        with damaged_study(shown(storage)):
            if join_only and name not in {found.study_name for found in opened.get_all_studies()}:
                raise _no_study(name, storage)
            study, made = _made_or_joined(opened, name, pruner)
            attributes, direction = study.user_attrs, study.direction.name
        wrong = misfit(attributes, STUDY)
        if direction != "MAXIMIZE":
            wrong = wrong or "it looks for the lowest score"
        if wrong:
            raise CheckpointError(f"the study {name} in {shown(storage)} is damaged: {wrong}")
        if made:
            study.set_user_attr(PLAN, described)
        _wait(study, READY if not made else PLAN)
        if study.user_attrs.get(PLAN, described) != described:
            saved = study.user_attrs[PLAN]
            changed = [key for key in described if described[key] != saved.get(key)]
            raise ConfigError(
                f"the study {name} in {shown(storage)} was begun with another {' and '.join(changed)}; its trials"
                f" cannot be compared with new ones: give this sweep another --name"
            )
        points = first_settings(sweep)
        shared = SharedStudy(sweep, study, len(points), folder, storage)
        present = {trial.user_attrs[PLACE] for trial in shared.trials()}
        if present and max(present) >= len(points) + len(present):  # each place has a trial
            raise CheckpointError(f"the study {name} in {shown(storage)} is damaged: a trial has place {max(present)}")
        for place, params in enumerate(points):
            if place not in present:
                study.enqueue_trial(params, user_attrs={PLACE: place})
        if study.user_attrs.get(READY, 0) < len(points):
            study.set_user_attr(READY, len(points))
        shared.places = max(len(points), *(place + 1 for place in present), 0)
        return shared


def _no_study(name: str, storage: str) -> ConfigError:
    return ConfigError(f"there is no study {name} in {shown(storage)}: nothing to report yet")


def _made_or_joined(storage: BaseStorage, name: str, pruner: Any) -> tuple[Study, bool]:
    """Return the study, and whether it was made here. To join one writes nothing into its storage."""
    import optuna

    with suppress(KeyError):
        return optuna.load_study(storage=storage, study_name=name, pruner=pruner), False
    try:
        return optuna.create_study(storage=storage, study_name=name, direction="maximize", pruner=pruner), True
    except optuna.exceptions.DuplicatedStudyError:  # by another process, in this moment
        return optuna.load_study(storage=storage, study_name=name, pruner=pruner), False


def _wait(study: Study, attribute: str) -> None:
    """Wait until whoever makes a study has got that far, or is taken for dead."""
    end = time.monotonic() + READY_SECONDS
    while attribute not in study.user_attrs and time.monotonic() < end:
        time.sleep(0.2)


def first_settings(sweep: Sweep) -> list[dict[str, Scalar]]:
    """Return what is known of each trial before the study begins: {} leaves it to the sampler.

    A grid and random search are drawn here, whole, so that they do not depend on the number of workers.
    """
    import optuna

    plan, space = sweep.plan, sweep.space
    if plan.sampler == "grid":
        return space.grid()
    points: list[dict[str, Any]] = [{} for _ in range(plan.trials)]
    if plan.sampler == "random":
        drawn = optuna.create_study(sampler=optuna.samplers.RandomSampler(plan.sampler_seed))
        distributions = {d.name: d.distribution() for d in space.dimensions}
        points = [dict(drawn.ask(distributions).params) for _ in points]
    first = [*([start_values(sweep)] if plan.try_start else []), *sweep.first]
    return [*first, *points[len(first) :]]


def make_sampler(sweep: Sweep, number: int) -> BaseSampler:
    """Return the sampler of one trial, by its number: workers that begin with the same seed would draw the same.

    Raises: ConfigError for a missing package.
    """
    import optuna

    plan = sweep.plan
    seed = (plan.sampler_seed * 1_000_003 + number) % 2**32
    if plan.sampler == "cmaes":
        require("cmaes")
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=plan.startup_trials, seed=seed, warn_independent_sampling=False
        )
    if plan.sampler == "tpe":
        return optuna.samplers.TPESampler(
            n_startup_trials=plan.startup_trials, multivariate=True, constant_liar=True, seed=seed
        )
    return optuna.samplers.RandomSampler(seed)


def make_pruner(sweep: Sweep) -> Any:
    """Return the rule that ends trials early."""
    from optuna import pruners

    pruner, every = sweep.plan.pruner, sweep.compared_at[0]
    if pruner.kind == "none":
        return pruners.NopPruner()
    if pruner.kind == "halving":
        least = max(pruner.warmup_steps, every)
        return pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=pruner.reduction)
    percent = 50.0 if pruner.kind == "median" else pruner.percent
    return pruners.PercentilePruner(percent, n_startup_trials=pruner.startup_trials, n_warmup_steps=pruner.warmup_steps)


def counts(trials: Iterable[FrozenTrial]) -> dict[str, int]:
    """Count trials by state, in words."""
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    found = dict.fromkeys(words.values(), 0)
    for trial in trials:
        found[words[trial.state.name]] += 1
    return found


def settings_in_words(sweep: Sweep, params: dict[str, Any]) -> str:
    """Format the settings of a trial: "learning_rate 0.00063, n_step 3"."""
    chosen = [(d.name, d.value(params[d.name])) for d in sweep.space.dimensions if d.name in params]
    return ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in chosen)
