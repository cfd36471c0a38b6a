"""Run a recipe: stage after stage, each trained, packed and scored; saved on the way, and continued exactly.

The task says what a network learns and how good it is (`Objective`); everything random in it follows from the number of
the segment of updates, so a run that is killed goes on from its last segment as if nothing had been.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.values import to_dict
from rl_gen_lab.compression import stages
from rl_gen_lab.compression.layers import coded_state
from rl_gen_lab.compression.measured import Row, numbers, sizes
from rl_gen_lab.compression.packed_file import write
from rl_gen_lab.compression.recipe import Recipe, Training
from rl_gen_lab.runs.files import replace_file
from rl_gen_lab.runs.fitting import refuse_odd_optimizer
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.guards import keep_state, refuse_nonfinite_losses, refuse_nonfinite_weights
from rl_gen_lab.runs.reading import misfit
from rl_gen_lab.runs.schemas import COMPRESSION
from rl_gen_lab.runs.weights import load_network

SEGMENT = 2_000  # updates between two checkpoints; the task begins a new one from its number alone
LAST_RATE = 0.01  # of the learning rate, at the end of a stage
MAX_GRAD_NORM = 10.0
ADVICE = "Lower the stage's learning_rate"
Log = Callable[[dict[str, float], int], None]


class Objective(Protocol):
    """What a network is to do."""

    def build(self, backbone: str | None) -> nn.Module:
        """Return the network that is compressed (None), or a new one on a backbone."""

    def header(self, backbone: str | None) -> tuple[dict[str, Any], bool]:
        """Return the header of a packed file of that network, and whether it gives names and shapes of the tensors."""

    def begin(self, network: nn.Module, segment: int, progress: float) -> None:
        """Begin a segment of updates; progress: share of the stage that is done."""

    def loss(self, network: nn.Module, progress: float) -> Tensor:
        """Return the loss of the next batch."""

    def example(self) -> Tensor:
        """Return a batch of inputs."""

    def score(self, data: bytes) -> Row:
        """Score the network in a packed file."""

    def in_words(self, row: Row) -> str:
        """Return the score in a row as a few words."""


class Pipeline:
    """A recipe under way: how far it is, its rows so far, and the plans of its structural stages by their number."""

    def __init__(
        self,
        recipe: Recipe,
        objective: Objective,
        run: RunFolder,
        log: Log = lambda metrics, update: None,
        bases: Collection[str] | None = None,
    ) -> None:
        """log(metrics, update): called now and then while a stage learns; update: counted over all stages.

        bases: kinds of the rows of stage 0, in their order (None: any).
        """
        self.recipe, self.objective, self.run_folder, self.log = recipe, objective, run, log
        self.bases = None if bases is None else list(bases)
        self.backbone = recipe.first_backbone
        self.network = objective.build(self.backbone)
        self.optimizer: torch.optim.Adam | None = None
        self.stage = self.update = self.segments = 0
        self.rows: list[Row] = []
        self.plans: dict[int, Any] = {}
        self.seconds = 0.0  # of the stage under way
        self.saved = (0, 0)  # stage and update of the last checkpoint
        self._updates: list[stages.Update] = []

    def run(self) -> list[Row]:
        """Run what is left of the recipe; return a row for each stage, also written to its folder as packed files."""
        while self.stage < len(self.recipe.stages):
            stage = self.recipe.stages[self.stage]
            if self.optimizer is None:
                self._begin(stage)
                self.save()
            self._learn(stage)
            self.rows.append(self._measure(stage))
            self.stage, self.update, self.optimizer, self.seconds = self.stage + 1, 0, None, 0.0
            self.save()
        return self.rows

    def _begin(self, stage: Training) -> None:
        if self.recipe.common.alone:
            self.network, self.plans = self.objective.build(None), {}
        torch.manual_seed(self.stage)
        self.objective.begin(self.network, self.segments, 0.0)
        measures = stages.Measures(self.objective.example, lambda: self.objective.loss(self.network, 0.0))
        if stages.is_structural(stage):
            self.plans[self.stage] = stages.structure(stage, self.network, measures)
        self._attach(stage, measures)
        if not stage.updates:  # nothing is learned, but masks are chosen
            for update in self._updates:
                update(1.0)

    def _attach(self, stage: Training, measures: stages.Measures | None) -> None:
        self._updates = [stages.attach(stage, self.network, measures) or (lambda progress: None)]
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.Adam(weights, stage.learning_rate)

    def _learn(self, stage: Training) -> None:
        assert self.optimizer is not None
        name = f"stage {self.stage + 1} of {len(self.recipe.stages)}, {self.recipe.names[self.stage]}"
        with ProgressDisplay(name, stage.updates, "updates") as display:
            while self.update < stage.updates:
                began = time.monotonic()
                self.objective.begin(self.network, self.segments, self.update / stage.updates)
                for _ in range(min(SEGMENT, stage.updates - self.update)):
                    self._step(stage, display)
                self.segments += 1
                self.seconds += time.monotonic() - began
                refuse_nonfinite_weights(self.network, self._when(), self.run_folder)
                self.save()

    def _step(self, stage: Training, display: ProgressDisplay) -> None:
        assert self.optimizer is not None
        progress = self.update / stage.updates
        for update in self._updates:
            update(min((self.update + 1) / stage.updates, 1.0))
        rate = stage.learning_rate * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.objective.loss(self.network, progress)
        refuse_nonfinite_losses({"the loss": loss.detach()}, self._when(), self.run_folder, ADVICE, wait=True)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRAD_NORM)
        self.optimizer.step()
        self.update += 1
        if display.due(self.update):
            self.log({"losses/compression": float(loss.detach()), "charts/learning_rate": rate}, self.updates_in_all)
        display.update(self.update, f"loss {float(loss.detach()):.4f}")

    @property
    def updates_in_all(self) -> int:
        """Updates of this stage and those before it."""
        return sum(stage.updates for stage in self.recipe.stages[: self.stage]) + self.update

    @property
    def way_on(self) -> str:
        """Where a resumed compression goes on."""
        stage, update = self.saved
        done = stage == len(self.recipe.stages)
        return "only its ledger is missing" if done else f"stage {stage + 1} goes on from update {update:,}"

    def _when(self) -> str:
        return f"update {self.update:,} of stage {self.stage + 1}"

    def packed(self) -> bytes:
        """Return the packed file of the network as it is."""
        header, named = self.objective.header(self.backbone)
        if self.plans:
            header = with_plans(header, [[self.recipe.names[n], plan] for n, plan in sorted(self.plans.items())])
        return write(header, coded_state(self.network), named=named or bool(self.plans))

    def _measure(self, stage: Training) -> Row:
        data, name = self.packed(), self.recipe.names[self.stage]
        file = self.run_folder.path / f"stage{self.stage + 1}_{name}.rlz"
        replace_file(file, lambda path: path.write_bytes(data))
        settings = " ".join(f"{key}={value}" for key, value in to_dict(stage).items() if value not in (None, [], ""))
        row: Row = {"stage": self.stage + 1, "kind": name, "settings": settings, "bytes": len(data)}
        row |= sizes(coded_state(self.network)) | numbers(self.network)
        row |= self.objective.score(data)
        row["minutes"] = round(self.seconds / 60, 2)
        print(f"stage {self.stage + 1}, {name}: {len(data):,} bytes, {self.objective.in_words(row)}", flush=True)
        return row

    def save(self) -> None:
        """Write the state from which `load_state_dict` goes on."""
        if keep_state(self.run_folder, self.state_dict(), self._when(), print):
            self.saved = (self.stage, self.update)

    def state_dict(self) -> dict[str, Any]:
        """Return all that changes."""
        return {
            "stage": self.stage,
            "update": self.update,
            "segments": self.segments,
            "rows": self.rows,
            "plans": {str(number): plan for number, plan in self.plans.items()},
            "seconds": self.seconds,
            "network": self.network.state_dict(),
            "optimizer": None if self.optimizer is None else self.optimizer.state_dict(),
        }

    def _contradiction(self, state: dict[str, Any]) -> str | None:
        """Return what of a state cannot be of this recipe."""
        stage, names = state["stage"], self.recipe.names
        bases = [row["kind"] for row in state["rows"] if not row["stage"]]
        measured = [(row["stage"], row["kind"]) for row in state["rows"][len(bases) :]]
        updates = self.recipe.stages[stage].updates if stage < len(names) else 0
        begun = stage + (state["optimizer"] is not None)
        most_segments = sum(-(-stage.updates // SEGMENT) for stage in self.recipe.stages)
        if stage > len(names) or state["update"] > updates or state["segments"] > most_segments:
            return f"stage {stage} with update {state['update']} is not of this recipe"
        if measured != list(enumerate(names, 1))[:stage]:
            return "its rows are not those of the stages before"
        expected = bases if self.bases is None else self.bases
        if bases != expected[: len(bases)] or (begun and bases != expected):
            return "its first rows are not those of the network as it was"
        if not all(str(row["settings"]).isprintable() for row in state["rows"]):
            return "the settings of a row are no line of text"
        if any(not str(number).isdecimal() or int(number) >= begun for number in state["plans"]):
            return "a plan is of a stage that has not begun"
        return None

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned, in a new pipeline of the same recipe; later metrics are dropped."""
        if wrong := misfit(state, COMPRESSION) or self._contradiction(state):
            raise ValueError(wrong)
        self.stage, self.update, self.segments = state["stage"], state["update"], state["segments"]
        self.saved = (self.stage, self.update)
        self.rows, self.seconds = state["rows"], state["seconds"]
        self.plans = {int(number): plan for number, plan in state["plans"].items()}
        begun, alone = self.stage + (state["optimizer"] is not None), self.recipe.common.alone
        for number in range(self.stage if alone else 0, begun):
            if number in self.plans:
                stages.rebuild(self.recipe.names[number], self.network, self.plans[number])
            self._attach(self.recipe.stages[number], None)
        if not alone or begun > self.stage:  # else the next stage begins with the network as it is
            load_network(self.network, state["network"], "the checkpoint")
        if state["optimizer"] is None:
            self.optimizer = None
        else:
            assert self.optimizer is not None
            refuse_odd_optimizer(state["optimizer"], self.optimizer, self.update)
            self.optimizer.load_state_dict(state["optimizer"])
        self.run_folder.truncate_metrics(self.updates_in_all)


def with_plans(header: dict[str, Any], plans: list[Any]) -> dict[str, Any]:
    """Return a header with the plans of structural stages, where its reader looks for them."""
    if "run" in header:
        return header | {"run": header["run"] | {"plans": plans}}
    return header | {"plans": plans}


def rehearse(recipe: Recipe, objective: Objective) -> None:
    """Try the change of every stage on a copy of the network, without learning: before there is a run folder.

    Raises: ConfigError for a stage that does not fit.
    """
    network = copy.deepcopy(objective.build(recipe.first_backbone))
    objective.begin(network, 0, 0.0)
    measures = stages.Measures(objective.example, lambda: objective.loss(network, 0.0))
    for stage in recipe.stages:
        if recipe.common.alone:
            network = copy.deepcopy(objective.build(None))
        if stages.is_structural(stage):
            stages.structure(stage, network, measures)
        stages.attach(stage, network, None)
