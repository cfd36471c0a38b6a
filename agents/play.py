"""Watch a trained agent: evaluate it on fresh seeds; record a video with its action values or probabilities as bars.

    python -m agents.play                                        # the newest run in runs/
    python -m agents.play runs/dqn__Pong__1__20260101-120000
    python -m agents.play --render human                         # in a window, where there is a screen
    python -m agents.play models/pong.rlz                        # a packed policy, see agents.compress

Writes videos/play.mp4 and videos/play.gif into the run folder. A captioner comments on the game, in
videos/captioned.mp4 and .gif, its words below and a glow where it looks:

    python -m agents.play runs/dqn__Pong__1__20260101-120000 --captioner runs/CAPTION_RUN

With a folder for `--scenes` it writes a dataset of the
agent's play instead, as `envs.scenes` does of random play:

    python -m agents.play runs/dqn__Pong__1__20260101-120000 --scenes datasets/pong_agent --frames 5000
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from annotated_types import Interval

from agents.rl.interfaces import Policy
from agents.training.cli import cli, command
from agents.training.config import Episodes
from agents.training.environments import detector_of, observation_wrapper, without_fire_reset
from agents.training.evaluate import evaluate, long_episode
from agents.training.load import evaluation_of, load_policy, newest_run, world_of
from agents.training.video import HEIGHT, PANEL, Overlay, in_words, no_video, play_episode, write_gif, write_mp4
from agents.training.window import open_screen, watch
from envs import names, scenes
from envs.config import EnvConfig, UnknownEnvError
from envs.dataset.folder import FolderError
from rl_gen_lab.cli.errors import ConfigError, UserError
from rl_gen_lab.cli.lazy import torch
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Few, Ranged, Seed, Share
from rl_gen_lab.runs.files import save_errors
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.lock import FolderBusyError

RUNS = Path("runs")
PACKED = ".rlz"
# settings that only --scenes uses
OF_SCENES = ("frames", "every", "interventions", "random_episodes", "history", "transitions")


@dataclass(frozen=True)
class Config(Ranged):
    """Settings of a recorded play: agent, episodes and outputs."""

    # Run folder of a trained agent, or a packed policy, FILE.rlz (None: the newest run in runs/).
    run: Annotated[Path | None, tyro.conf.Positional] = None
    # The best agent by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Whole episodes to evaluate.
    episodes: Episodes = 20
    # Seed of the evaluation; training and its evaluations never use it.
    seed: Seed = 1_000_000
    # Probability of a random action (None: as in the run's own evaluations).
    epsilon: Share | None = None
    # Draw actions from the policy, as in training (without this and the next: as in the run's own evaluations).
    stochastic: bool = False
    # Take the most probable actions.
    greedy: bool = False
    # Play an agent of dreams in the game that its dreams are of, which never repeats actions by itself.
    outside: bool = False
    # Record a video, or play in a window.
    render: Literal["video", "human"] = "video"
    # Agent steps in the video or window, at most.
    film_steps: Annotated[int, Interval(ge=1, le=100_000)] = 3_000
    # Run folder of a trained captioner that comments on the video.
    captioner: Path | None = None
    # Write labeled frames of its play into this folder instead.
    scenes: Path | None = None
    # How many of them, ...
    frames: Annotated[int, Interval(ge=1, le=10**9)] = 5_000
    # ... so many agent steps after each other, ...
    every: Few = 6
    # ... which share of them with positions and scores written into RAM at random (Atari only), ...
    interventions: Share = 0.25
    # ... from which share of episodes of random play instead of the agent's, ...
    random_episodes: Share = 0.0
    # ... and whether with motion and the last event in the captions, and the frame before each.
    history: bool = False
    # Keep every step as well, for models of the world.
    transitions: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        super().__post_init__()
        if self.stochastic and self.greedy:
            raise ConfigError("choose one of --stochastic and --greedy")
        unused = [name for name in OF_SCENES if self.scenes is None and getattr(self, name) != getattr(Config, name)]
        if unused:
            raise ConfigError(f"--{unused[0].replace('_', '-')} is a setting of --scenes FOLDER, which is not given")
        if self.render == "human" and (self.captioner is not None or self.scenes is not None):
            raise ConfigError("captioner and scenes write files: leave out --render human")


def write_scenes(config: Config, env: str, world: EnvConfig, policy: Policy, who: str) -> None:
    """A dataset folder of the agent's play. Raises: ConfigError for a folder that holds something else."""
    world = without_fire_reset(world)
    shared = {name: getattr(config, name) for name in OF_SCENES}
    if config.epsilon is not None:
        shared["epsilon"] = config.epsilon
    try:
        wanted = scenes.Config(env, seed=config.seed, out=config.scenes, world=world, **shared)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    detector = detector_of(world)
    agent = scenes.Agent(
        lambda obs, first: policy.choose(obs[None], np.array([first]))[0][0],
        who,
        observation_wrapper(world),
        None if detector is None else detector.name,
    )
    try:
        size = scenes.expected_bytes(wanted, agent)
        print(f"{config.scenes}: {config.frames:,} frames, about {size / 1e6:,.0f} MB", flush=True)
        with ProgressDisplay(f"recording {env}", config.frames, "frames") as display:
            path = scenes.write(wanted, agent, lambda done: display.update(done, ""))
    except FolderError as error:
        raise ConfigError(str(error).replace("--out", "--scenes")) from error
    print(f"{config.frames:,} labeled frames of {who}: {path}; see {path / 'sheet.png'}{scenes.empty_splits(path)}")


@dataclass(frozen=True)
class Play:
    """What is played: the agent with the rules it acts by, its environment, and where its videos go."""

    source: str
    folder: RunFolder  # of its videos
    env: str
    world: EnvConfig
    policy: Policy
    epsilon: float
    who: str

    @classmethod
    def of(cls, config: Config) -> Play:
        """Read the agent of a run folder or a packed file. Raises: CheckpointError, ConfigError."""
        if config.run is not None and config.run.suffix == PACKED:
            return cls._of_file(config.run, config)
        run = newest_run(RUNS, config.which) if config.run is None else RunFolder.open(config.run)
        if config.run is None:
            print(f"playing the newest run, {run}")
        sampled = True if config.stochastic else False if config.greedy else None
        policy = load_policy(run, config.which, sampled)  # first, for it says what a run of another command is
        saved = run.read_config("config", "env_id", "exp_name", "fingerprint")
        epsilon = evaluation_of(run).epsilon if config.epsilon is None else config.epsilon
        print(f"task {saved['fingerprint']['hash']}: {saved['fingerprint']['text']}")
        env = names.resolve(str(saved["config"].get("env", saved["env_id"])))  # registers a dream
        world = world_of(run)
        if config.outside:
            from agents.perception.dream_agents import game_of  # here, so that --help needs no torch

            game, world = game_of(run, 0.0)
            env = names.resolve(game)
            print(f"outside: {env}, seen as in the agent's dreams")
        who = f"{saved['exp_name']} ({config.which})"
        return cls(f"{run.path.name} ({config.which})", run, env, world, policy, epsilon, who)

    @classmethod
    def _of_file(cls, path: Path, config: Config) -> Play:
        from agents.compression.policy_file import PackedPolicy  # here, so that --help needs no torch

        if config.outside or config.stochastic or config.which != "best":
            raise ConfigError("a packed file has one policy, a greedy one: leave out --outside, --stochastic, --which")
        packed = PackedPolicy.read(path)
        print(packed.described)
        epsilon = packed.epsilon if config.epsilon is None else config.epsilon
        own = (path.parent / "config.json").exists()  # of a compression, which may have many files of this name
        folder = RunFolder(path.with_suffix("") if own else RUNS / f"packed_{path.stem}")
        return cls(path.name, folder, packed.env, packed.world, packed.policy, epsilon, path.name)

    def evaluate(self, episodes: int, seed: int) -> None:
        """Score the agent, and print its returns. Raises: EnvStepError."""
        if self.policy.seed is not None:
            self.policy.seed(seed)
        with ProgressDisplay("evaluating", episodes, "episodes") as display:
            result = evaluate(
                self.env,
                self.world,
                lambda obs: self.policy.decide(obs)[0],
                episodes,
                seed,
                epsilon=self.epsilon,
                on_step=lambda n, steps: display.update(n, long_episode(self.env, self.world, steps)),
                begin=self.policy.begin,
            )
        returns = np.asarray(result.returns)
        sampled = ", sampled actions" if self.policy.sample is not None else ""
        print(
            f"{self.who}: {returns.mean():.2f} ± {returns.std():.2f} over {len(returns)} episodes"
            f" (min {returns.min():g}, max {returns.max():g}), epsilon {self.epsilon:g}{sampled}, seed {seed}",
            flush=True,
        )

    def record(self, seed: int, max_steps: int, overlay: Overlay | None) -> None:
        """Record a video as long as memory allows; print one line for an environment that cannot be rendered."""
        from rl_gen_lab.compute.memory_budget import free_bytes  # here, so that --help needs no torch

        fitting = free_bytes(torch.device("cpu")) // (2 * 3 * HEIGHT * (HEIGHT + PANEL))  # frames
        max_steps = min(max_steps, max(fitting, 1))
        try:
            with ProgressDisplay("recording the video", max_steps, "steps") as display:
                recorded = play_episode(
                    self.env,
                    self.world,
                    self.policy,
                    seed,
                    epsilon=self.epsilon,
                    max_steps=max_steps,
                    on_step=lambda n: display.update(n, ""),
                    overlay=overlay,
                )
        except (UserError, UnknownEnvError) as error:
            print(no_video(error))
            return
        video = self.folder.videos / ("play.mp4" if overlay is None else "captioned.mp4")
        with save_errors(self.folder.path):
            self.folder.path.mkdir(parents=True, exist_ok=True)
        try:
            with self.folder.lock():
                write_mp4(video, recorded.frames)
                write_gif(video.with_suffix(".gif"), recorded.frames)
        except FolderBusyError as error:  # by its training, say: the score above is what can be had
            print(f"no video: {error}", flush=True)
            return
        files = map(self.folder.shown, (video, video.with_suffix(".gif")))
        print(f"{in_words(recorded)}: {' and '.join(files)}")

    def watch(self, seed: int, max_steps: int) -> None:
        """Play an episode in a window. Raises: ConfigError for an environment without one, EnvStepError."""
        with ProgressDisplay("playing", max_steps, "steps") as display:
            total, whole = watch(
                self.env,
                self.world,
                self.policy,
                seed,
                epsilon=self.epsilon,
                max_steps=max_steps,
                on_step=lambda n: display.update(n, ""),
            )
        print(f"played {'one episode' if whole else f'the first {max_steps:,} steps of an episode'}, return {total:g}")


@command
def main(argv: list[str] | None = None) -> None:
    """Evaluate a trained agent and record a video."""
    config = cli(Config, argv)
    if config.render == "human":
        open_screen()
    play = Play.of(config)
    if config.scenes is not None:
        write_scenes(config, play.env, play.world, play.policy, play.source)
        return
    overlay = None
    if config.captioner is not None:
        from agents.perception.captions import CaptionOverlay  # here, so that --help needs no torch

        overlay = CaptionOverlay(config.captioner)
        overlay.check(play.env, play.world)
    play.evaluate(config.episodes, config.seed)
    if config.render == "human":
        play.watch(config.seed, config.film_steps)
    else:
        play.record(config.seed, config.film_steps, overlay)


if __name__ == "__main__":
    main()
