"""Watch a trained agent: evaluate it on fresh seeds; record a video with its action values or probabilities as bars.

    python -m agents.play runs/dqn__Pong__1__20260101-120000

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

from agents.rl.interfaces import Policy
from agents.training.cli import cli, command
from agents.training.environments import detector_of, observation_wrapper, without_fire_reset
from agents.training.evaluate import evaluate
from agents.training.load import load_policy
from agents.training.video import in_words, play_episode, write_gif, write_mp4
from envs import scenes
from envs.config import EnvConfig
from envs.dataset.folder import FolderError
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.values import from_dict
from rl_gen_lab.runs.folder import RunFolder


@dataclass(frozen=True)
class Config:
    """Settings of a recorded play: agent, episodes and outputs."""

    # Run folder of a trained agent.
    run: Annotated[Path, tyro.conf.Positional]
    # The best agent by evaluation, or the last.
    which: Literal["best", "last"] = "best"
    # Whole episodes to evaluate.
    episodes: int = 20
    # Seed of the evaluation; training and its evaluations never use it.
    seed: int = 1_000_000
    # Probability of a random action (None: as in the run's own evaluations).
    epsilon: float | None = None
    # Agent steps in the video, at most.
    film_steps: int = 3_000
    # Run folder of a trained captioner that comments on the video.
    captioner: Path | None = None
    # Write labeled frames of its play into this folder instead.
    scenes: Path | None = None
    # How many of them, ...
    frames: int = 5_000
    # ... so many agent steps after each other, ...
    every: int = 6
    # ... which share of them with positions and scores written into RAM at random (Atari only), ...
    interventions: float = 0.25
    # ... from which share of episodes of random play instead of the agent's, ...
    random_episodes: float = 0.0
    # ... and whether with motion and the last event in the captions, and the frame before each.
    history: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.episodes < 1 or self.film_steps < 1 or self.frames < 1:
            raise ConfigError("episodes, film_steps and frames must be at least 1")
        if self.epsilon is not None and not 0.0 <= self.epsilon <= 1.0:
            raise ConfigError(f"epsilon must lie in [0, 1], not {self.epsilon}")


def write_scenes(config: Config, env: str, world: EnvConfig, policy: Policy, who: str) -> None:
    """A dataset folder of the agent's play. Raises: ConfigError for a folder that holds something else."""
    world = without_fire_reset(world)
    shared = {name: getattr(config, name) for name in ("every", "interventions", "random_episodes", "history")}
    if config.epsilon is not None:
        shared["epsilon"] = config.epsilon
    try:
        wanted = scenes.Config(env, config.frames, config.seed, config.scenes, world=world, **shared)
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


@command
def main(argv: list[str] | None = None) -> None:
    """Evaluate a trained agent and record a video."""
    config = cli(Config, argv)
    run = RunFolder.open(config.run)
    saved = run.read_config()
    policy = load_policy(run, config.which)
    world: EnvConfig = from_dict(EnvConfig, saved["config"]["world"])
    epsilon = saved["config"]["eval"]["epsilon"] if config.epsilon is None else config.epsilon
    env = saved["env_id"]
    print(f"task {saved['fingerprint']['hash']}: {saved['fingerprint']['text']}")
    if config.scenes is not None:
        write_scenes(config, env, world, policy, f"{run.path.name} ({config.which})")
        return
    overlay = None
    if config.captioner is not None:
        from agents.perception.captions import CaptionOverlay  # here, so that --help needs no torch

        overlay = CaptionOverlay(config.captioner)
        overlay.check(env, world)
    with ProgressDisplay("evaluating", config.episodes, "episodes") as display:
        result = evaluate(
            env,
            world,
            policy.act,
            config.episodes,
            config.seed,
            epsilon=epsilon,
            on_episode=lambda n: display.update(n, ""),
            begin=policy.begin,
        )
    returns = np.asarray(result.returns)
    print(
        f"{saved['exp_name']} ({config.which}): {returns.mean():.2f} ± {returns.std():.2f} over {len(returns)} episodes"
        f" (min {returns.min():g}, max {returns.max():g}), epsilon {epsilon:g}, seed {config.seed}"
    )
    with ProgressDisplay("recording the video", config.film_steps, "steps") as display:
        shown = play_episode(
            env,
            world,
            policy,
            config.seed,
            epsilon=epsilon,
            max_steps=config.film_steps,
            on_step=lambda n: display.update(n, ""),
            overlay=overlay,
        )
    video = run.videos / ("play.mp4" if overlay is None else "captioned.mp4")
    write_mp4(video, shown[0])
    write_gif(video.with_suffix(".gif"), shown[0])
    print(f"{in_words(*shown)}: {video} and {video.with_suffix('.gif')}")


if __name__ == "__main__":
    main()
