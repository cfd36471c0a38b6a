"""Labelled frames of a world, written as a folder that any COCO tool reads.

    python -m envs.scenes --env Pong --frames 5000

The folder holds images/*.png at native size and annotations/: `instances_SPLIT.json` (boxes, masks, categories),
`captions_SPLIT.json` (five a frame), `slots_SPLIT.json` (positions, velocities, counts, facts), and beside them
dataset.json (task fingerprint, seeds, episodes, rejected frames), grammar.json (how facts become words) and sheet.png
(some frames with everything drawn in). Whole episodes go to train, val or test. The same command gives the same bytes;
one that was stopped goes on where it was, and a folder that is whole is left as it is.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from PIL import Image

from envs import names
from envs.commands import Bar, cli, command
from envs.config import EnvConfig
from envs.dataset import folder
from envs.dataset.contact_sheet import draw_sheet
from envs.factory import Wrapper, make_env
from envs.fingerprint import fingerprint
from envs.ground_truth.captions import captions
from envs.ground_truth.interventions import Aside, intervene
from envs.ground_truth.objects import Scene
from envs.ground_truth.registry import game_of
from envs.ground_truth.wrappers import WithTruth

# The action for an observation of the standard pipeline; asked at every step, and told whether it begins an episode.
Player = Callable[[np.ndarray, bool], Any]
FEWEST, MOST = 10, 20  # episodes: enough that every split has some, and of large sets more than one
HOLD = 0.75  # probability that random play repeats its action: paddles must get somewhere
PATIENCE = 50  # tries for every frame asked for


@dataclass(frozen=True)
class Config:
    """What to record."""

    # Any world of envs/ground_truth/games.
    env: str = "Pong"
    # Labelled frames to write.
    frames: int = 5_000
    # Seed of play, interventions, captions and splits.
    seed: int = 0
    # Folder to write (None: datasets/<env>_<frames>_<seed>).
    out: Path | None = None
    # Agent steps between two frames of an episode.
    every: int = 6
    # Share of frames for which positions and scores are written into RAM at random (Atari only).
    interventions: float = 0.25
    # How often a player (not random play) acts at random.
    epsilon: float = 0.05
    # Share of a player's episodes that are random play instead: detectors need what good players never get to see.
    random_episodes: float = 0.0
    # Tell motion and the last event in captions too, and keep the frame before each frame as NUMBER_before.png.
    history: bool = False
    # How the emulator runs, and what a player sees.
    world: EnvConfig = field(default_factory=EnvConfig)

    def __post_init__(self) -> None:
        if self.frames < 1 or self.every < 1:
            raise ValueError("frames and every must be at least 1")
        for name in ("interventions", "epsilon", "random_episodes"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is a share between 0 and 1, not {getattr(self, name)}")

    @property
    def path(self) -> Path:
        """The folder to write."""
        name = f"{names.short_name(names.resolve(self.env)).lower()}_{self.frames}_{self.seed}"
        return self.out if self.out is not None else Path("datasets") / name


def write(
    config: Config,
    player: Player | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
    who: str = "random",
    observe: Wrapper | None = None,
    seen_as: str | None = None,
) -> Path:
    """Write the dataset folder, or what is missing of it; `player` None: random play. Returns the folder.

    observe, seen_as: as in `fingerprint`, where `config.world.observe` is not "pixels".
    who: the player's name, for the record. Raises: NoTruthError; ValueError for a folder of other settings, or a world
    that hardly ever shows a provable frame.
    """
    game, path = game_of(config.env), config.path
    task = fingerprint(names.resolve(config.env), config.world, observe, seen_as)
    settings = asdict(config) | {"out": None, "player": who, "task": task.hash}
    if folder.begin(path, settings):
        on_frame(config.frames)
        return path if (path / "sheet.png").is_file() else draw_sheet(path).parent
    parts: list[folder.Part] = []
    done = 0
    with _opened(config, observe) as (env, truth):
        while done < config.frames:
            part = folder.read_part(path, len(parts))
            if part is None:
                part = _record_episode(config, env, truth, len(parts), done, player, on_frame)
                folder.write_part(path, len(parts), part)
            parts.append(part)
            done += len(part["frames"])
            tries = sum(part["tries"] for part in parts)
            if tries > PATIENCE * (done + MOST):
                raise ValueError(f"{config.env}: only {done} of {tries} frames could be proven")
            on_frame(done)
    folder.finish(path, game, task, settings, parts)
    draw_sheet(path)
    return path


@contextlib.contextmanager
def _opened(config: Config, observe: Wrapper | None) -> Iterator[tuple[gym.Env[Any, Any], WithTruth]]:
    """The world through the standard pipeline, and the truth that sees every frame of it."""
    found: list[WithTruth] = []

    def inner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        found.append(WithTruth(env, prove=False, keep_before=config.history))
        return found[0]

    env = make_env(config.env, config.world, inner, observe)
    try:
        yield env, found[0]
    finally:
        env.close()


def _record_episode(
    config: Config,
    env: gym.Env[Any, Any],
    truth: WithTruth,
    episode: int,
    first: int,
    player: Player | None,
    on_frame: Callable[[int], None],
) -> folder.Part:
    """Play one game and write its frames; their numbers begin with `first`."""
    game, rng = truth.tracker.game, np.random.default_rng([config.seed, episode])
    wanted = min(_share(config.frames, episode), config.frames - first)
    frames: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    tries = 0
    for before, picture, scene, changed in _visits(config, env, truth, rng, player):
        tries += 1
        if scene.problem is not None:
            rejected[scene.problem.partition(" at ")[0]] += 1
        else:
            number = first + len(frames)
            Image.fromarray(picture).save(folder.image_file(config.path, number))
            if config.history and before is not None:
                Image.fromarray(before).save(folder.image_file(config.path, number, "_before"))
            facts = game.facts(scene.slots, scene.event, scene.visible)
            told = dict(game.phrases) | (dict(game.history) if config.history else {})
            said = captions(facts, told) if told else []
            frames.append(folder.frame_record(number, picture.shape[:2], game, scene, facts, said, changed))
            if config.history:
                frames[-1]["image"]["before"] = folder.image_file(config.path, number, "_before").name
            on_frame(number + 1)
        if len(frames) == wanted:
            break
    return {"frames": frames, "rejected": dict(rejected), "tries": tries}


def _share(frames: int, episode: int) -> int:
    """How many frames an episode gives, if it is long enough: all nearly alike, so that every split has some."""
    episodes = min(max(frames // 20, FEWEST), MOST)
    if episode >= episodes:  # for those that were too short
        return -(-frames // episodes)
    return max(frames * (episode + 1) // episodes - frames * episode // episodes, 1)


def _visits(
    config: Config, env: gym.Env[Any, Any], truth: WithTruth, rng: np.random.Generator, player: Player | None
) -> Iterator[tuple[np.ndarray | None, np.ndarray, Scene, bool]]:
    """Frames of one episode: the picture before, the picture, its scene, and whether it was intervened in."""
    game, action = truth.tracker.game, None
    obs, _ = env.reset(seed=int(rng.integers(2**31)))
    env.action_space.seed(int(rng.integers(2**31)))
    if config.random_episodes and rng.random() < config.random_episodes:
        player = None
    over, step = False, 0
    while not over:
        chosen = None if player is None else player(np.asarray(obs), step == 0)
        if player is not None and rng.random() >= config.epsilon:
            action = chosen
        elif player is not None or action is None or rng.random() >= HOLD:
            action = env.action_space.sample()
        obs, _, terminated, truncated, _ = env.step(action)
        over, step = terminated or truncated, step + 1
        if step % config.every or over:
            continue
        if game.writes and rng.random() < config.interventions:
            yield *_elsewhere(truth, rng), True
        else:
            yield truth.before, game.picture(truth), truth.tracker.scene(truth), False


def _elsewhere(truth: WithTruth, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Scene]:
    """A frame with slots written at random; the game then goes on as if nothing had been done."""
    tracker, game = truth.tracker, truth.tracker.game
    with Aside(truth, tracker):
        intervene(truth, tracker, {name: rng.uniform(*game.ranges[name]) for name in game.writes})
        before = game.picture(truth)
        intervene(truth, tracker, {})  # one frame more: both pictures show the game after the intervention
        return before, game.picture(truth), tracker.scene(truth)


def expected_bytes(config: Config, observe: Wrapper | None = None) -> int:
    """About how large the folder becomes, from one frame."""
    game = game_of(config.env)
    with _opened(config, observe) as (env, truth):
        env.reset(seed=config.seed)
        env.action_space.seed(config.seed)
        for _ in range(20):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
        picture, scene = game.picture(truth), truth.tracker.scene(truth)
    record = folder.frame_record(0, picture.shape[:2], game, scene, {}, [], False)
    images = (2 if config.history else 1) * folder.png_bytes(picture)
    return config.frames * (images + len(json.dumps(record)) + 1_500)  # captions and slots


def empty_splits(path: Path) -> str:
    """A line that says which splits of a finished folder have no frames, or ""."""
    splits = json.loads((path / "dataset.json").read_text(encoding="utf-8"))["splits"]
    empty = " and ".join(name for name, frames in splits.items() if not frames)
    return (
        f"\nno frames for {empty}: no model can be trained on this folder; {FEWEST} frames or more fill every split"
        if empty
        else ""
    )


@command
def main(argv: list[str] | None = None) -> None:
    """Write a dataset folder."""
    config = cli(Config, argv)
    if config.world.observe != "pixels":
        raise ValueError("random play looks at nothing: leave out --observe (scenes of an agent: agents.play --scenes)")
    size = expected_bytes(config)
    print(f"{config.path}: {config.frames:,} frames of {config.env}, about {size / 1e6:,.0f} MB", flush=True)
    with Bar(f"recording {config.env}", config.frames, "frames") as bar:
        path = write(config, on_frame=bar.update)
    about = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
    rejected = sum(about["rejected"].values())
    print(
        f"{path}: {about['frames']:,} frames ({about['splits']}), {rejected} rejected; see {path / 'sheet.png'}"
        f"{empty_splits(path)}"
    )


if __name__ == "__main__":
    main()
