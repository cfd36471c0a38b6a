"""Datasets of labeled frames of an environment, written as a folder that any COCO tool reads.

    python -m envs.scenes --env Pong --frames 5000

The folder holds images/*.png at native size and annotations/: `instances_SPLIT.json` (boxes, masks, categories),
`captions_SPLIT.json` (five a frame), `slots_SPLIT.json` (positions, velocities, counts, facts), and beside them
dataset.json (task fingerprint, seeds, episodes, rejected frames), grammar.json (phrases of the captions) and sheet.png
(some frames with all labels drawn in). An episode belongs to one split: train, val or test. The same command writes the
same bytes; a stopped command continues when it is repeated, and a complete folder stays as it is.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
from annotated_types import Interval

from envs import names
from envs.commands import Bar, cli, command
from envs.config import EnvConfig, check_ranges
from envs.dataset import contact_sheet, folder, transitions
from envs.factory import Wrapper, make_env
from envs.fingerprint import fingerprint
from envs.ground_truth.captions import captions
from envs.ground_truth.interventions import intervene, restore_state
from envs.ground_truth.objects import Scene
from envs.ground_truth.registry import game_of
from envs.ground_truth.wrappers import GroundTruthInfo

# Returns the action for an observation; called at every step, also with whether it is the first step of an episode.
ActionFn = Callable[[np.ndarray, bool], Any]
MIN_EPISODES, MAX_EPISODES = 10, 20  # enough that every split has frames, and in large datasets more than one episode
REPEAT_PROBABILITY = 0.75  # of the action of random play, so that paddles travel
MAX_TRIES_PER_FRAME = 50
MAX_SHORT_EPISODES = 20  # in a row, of less than a quarter of `every` steps
Share = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class Agent:
    """An agent that plays instead of random play."""

    act: ActionFn
    # Name, for the record.
    name: str
    # As in `make_env`: the wrapper that makes the observation, where `world.observe` is not "pixels".
    observe: Wrapper | None = None
    # As in `fingerprint`: the name of the model that detects objects, if any.
    detector: str | None = None


@dataclass(frozen=True)
class Config:
    """Settings of a recorded data set."""

    # Any environment of envs/ground_truth/games.
    env: str = "Pong"
    # Labeled frames to write.
    frames: Annotated[int, Interval(ge=1, le=10**9)] = 5_000
    # Seed of play, interventions, captions and splits.
    seed: Annotated[int, Interval(ge=0, lt=2**63)] = 0
    # Folder to write (None: datasets/<env>_<frames>_<seed>).
    out: Path | None = None
    # Agent steps between two frames of an episode.
    every: Annotated[int, Interval(ge=1, le=10_000)] = 6
    # Share of frames for which positions and scores are written into RAM at random (Atari only).
    interventions: Share = 0.25
    # Probability of a random action where an agent plays.
    epsilon: Share = 0.05
    # Share of the episodes of an agent that are random play instead: detectors need frames that a good agent never
    # reaches.
    random_episodes: Share = 0.0
    # Describe motion and the last event in captions too, and keep the frame before each frame as NUMBER_before.png.
    history: bool = False
    # Keep every step as well, for models of the world: frames, executed actions, rewards, ends.
    transitions: bool = False
    # How the emulator runs, and what an agent sees.
    world: EnvConfig = field(default_factory=EnvConfig)

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def path(self) -> Path:
        """The folder to write."""
        name = f"{names.short_name(names.resolve(self.env)).lower()}_{self.frames}_{self.seed}"
        return self.out if self.out is not None else Path("datasets") / name


def write(config: Config, agent: Agent | None = None, on_frame: Callable[[int], None] = lambda done: None) -> Path:
    """Write the dataset folder, or the missing part of it. Returns the folder.

    agent: None for random play; on_frame: called with the number of frames written. Raises: NoGroundTruthError;
    ValueError for a folder of other settings, or an environment that hardly ever shows a provable frame.
    """
    with folder.only_writer(config.path):
        return _write(config, agent, on_frame)


def _write(config: Config, agent: Agent | None, on_frame: Callable[[int], None]) -> Path:
    game, path = game_of(config.env), config.path
    observe, detector = (agent.observe, agent.detector) if agent is not None else (None, None)
    task = fingerprint(names.resolve(config.env), config.world, observe, detector)
    player = "random" if agent is None else agent.name
    settings = asdict(config) | {"out": None, "player": player, "task": task.hash}
    if not config.transitions:
        del settings["transitions"]  # as in folders from before there were any
    if folder.begin(path, settings):
        on_frame(config.frames)
        if not (path / contact_sheet.FILE_NAME).is_file():
            contact_sheet.draw_contact_sheet(path)
        return path
    parts: list[folder.EpisodePart] = []
    short: list[int] = []  # lengths of the last episodes, as long as none had a frame
    done = 0
    with _open_env(config, agent) as (env, truth, recorder):
        while done < config.frames:
            part = folder.read_part(path, len(parts))
            if part is None:
                part = _record_episode(config, env, truth, recorder, len(parts), done, agent, on_frame, short)
                short = [] if part["tries"] else short
                _refuse_short_episodes(config, short)
                folder.write_part(path, len(parts), part)
            parts.append(part)
            done += len(part["frames"])
            tries = sum(part["tries"] for part in parts)
            if tries > MAX_TRIES_PER_FRAME * (done + MAX_EPISODES):
                raise ValueError(f"{config.env}: only {done} of {tries} frames could be proven")
            on_frame(done)
    folder.finish(path, game, task, settings, parts)
    contact_sheet.draw_contact_sheet(path)
    return path


@contextlib.contextmanager
def _open_env(
    config: Config, agent: Agent | None
) -> Iterator[tuple[gym.Env[Any, Any], GroundTruthInfo, transitions.Recorder | None]]:
    """Make the environment of the standard pipeline, the wrapper inside it that sees every frame, and the recorder."""
    inside: list[GroundTruthInfo] = []
    recorders: list[transitions.Recorder] = []
    world, sticky = config.world, transitions.sticky_to_draw(config.env, config.world) if config.transitions else 0.0

    def inner(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        bottom = transitions.ExecutedActions(env, sticky) if config.transitions else env
        inside.append(GroundTruthInfo(bottom, prove=False, keep_before=config.history))
        if isinstance(bottom, transitions.ExecutedActions):
            recorders.append(transitions.Recorder(bottom, inside[0]))
        return inside[0]

    if config.transitions and world.sticky != 0.0:
        world = replace(world, sticky=0.0)
    env = make_env(config.env, world, inner, None if agent is None else agent.observe)
    try:
        yield env, inside[0], recorders[0] if recorders else None
    finally:
        env.close()


def _record_episode(
    config: Config,
    env: gym.Env[Any, Any],
    truth: GroundTruthInfo,
    recorder: transitions.Recorder | None,
    episode: int,
    first: int,
    agent: Agent | None,
    on_frame: Callable[[int], None],
    lengths: list[int],
) -> folder.EpisodePart:
    """Play an episode and write its frames; their numbers begin with `first`. lengths: where its steps are noted."""
    game, rng = truth.reader.game, np.random.default_rng([config.seed, episode])
    phrases = game.all_phrases if config.history else dict(game.phrases)
    limit = min(_frames_of(config.frames, episode), config.frames - first)
    frames: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    tries = 0
    for before, image, scene, intervened in _play_episode(config, env, truth, recorder, rng, agent, lengths):
        tries += 1
        if scene.problem is not None:
            rejected[scene.problem.partition(" at ")[0]] += 1
        else:
            number = first + len(frames)
            folder.save_image(image, folder.image_file(config.path, number))
            if config.history and before is not None:
                folder.save_image(before, folder.image_file(config.path, number, "_before"))
            facts = game.facts(scene.slots, scene.event, scene.visible)
            sentences = captions(facts, phrases) if phrases else []
            frames.append(folder.frame_record(number, image.shape[:2], game, scene, facts, sentences, intervened))
            if recorder is not None and not intervened:
                recorder.label(number)
            if config.history:
                frames[-1]["image"]["before"] = folder.image_file(config.path, number, "_before").name
            on_frame(number + 1)
        if len(frames) == limit:
            break
    if recorder is not None:
        recorder.write(transitions.transitions_file(config.path, episode))
    return {"frames": frames, "rejected": dict(rejected), "tries": tries}


def _refuse_short_episodes(config: Config, lengths: list[int]) -> None:
    """Raise ValueError when the last episodes ended long before a frame was due, which would go on forever."""
    if len(lengths) >= MAX_SHORT_EPISODES and max(lengths) < config.every / 4:
        raise ValueError(
            f"no frame in {len(lengths)} episodes of {config.env}: the longest had {max(lengths)} steps, and one frame"
            f" is taken in every {config.every}; use a smaller --every"
        )


def _frames_of(frames: int, episode: int) -> int:
    """Return the frames of an episode, if it is long enough: nearly equal shares, so that every split has some."""
    episodes = min(max(frames // 20, MIN_EPISODES), MAX_EPISODES)
    if episode >= episodes:  # makes up for episodes that were too short
        return -(-frames // episodes)
    return max(frames * (episode + 1) // episodes - frames * episode // episodes, 1)


def _play_episode(
    config: Config,
    env: gym.Env[Any, Any],
    truth: GroundTruthInfo,
    recorder: transitions.Recorder | None,
    rng: np.random.Generator,
    agent: Agent | None,
    lengths: list[int],
) -> Iterator[tuple[np.ndarray | None, np.ndarray, Scene, bool]]:
    """Yield frames of an episode: the image before, the image, its scene, and whether it is an intervention."""
    game, action = truth.reader.game, None
    obs, _ = env.reset(seed=int(rng.integers(2**31)))
    env.action_space.seed(int(rng.integers(2**31)))
    if config.random_episodes and rng.random() < config.random_episodes:
        agent = None
    over, step = False, 0
    if recorder is not None:
        recorder.begin()
        recorder.show()
    while not over:
        chosen = None if agent is None else agent.act(np.asarray(obs), step == 0)
        if agent is not None and rng.random() >= config.epsilon:
            action = chosen
        elif agent is not None or action is None or rng.random() >= REPEAT_PROBABILITY:
            action = env.action_space.sample()
        obs, reward, terminated, truncated, _ = env.step(action)
        over, step = terminated or truncated, step + 1
        if recorder is not None:
            recorder.step(action, reward, terminated, truncated)
        if step % config.every or over:
            continue
        if game.writes and rng.random() < config.interventions:
            yield *_intervened_frame(truth, rng), True
        else:
            yield truth.before, game.image(truth), truth.reader.scene(truth), False
    lengths.append(step)


def _intervened_frame(truth: GroundTruthInfo, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Scene]:
    """Return a frame with slots written at random; the state of the game is restored afterward."""
    reader, game = truth.reader, truth.reader.game
    with restore_state(truth, reader):
        intervene(truth, reader, {name: rng.uniform(*game.ranges[name]) for name in game.writes})
        before = game.image(truth)
        intervene(truth, reader, {})  # one more frame, so that both images show the game after the intervention
        return before, game.image(truth), reader.scene(truth)


def expected_bytes(config: Config, agent: Agent | None = None) -> int:
    """Estimate the size of the folder from one frame."""
    game = game_of(config.env)
    with _open_env(config, agent) as (env, truth, _):
        env.reset(seed=config.seed)
        env.action_space.seed(config.seed)
        for _ in range(20):
            _, _, terminated, truncated, _ = env.step(env.action_space.sample())
            if terminated or truncated:
                break
        image, scene = game.image(truth), truth.reader.scene(truth)
    record = folder.frame_record(0, image.shape[:2], game, scene, {}, [], False)
    image_bytes = (2 if config.history else 1) * folder.png_bytes(image)
    return config.frames * (image_bytes + len(json.dumps(record)) + 1_500)  # captions and slots


def empty_splits(path: Path) -> str:
    """Return a line that names the empty splits of a complete folder, or ""."""
    splits = folder.read_summary(path)["splits"]
    empty = " and ".join(name for name, frames in splits.items() if not frames)
    if not empty:
        return ""
    advice = f"no model can be trained on this folder; {MIN_EPISODES} frames or more fill every split"
    return f"\nno frames for {empty}: {advice}"


@command
def main(argv: list[str] | None = None) -> None:
    """Write a dataset folder."""
    config = cli(Config, argv)
    if config.world.observe != "pixels":
        raise ValueError("random play observes nothing: leave out --observe (scenes of an agent: agents.play --scenes)")
    size = expected_bytes(config)
    print(f"{config.path}: {config.frames:,} frames of {config.env}, about {size / 1e6:,.0f} MB", flush=True)
    with Bar(f"recording {config.env}", config.frames, "frames") as bar:
        path = write(config, on_frame=bar.update)
    about = folder.read_summary(path)
    rejected = sum(about["rejected"].values())
    print(
        f"{path}: {about['frames']:,} frames ({about['splits']}), {rejected} rejected;"
        f" see {path / contact_sheet.FILE_NAME}{empty_splits(path)}"
    )


if __name__ == "__main__":
    main()
