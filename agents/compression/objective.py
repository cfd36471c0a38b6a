"""An agent's student as a task of a recipe: it shall act as its teacher, and is scored by whole games."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from agents.compression.policy_file import PackedPolicy, gives_q_values, header_of, names_itself
from agents.compression.student_play import StudentPlay, check_memory
from agents.compression.teacher import Teacher
from agents.rl.interfaces import Policy
from agents.rl.q_networks import QNetwork
from agents.training.evaluate import evaluate, long_episode
from envs.config import EnvConfig
from rl_gen_lab.backbones import SMALLEST_FRAME
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.wording import count
from rl_gen_lab.compression.distillation import soft_target_loss, stakes, temperature_of
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.packed_file import NAMES
from rl_gen_lab.compression.recipe import Common
from rl_gen_lab.explain.certified import margin_bounds, worst_soft_target_loss
from rl_gen_lab.explain.interval_bounds import Interval

FIRST_SEGMENT = 2**31 - 1  # of play, by whose frames a student's input is standardized
CONFIDENCE = 0.95  # of the one-sided bound
ROBUST_GROWTH = 0.5  # of a stage, over which the gray levels of its bounds grow to what is asked for


class ActAsTeacher:
    """States of the student's own play, the teacher's scores as targets."""

    def __init__(
        self,
        teacher: Teacher,
        common: Common,
        seed: int,
        episodes: int,
        eval_seed: int,
        start: PackedPolicy | None = None,
    ) -> None:
        """episodes, eval_seed: of the games by which every stage is scored. start: the network to begin with.

        Raises: ConfigError for a network of another game, or whose layers were changed, and for settings that do not
        fit into memory.
        """
        if start is not None and ((start.env, start.world) != (teacher.env, teacher.world) or "plans" in start.header):
            raise ConfigError("the packed policy is of another task than the agent's, or its layers were changed")
        check_memory(teacher, common)
        self.teacher, self.common, self.seed, self.start = teacher, common, seed, start
        self.episodes, self.eval_seed = episodes, eval_seed
        self.play: StudentPlay | None = None
        self.temperature = 1.0
        self._since_step = 0
        self._q_values = False  # the network that learns gives action values, like its teacher; logits otherwise

    # ---- the network

    def build(self, backbone: str | None) -> nn.Module:
        """Return a new student; without a backbone the network to begin with, the teacher's newest by default.

        Raises: ConfigError, also for a network without bounds where the recipe asks for robust ones.
        """
        network = self._built(backbone)
        if self.common.robust_levels:
            with torch.no_grad():
                _margins(network, torch.zeros(1, *self.teacher.shape), 1.0)
        return network

    def _built(self, backbone: str | None) -> nn.Module:
        if backbone is None and self.start is not None:
            self._q_values = gives_q_values(self.start.header)
            return copy.deepcopy(self.start.network).requires_grad_(True)
        self._q_values = backbone is None
        if backbone is None:
            return copy.deepcopy(self._own_network()).requires_grad_(True)
        if self.start is not None:
            raise ConfigError(
                "the recipe begins with a new network: leave out --start, or the backbone of its first stage"
            )
        torch.manual_seed(self.seed)
        student = QNetwork(backbone, self.teacher.shape, self.teacher.actions, dueling=False)
        frames = self._frames()
        student.standardize(frames)
        # one grey level for all pixels instead of a mean frame, which would cost more bytes than many a layer
        first = cast(Any, student.backbone)._first()
        first.mean.fill_(float(frames.float().median()))
        return student

    def _own_network(self) -> QNetwork:
        newest = getattr(self.teacher.network, "newest", None)
        if newest is None:
            raise ConfigError(
                f"{self.teacher.name} has no network of action values to compress as it is: begin the recipe with a"
                ' stage of kind "learn" that names the backbone of a student'
            )
        own: QNetwork = newest.members[0]
        return own

    def _frames(self) -> Tensor:
        """Single frames (M, c, H, W) uint8 of a first bit of play by the teacher."""
        count, steps = self.common.num_envs, self.common.first_steps
        play = StudentPlay(self.teacher, count, count * steps, self.seed, FIRST_SEGMENT)
        for _ in range(steps):
            play.step(play.greedy, teacher_plays=1.0)
        play.close()
        return play.obs[:, -self.teacher.shape[0] // self.teacher.world.frame_stack :]

    def header(self, backbone: str | None) -> tuple[dict[str, Any], bool]:
        """Return the header of a packed file, and whether the tensors must be named in it."""
        if backbone is None and self.start is not None:
            return {key: self.start.header[key] for key in ("network", "task")}, NAMES in self.start.header
        if backbone is None:
            own = self.teacher.settings
            backbone, flags = str(own["backbone"]), ["q_values", *(["dueling"] if own["dueling"] else [])]
            if backbone == "auto":
                backbone = "tiny" if min(self.teacher.shape[1:]) < SMALLEST_FRAME else "small"
            return header_of(self.teacher, backbone, *flags), not names_itself(backbone)
        return header_of(self.teacher, backbone), not names_itself(backbone)

    # ---- learning

    def begin(self, network: nn.Module, segment: int, progress: float) -> None:
        """Begin a segment: new games, an empty memory, filled by a first bit of play."""
        self.close()
        torch.manual_seed(self.seed + segment)
        self.play = StudentPlay(self.teacher, self.common.num_envs, self.common.memory, self.seed, segment)
        for _ in range(self.common.first_steps):
            self._step(network, progress)
        self._since_step = 0
        if self.teacher.is_value:
            self.temperature = temperature_of(self.play.remembered_scores(), self.common.temperature_quantile)

    def loss(self, network: nn.Module, progress: float) -> Tensor:
        """Divergence from the teacher's softened scores on states of the memory."""
        assert self.play is not None
        if self._since_step == self.common.updates_per_step:
            self._step(network, progress)
            self._since_step = 0
        self._since_step += 1
        obs, scores = self.play.sample(self.common.batch_size)
        weight = stakes(scores) if self.common.weigh_stakes and self.teacher.is_value else None
        scale = self.temperature if self._q_values else 1.0
        clean = soft_target_loss(network(obs) / scale, scores, self.temperature, weight)
        grown = min(progress / ROBUST_GROWTH, 1.0)
        if not self.common.robust_levels * grown:
            return clean
        margins = _margins(network, obs, self.common.robust_levels * grown) / scale
        share = self.common.robust_weight * grown
        return (1 - share) * clean + share * worst_soft_target_loss(margins, scores, self.temperature, weight)

    def example(self) -> Tensor:
        """Return states of the memory."""
        assert self.play is not None
        return self.play.sample(self.common.batch_size)[0]

    def _step(self, network: nn.Module, progress: float) -> None:
        assert self.play is not None
        shares = self.common.teacher_plays
        teacher_plays = max(1 - progress / shares, 0.0) if shares else 0.0

        @torch.no_grad()
        def student(obs: np.ndarray) -> np.ndarray:
            return network(torch.from_numpy(obs)).argmax(1).numpy()

        self.play.step(student, teacher_plays)

    def close(self) -> None:
        """Free the environments."""
        if self.play is not None:
            self.play.close()
            self.play = None

    # ---- scores

    def score(self, data: bytes) -> Row:
        """Play whole games by the policy in a packed file."""
        return self.score_of(PackedPolicy.parse(data))

    def score_of(self, packed: PackedPolicy) -> Row:
        """Play whole games by a packed policy."""
        return scored(packed.policy, packed.env, packed.world, packed.epsilon, self.episodes, self.eval_seed)

    def in_words(self, row: Row) -> str:
        """Return the score in a row."""
        bound = f" (lower bound {row['score_low']:.2f})" if row["score_low"] != "" else ""
        return f"score {row['score']:.2f} over {count(int(row['episodes']), 'game')}{bound}"


def _margins(network: nn.Module, obs: Tensor, levels: float) -> Tensor:
    """Return the least margins between actions, (B, A, A), on all frames that differ from these by so many levels."""
    student = cast(Any, network)
    return margin_bounds(student.backbone(Interval.around(obs, levels)), student.advantage)


def scored(policy: Policy, env: str, world: EnvConfig, epsilon: float, episodes: int, seed: int) -> Row:
    """Play whole games; mean score, standard error, and the lower end of the one-sided 95 % interval."""
    with ProgressDisplay("playing", episodes, "games") as display:
        played = evaluate(
            env,
            world,
            lambda obs: policy.decide(obs)[0],
            episodes,
            seed,
            epsilon=epsilon,
            begin=policy.begin,
            on_step=lambda done, steps: display.update(done, long_episode(env, world, steps)),
        )
    returns = np.asarray(played.returns)
    error, low = _error_and_bound(returns)
    return {
        "score": round(float(returns.mean()), 3),
        "score_error": error,
        "score_low": low,
        "episodes": len(returns),
        "eval_seed": seed,
        "game_steps": round(float(np.mean(played.lengths))),
    }


def _error_and_bound(returns: np.ndarray) -> tuple[float | str, float | str]:
    """Standard error of the mean, and the lower end of its one-sided interval by Student's t; "" where unknown."""
    if len(returns) < 2:
        return "", ""
    error = float(returns.std(ddof=1) / np.sqrt(len(returns)))
    low = float(returns.mean()) - float(stats.t.ppf(CONFIDENCE, len(returns) - 1)) * error
    return round(error, 3), round(low, 3)
