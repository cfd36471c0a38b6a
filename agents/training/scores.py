"""Evaluations, best weights, final score and video of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from agents.rl.interfaces import Policy
from agents.training.evaluate import Evaluation
from agents.training.evaluator import Evaluator, StopAsked
from agents.training.greedy_gap import GreedyGap
from agents.training.load import STEP
from agents.training.metadata import RunSpec
from agents.training.video import no_video
from rl_gen_lab.cli.progress import ProgressDisplay, clock
from rl_gen_lab.runs.checkpoints import load_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.guards import keep_weights, weights_on_disk
from rl_gen_lab.runs.reading import WHOLE, Needed, NotNegative, misfit
from rl_gen_lab.runs.schemas import EVALUATION
from rl_gen_lab.runs.weights import refuse_unfit
from rl_gen_lab.tracking.tracker import Tracker

# What is kept of the best evaluation and of the one that solved the task.
SCORES: dict[Any, Any] = {
    "best": (Needed(EVALUATION), None),
    "solved": (Needed({"return_mean": float, "env_steps": WHOLE, "wall_seconds": NotNegative}), None),
}


class Scores:
    """Evaluates the agent when it is due, and keeps the weights of the best evaluation.

    best: the best evaluation so far, solved: the one that reached `stop_at_return`, as result.json shows them, or None.
    """

    def __init__(self, spec: RunSpec, run: RunFolder, display: ProgressDisplay, evaluator: Evaluator) -> None:
        self.spec, self.run, self.display, self.evaluator = spec, run, display, evaluator
        self.best: dict[str, Any] | None = None
        self.solved: dict[str, Any] | None = None
        self.since_best = 0  # evaluations that were no better than the best
        self.gap = GreedyGap()

    def start(self, policy: Policy, network: nn.Module, tracker: Tracker) -> None:
        """Take the policy that is evaluated, the network whose weights are saved, and where to log."""
        self.policy, self.network, self.tracker = policy, network, tracker
        if (note := self.evaluator.check_second_copy()) is not None:
            self.display.say(note)

    def due(self, env_steps: int, recent: Sequence[float]) -> bool:
        """Return whether to evaluate now. recent: returns of the last training episodes."""
        return self.evaluator.due(env_steps, recent)

    def evaluate(self, env_steps: int, recent: Sequence[float]) -> None:
        """Score the agent now and keep it if it is the best so far; if interrupted, it is repeated after resuming.

        recent: returns of the last training episodes.
        """
        try:
            result, values = self.evaluator.evaluate(self.policy, env_steps)
        except StopAsked:
            return
        self.tracker.log(result.summary(), env_steps)
        if values.size:
            name = "eval/q_values" if self.policy.meaning == "Q-value" else "eval/action_probabilities"
            self.tracker.histogram(name, values, env_steps)
        mean, seconds = float(np.mean(result.returns)), self.tracker.wall_seconds
        self.display.say(
            f"step {env_steps:,} · {clock(seconds)} · evaluation of {len(result.returns)}"
            f" episodes: {mean:.2f} ± {np.std(result.returns):.2f}"
        )
        self._compare(result, recent)
        better = self.best is None or mean > self.best["return_mean"]
        self.since_best = 0 if better else self.since_best + 1
        if self.since_best == self.spec.config.wandb.alert_evaluations > 0:
            self._alert_of_standstill()
        if better and self.save_weights("best", env_steps, mean):  # else the best that is kept is still the one before
            self.best = result.to_dict() | {"global_step": env_steps}
        if self.spec.config.eval.keep_weights:
            self.save_weights(f"{STEP}{env_steps}", env_steps, mean)
        target = self.spec.config.run.stop_at_return
        if target is not None and mean >= target:
            self.solved = {"return_mean": mean, "env_steps": env_steps, "wall_seconds": seconds}

    def _alert_of_standstill(self) -> None:
        assert self.best is not None
        best, step = self.best["return_mean"], self.best["global_step"]
        self.tracker.alert_no_improvement(
            f"no better evaluation in the last {self.since_best}: {best:.2f} at step {step:,}"
        )

    def say_if_solved(self) -> None:
        """Say that the run to resume has reached its target."""
        if self.solved is not None:
            target = self.spec.config.run.stop_at_return
            what = "its stop_at_return" if target is None else f"stop_at_return {target:g}"
            self.display.say(f"{what} was reached at step {self.solved['env_steps']:,}: there is nothing left to train")

    def save_weights(self, name: str, env_steps: int, return_mean: float) -> bool:
        """Write the network's weights; return False where the disk refused."""
        metadata = {
            "algo": self.spec.algo,
            "env_id": self.spec.env_id,
            "fingerprint": self.spec.task.hash,
            "global_step": str(env_steps),
            "return_mean": str(return_mean),
        }
        return keep_weights(self.run, name, self.network, metadata, self.display.say)

    def final(self, env_steps: int) -> Evaluation | None:
        """Score the best agent on fresh episodes; None if somebody asked to stop. Raises SaveError."""
        self.run.refuse_gone()
        if self.best is not None:  # none where the disk was full at every evaluation: then the agent as it is
            tensors, _ = load_weights(self.run.checkpoints / "best.safetensors")
            self.network.load_state_dict(tensors)
        try:
            return self.evaluator.final(self.policy, env_steps)
        except StopAsked:
            return None

    def refuse_lost_best(self, network: nn.Module) -> None:
        """Raise CheckpointError where the best weights so far, which the run ends with, are lost or do not fit."""
        if self.best is not None:
            file = self.run.checkpoints / "best.safetensors"
            refuse_unfit(network, load_weights(file)[0], self.run.shown(file))

    def _compare(self, evaluation: Evaluation, recent: Sequence[float]) -> None:
        """Print a warning where the greedy return is far below the sampled one; action values cannot be sampled."""
        policy = self.policy
        could_sample = policy.sample is None and (policy.values is None or policy.meaning == "probability")
        if could_sample and (note := self.gap.check(evaluation.returns, recent)) is not None:
            self.display.say(note)

    def publish(self, final: Evaluation, env_steps: int, recent: Sequence[float]) -> None:
        """Log the final score, record a video of the agent and log its weights. Raises SaveError: there are none."""
        weights_on_disk(self.run, "best", "last")
        scores = final.to_dict()
        self._compare(final, recent)
        self.tracker.summary({"final/return_mean": scores["return_mean"]})
        self.tracker.table("final/episodes", ("seed", "episode", "return", "length"), final.rows())
        if self.spec.config.run.film:
            self._record_video(env_steps, scores["return_mean"])
        self.display.say(
            f"done: {np.mean(final.returns):.2f} ± {np.std(final.returns):.2f} over {len(final.returns)} fresh episodes"
            f" after {env_steps:,} steps and {clock(self.tracker.wall_seconds)}; see {self.run}"
        )
        if self.best is not None:
            metadata = {"global_step": env_steps, **{k: scores[k] for k in ("return_mean", "return_std")}}
            self.tracker.model(self.run.checkpoints / "best.safetensors", metadata, ["best"])

    def _record_video(self, env_steps: int, return_mean: float) -> None:
        path = self.run.videos / "final.mp4"
        try:
            words = self.evaluator.record_video(self.policy, path, env_steps)
            self.tracker.video("videos/final", path, env_steps)
            self.tracker.film(path, {"global_step": env_steps, "return_mean": return_mean}, ["best"])
        except Exception as error:  # an environment that cannot be rendered costs the video, never the finished run
            self.display.say(no_video(error))
        else:
            self.display.say(f"{words}: {self.run.shown(path)}")

    def state_dict(self) -> dict[str, Any]:
        """Return the scores so far and the evaluator's counters."""
        scores = {"best": self.best, "solved": self.solved, "since_best": self.since_best}
        scores["greedy_gap"] = self.gap.state_dict()
        return scores | self.evaluator.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name in ("best", "solved"):
            if wrong := misfit({name: state[name]}, SCORES):
                raise ValueError(wrong)
            json.dumps(state[name])  # TypeError for what result.json cannot hold
        self.best, self.solved = state["best"], state["solved"]
        self.since_best = int(state.get("since_best", 0))  # older checkpoints have none
        if "greedy_gap" in state:  # of checkpoints of earlier versions it is not
            self.gap.load_state_dict(state["greedy_gap"])
        self.evaluator.load_state_dict(state)
