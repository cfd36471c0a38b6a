"""A training run with its record: everything that is not the algorithm and is the same for every agent.

It owns the run folder and decides when the run ends; metrics are `run_log.py`'s, evaluations `scores.py`'s, resuming
`resume.py`'s. The agent's loop sees it as a `TrainingRun` (agents/rl/interfaces.py).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch

from agents.rl.interfaces import EnvRunner, Episode, Generators, Policy, Stateful
from agents.rl.sampled_policy import policy_of
from agents.training import pretrained
from agents.training.changed_torch import refuse_changed_torch
from agents.training.evaluator import Evaluator
from agents.training.metadata import RunSpec
from agents.training.processes import Processes
from agents.training.resume import command_to_resume, keep_limits, load_checkpoint
from agents.training.run_log import RunLog, start_tracker
from agents.training.scores import Scores
from envs.config import UnknownEnvError
from rl_gen_lab.cli.errors import CheckpointError, ConfigError, UserError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.compute.memory_budget import free_bytes
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.distributed.ranks import Ranks
from rl_gen_lab.runs.ending import can_resume, failure, fitting_checkpoint, keep_result
from rl_gen_lab.runs.fitting import refuse_impossible_actions, refuse_misfit, refuse_odd_optimizer
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.guards import refuse_nonfinite_weights, refuse_unsaved
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED, Interrupt
from rl_gen_lab.runs.lock import FolderLock
from rl_gen_lab.tracking.tracker import Tracker


def opened(spec: RunSpec, ranks: Ranks) -> tuple[RunFolder, FolderLock, dict[str, Any] | None]:
    """Return a new or resumed run's folder, locked, and the checkpoint to resume from. Raises: UserError."""
    config = spec.config
    if config.run.resume is None:
        run = RunFolder.create(config.run.runs_dir, spec.algo, spec.short_name, config.seed)
        lock = run.lock()
        run.write_config(spec.describe() | ranks.described())
        return run, lock, None
    run = RunFolder.open(config.run.resume)
    lock = run.lock()
    try:
        return run, lock, load_checkpoint(run, spec)
    except BaseException:
        lock.release()
        raise


def refuse_unfit_state(saved: dict[str, Any], fresh: dict[str, Any], runner: EnvRunner | None) -> None:
    """Raise ValueError for a checkpoint of another kind than the fresh state, or with actions of other environments."""
    own = ("rollout", "fingerprint", "algo")  # checked by their owners, the task when the checkpoint was read
    refuse_misfit(saved, {name: part for name, part in fresh.items() if name not in own})
    refuse_impossible_actions(saved, getattr(getattr(runner, "action_space", None), "n", None))
    steps = saved["session"]["env_steps"]
    for name in fresh.keys() - {"session", *own}:
        counted = saved[name].get("env_steps", saved[name].get("num_timesteps", steps))
        if saved["session"].get("processes", 1) == 1 and counted != steps:  # of several, each counts its own
            raise ValueError(f"'{name}' has counted {counted:,} steps, the run {steps:,}")


def load_part(part: Stateful, saved: dict[str, Any]) -> None:
    """Let an agent, or another part of a run, go on from a checkpoint. Raises what torch raises; ValueError."""
    for name, optimizer in vars(part).items():
        if isinstance(optimizer, torch.optim.Optimizer):
            refuse_odd_optimizer(saved[name], optimizer, saved.get("updates", 0))
    part.load_state_dict(saved)


class RecordedRun:
    """A `TrainingRun` of one agent with a run folder. Use as a context manager; `launch` sets the three attributes.

    Where the algorithm makes its own environments, `env_runner` stays unset.
    """

    device: torch.device
    generators: Generators
    _env_runner: EnvRunner | None = None

    def __init__(self, spec: RunSpec, group: Group | None = None) -> None:
        """Open or make the run folder. Raises UserError subclasses for what a user can mend.

        group: the processes that train together (None: this one alone).
        """
        self.spec, self.config, self._typed_in = spec, (config := spec.config), Path.cwd()
        self.display = ProgressDisplay(f"{spec.algo} {spec.short_name}", config.total_env_steps, "steps")
        self.begun = False  # until then there is nothing to save
        self.interrupt = Interrupt(self.display.say, at_once=lambda: not self.begun)
        evaluator = Evaluator(
            spec, self.display, lambda: self.processes.may_stop_evaluation()
        )  # refuses an impossible seed
        self.group = group or Group()
        self.processes = Processes(self.group, self.interrupt)
        # saved: the checkpoint to resume from, until that is done
        self.run, self.lock, self.saved = self.processes.opened(spec, lambda: opened(spec, self.group.ranks))
        wall_offset = 0.0 if self.saved is None else self.saved["session"]["wall_seconds"]
        self.tracker = Tracker(self.run, "", wall_offset)  # W&B starts in `begin`: nothing is recorded of a refusal
        self.log = RunLog(config.run, self.display, self.run, self.tracker)
        self.scores = Scores(spec, self.run, self.display, evaluator)
        self.next_checkpoint = config.run.checkpoint_every_env_steps

    # ---- used by the agents' loops

    @property
    def env_runner(self) -> EnvRunner:
        """The environments to train in."""
        assert self._env_runner is not None
        return self._env_runner

    @env_runner.setter
    def env_runner(self, runner: EnvRunner) -> None:
        self._env_runner, self.log.of_environments = runner, getattr(runner, "metrics", dict)  # of actors

    @property
    def free_bytes(self) -> int:
        """The memory that is free on the device now."""
        return free_bytes(self.device)

    def prepare(self, network: torch.nn.Module) -> None:
        """Move a new network to the device, and start it from the pretrained backbone if the run has one.

        Raises: ConfigError, CheckpointError; SaveError, for config.json says where the weights came from.
        """
        network.to(self.device)
        if (origin := pretrained.start(self.config, network, self.saved is not None, self._typed_in)) is not None:
            self.run.write_config(self.run.read_config() | {"init_backbone": origin})

    def begin(
        self, agent: Stateful, network: torch.nn.Module, policy: Policy | None = None, name: str = "agent"
    ) -> None:
        """Start or resume: checkpoints hold the agent, by `name`; evaluations and saved weights use the network.

        policy: how the agent acts in evaluations (None: by the network and the settings). Raises: CheckpointError for a
        checkpoint of another version or its settings; ConfigError for sampling where the agent has no policy.
        """
        policy = policy or policy_of(network, self.config.eval.stochastic)  # before anything is recorded
        seeds: dict[str, Stateful] = {} if self._env_runner is None else {"seeds": self.generators}
        self.parts = {name: agent} | seeds
        self.network = network
        if self.saved is not None:
            self._load(self.saved)
        else:
            self.group.copy_([*network.parameters(), *network.buffers()])
        self.display.say(f"{self.spec.task.described}\nrun folder {self.run}")
        self.tracker = start_tracker(self.spec, self.run, self.tracker.wall_seconds)
        self.log.start(self.tracker)
        self.scores.start(policy, network, self.tracker)
        if self.saved is not None:  # as long as it is kept, an error leaves the folder as it is
            self.run.truncate_metrics(self.log.env_steps)  # first: it reads what may be damaged
            keep_limits(self.run, self.config)
        saved, self.saved, self.begun = self.saved, None, True
        # A run that is killed before its first checkpoint begins anew from here.
        self.save() if saved is None else self._after_resuming()

    def running(self) -> bool:
        """Return False when the run is over: steps or minutes spent, solved, or asked to stop."""
        late = self.processes.out_of_time(self.tracker.seconds_left(self.config.run.total_minutes))
        spent = late or self.log.env_steps >= self.config.total_env_steps
        return not (spent or self.scores.solved is not None or self.processes.asked)

    def record(
        self,
        env_steps: int,
        updates: int,
        episodes: list[Episode],
        learned: Mapping[str, Any],
        status: Mapping[str, float],
    ) -> None:
        """Report a vector step: totals, finished episodes, metrics of the last update, values of the schedules.

        Raises: DivergedError, EnvStepError.
        """
        refuse_changed_torch(self.spec.env_id)
        steps = self.processes.steps(env_steps, updates)
        self.log.record(steps, updates, episodes, learned, status)
        due = self.scores.due(steps, list(self.log.recent))
        left = self.tracker.seconds_left(self.config.run.total_minutes)
        if self.processes.meet(updates, seconds_left=left, evaluate=due):
            self.scores.evaluate(steps, self.log.recent)

    def checkpoint_due(self) -> bool:
        """Return True when the loop must restart its environments and `save`."""
        return self.log.env_steps >= self.next_checkpoint

    def save(self) -> bool:
        """Write a checkpoint; False where the disk refused, which does not end the run. Raises: DivergedError."""
        when = f"step {self.log.env_steps:,}"
        refuse_nonfinite_weights(self.network, when, self.run)  # on a GPU losses are looked at only now and then
        every, late = self.config.run.checkpoint_every_env_steps, self.log.env_steps - self.next_checkpoint
        self.next_checkpoint += max(late // every + 1, 0) * every
        return self.processes.save(self.run, self._state(), when, self.display.say)

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        if self._env_runner is not None:
            state["rollout"] = self._env_runner.state_dict()
        own = {"next_checkpoint": self.next_checkpoint, "processes": self.group.size}
        progress = self.log.state_dict() | self.scores.state_dict() | own
        return state | {"session": progress, "algo": self.spec.algo, "fingerprint": vars(self.spec.task)}

    # ---- the end

    def end(self) -> None:
        """Save everything; unless the run was interrupted, score and record the best agent and write the result.

        Raises: SaveError where the last checkpoint is not on disk: the run can be resumed from the one before.
        """
        saved = self.save()
        refuse_unsaved(self.run, saved or self.processes.asked)
        env_steps, recent = self.log.env_steps, self.log.recent
        if self._env_runner is not None:
            self._env_runner.close()  # of some environments there may be one copy only, and now it is to be evaluated
        if not self.processes.asked:
            self.scores.save_weights("last", env_steps, float(np.mean(recent)) if recent else math.nan)
            if self.scores.evaluator.last_eval != env_steps:
                self.scores.evaluate(env_steps, recent)
                if not self.processes.asked:
                    self.save()  # with the evaluation, or a longer run would not know its best
        if not self.processes.leads:
            return  # the first process scores the agent
        final = None if self.processes.asked else self.scores.final(env_steps)
        if final is None:
            keep_result(self.run, result_of(self, "interrupted"), self.display.say)
            return
        self.run.write_result(result_of(self, "finished") | {"final_eval": final.to_dict()})
        self.scores.publish(final, env_steps, recent)

    # ---- details

    def _evaluate_if_due(self) -> None:
        if self.group.any(self.scores.due(self.log.env_steps, list(self.log.recent))):
            self.scores.evaluate(self.log.env_steps, self.log.recent)

    def _load(self, saved: dict[str, Any]) -> None:
        with fitting_checkpoint(self.run):
            saved = self.processes.fitted(saved, fresh := self._state(), self.display.say)
            refuse_unfit_state(saved, fresh, self._env_runner)
            self.log.load_state_dict(saved["session"])
            self.scores.load_state_dict(saved["session"])
            self.next_checkpoint = int(saved["session"]["next_checkpoint"])
            for name, part in self.parts.items():
                load_part(part, saved[name])
            self.scores.refuse_lost_best(self.network)
            if self._env_runner is not None:
                self._env_runner.load_state_dict(saved["rollout"], partial(show_repetition, self))

    def _after_resuming(self) -> None:
        self.display.say(f"resumed at step {self.log.env_steps:,}")
        self.scores.say_if_solved()
        if self.running():
            self._evaluate_if_due()  # it was stopped in the middle of an evaluation

    # ---- a run that ends otherwise

    def __enter__(self) -> RecordedRun:
        self.interrupt.__enter__()
        self.display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.__exit__(kind, error, trace)
        self.interrupt.__exit__(kind, error, trace)
        with self.lock:
            close(self, kind, error)
        self.processes.close()
        if self.processes.stopped and error is None:
            raise SystemExit(EXIT_INTERRUPTED)


def show_repetition(run: RecordedRun, done: int, total: int) -> None:
    """Show how far the games of a resumed run have been repeated [vector steps]."""
    run.display.pause(run.log.env_steps, f"repeating the games up to here: {done:,} of {total:,} vector steps")


def close(run: RecordedRun, kind: type[BaseException] | None, error: BaseException | None) -> None:
    """End a run: keep the result of one that failed, say how to go on, remove one that never started."""
    refused = run.saved is not None  # the checkpoint to resume from: what is in the folder stays as it is
    if error is not None and not refused:
        keep_result(run.run, result_of(run, "failed") | failure(error), run.display.say)
    unfinished = error is not None or run.processes.stopped
    refusals = (ConfigError, CheckpointError) if run.begun else (UserError, UnknownEnvError, KeyboardInterrupt)
    impossible = isinstance(error, refusals)
    never_started = impossible and run.config.run.resume is None and run.log.env_steps == 0
    offered = not never_started and (not refused or isinstance(error, KeyboardInterrupt))
    if unfinished and offered and can_resume(run.run, error):
        run.display.say(f"resume with: {command_to_resume(run.run, run.spec, limits_changed=refused)}")
    run.tracker.alert_of(error)
    run.tracker.finish(int(unfinished))
    if never_started:
        shutil.rmtree(run.run.path, ignore_errors=True)
    if run._env_runner is not None:
        run._env_runner.close()


def result_of(run: RecordedRun, status: str) -> dict[str, Any]:
    """Return what result.json says of a run so far."""
    played: dict[str, float] = getattr(run._env_runner, "totals", dict)()  # by actors
    rollouts = {"rollouts": played} if played else {}
    return {"status": status, **run.log.totals(), **rollouts, "best_eval": run.scores.best, "solved": run.scores.solved}
