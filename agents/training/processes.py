"""What a training run settles with the other processes of its torchrun: when to stop, evaluate and save.

All take the same decisions at the same update. The first process alone writes the run folder; the state that each of
the others needs to go on (environments, rollout or replay memory, random generators) lies beside the checkpoint.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents.training.config import AgentConfig
from agents.training.metadata import RunSpec
from rl_gen_lab.cli.errors import CheckpointError, SaveError
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.cli.wording import count
from rl_gen_lab.distributed.follower import scratch_folder
from rl_gen_lab.distributed.group import Group
from rl_gen_lab.runs import provenance
from rl_gen_lab.runs.checkpoints import load_state, save_state
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.guards import Say, keep_state
from rl_gen_lab.runs.interrupt import Interrupt
from rl_gen_lab.runs.lock import FolderLock

# What goes on where the number of processes changes: the rest of an agent's state belongs to its games.
CARRIED = ("network", "online", "target", "judged", "optimizer", "value_optimizer", "average", "updates")
Opened = tuple[RunFolder, FolderLock, dict[str, Any] | None]


def made_by(checkpoint: dict[str, Any]) -> int:
    """Return the number of processes that wrote a checkpoint."""
    return int(checkpoint["session"].get("processes", 1))


def refuse_different(group: Group, config: AgentConfig) -> None:
    """Raise ConfigError where the processes differ in settings or commit."""
    settings = to_dict(config) | {"wandb": None}
    group.refuse_different("settings", json.dumps(settings, default=str, sort_keys=True))
    group.refuse_different("a commit", provenance.git_commit())


class Processes:
    """The processes of one run; alone, everything is as it would be without them."""

    def __init__(self, group: Group, interrupt: Interrupt) -> None:
        self.group, self._interrupt = group, interrupt
        self.alone, self.leads = group.size == 1, group.ranks.leads
        self._asked = self._late = False
        self._met_at, self._steps = 0, 0  # the update and the steps of all processes when they last met
        self._held = ExitStack()

    @property
    def asked(self) -> bool:
        """Whether somebody asked the run to stop; of several processes, whether all have heard of it."""
        return self._interrupt.asked if self.alone else self._asked

    @property
    def stopped(self) -> bool:
        """Whether somebody asked the run to stop, here or in another process."""
        return self._interrupt.asked or self._asked

    def may_stop_evaluation(self) -> bool:
        """Return whether to stop an evaluation that is under way; several processes end theirs together."""
        return self.alone and self._interrupt.asked

    def out_of_time(self, seconds_left: float | None) -> bool:
        """Return whether the time is up. seconds_left: of this process, None without a limit."""
        return seconds_left == 0.0 if self.alone else self._late

    def steps(self, env_steps: int, updates: int) -> int:
        """Return the steps of all processes when they last met, at an update; before the first, those of this one."""
        if self.alone:
            return env_steps
        if updates != self._met_at:
            self._steps = int(self.group.total(env_steps))
        return self._steps if updates else env_steps

    def meet(self, updates: int, *, seconds_left: float | None, evaluate: bool) -> bool:
        """Return whether to evaluate now; after an update of several processes, whether any of them wants to."""
        if self.alone:
            return evaluate
        if updates == self._met_at:
            return False
        self._met_at = updates
        asked, late_somewhere, wanted = self.group.largest(self._interrupt.asked, seconds_left == 0.0, evaluate)
        self._asked, self._late = bool(asked), bool(late_somewhere)
        return bool(wanted)

    # ---- the run folder

    def opened(self, spec: RunSpec, open_folder: Callable[[], Opened]) -> Opened:
        """Return the run folder, locked, and the checkpoint to resume from: for the others a folder that is removed.

        Raises: CheckpointError; ConfigError where the processes differ in settings or commit.
        """
        resumed = spec.config.run.resume
        refuse_different(self.group, spec.config)
        if self.leads:
            run, lock, saved = open_folder()
            self._folder = Path(self.group.text(str(run.path)))
            return run, lock, saved
        self._folder = Path(self.group.text(""))
        earlier = None if resumed is None else RunFolder.open(self._folder)
        run = self._held.enter_context(scratch_folder(spec.algo, spec.short_name, spec.config.seed, earlier))
        return run, run.lock(), None if resumed is None else self._own_state()

    def _own_state(self) -> dict[str, Any]:
        """Return this process' checkpoint; of a run of another number of processes, that of the first."""
        latest = load_state(self._folder / "checkpoints" / "latest")
        if made_by(latest) != self.group.size:
            return latest
        try:
            own: dict[str, Any] = load_state(self._place(int(latest["session"]["env_steps"])))
        except CheckpointError as error:
            raise CheckpointError(f"{error}; resume without torchrun: in one process games begin anew") from error
        return own

    def fitted(self, saved: dict[str, Any], fresh: dict[str, Any], say: Say) -> dict[str, Any]:
        """Return a checkpoint as this process can load it. fresh: its state as it was just made.

        That of another number of processes gives weights, optimizer and counters; games and memories begin anew.
        """
        before, now = made_by(saved), self.group.size
        if before == now:
            return saved
        say(f"the run goes on in {count(now, 'process')} instead of {before}: games and memories begin anew")
        old, new = saved["agent"], dict(fresh["agent"])
        new |= {name: old[name] for name in CARRIED if name in old}
        new["env_steps"] = int(old["env_steps"]) * before // now
        if "reward_scale" in new:
            new["reward_scale"] = new["reward_scale"] | {"moments": old["reward_scale"]["moments"]}
        return fresh | {"agent": new, "session": saved["session"] | {"processes": now}}

    def _place(self, env_steps: int) -> Path:
        return self._folder / "checkpoints" / "processes" / f"{env_steps}-{self.group.ranks.rank}"

    def save(self, run: RunFolder, state: dict[str, Any], when: str, say: Say) -> bool:
        """Write the checkpoint to resume from, of all processes or of none; False where a full disk refused it."""
        if self.alone:
            return keep_state(run, state, when, say)
        place, refused = self._place(int(state["session"]["env_steps"])), ""
        if not self.leads:
            try:
                save_state(place, state)
            except SaveError as error:
                refused = str(error)
        if self.group.any(bool(refused)):
            reasons = [text for text in self.group.texts(refused) if text]
            say(f"checkpoint at {when} not written, the one before stays: {reasons[0]}")
            return False
        written = self.leads and keep_state(run, state, when, say)  # last: it names the steps of the others' states
        if not self.group.any(written):
            return False
        for folder in place.parent.glob(f"*-{self.group.ranks.rank}"):
            if folder != place:
                shutil.rmtree(folder, ignore_errors=True)
        return True

    def close(self) -> None:
        """Remove what a process other than the first wrote for itself."""
        self._held.close()
