"""The truth of every game against its pixels: what is claimed is there, what is there is claimed, and a lie is seen."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import PassiveEnvChecker

from envs import names
from envs.config import EnvConfig
from envs.factory import UnusableEnvError, make_env, make_vec
from envs.fingerprint import fingerprint
from envs.ground_truth.captions import PHRASINGS, captions, direction, place
from envs.ground_truth.interventions import Aside, intervene
from envs.ground_truth.objects import Box, Claim, Game, NoPictureError, Object, Scene, emulator, no_event
from envs.ground_truth.registry import FAMILIES, NoTruthError, game_of, supported
from envs.ground_truth.state_reader import Tracker, vector, vector_names
from envs.ground_truth.verify import prove
from envs.ground_truth.wrappers import ObjectObservation, WithTruth, object_view
from rl_gen_lab.data.vocabulary import facts_in

# Box2D's C module gives Python warnings while it is imported; as errors they would end the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")


def game_name(env_id: str) -> str:
    atari = names.is_atari(env_id)
    return str(names.spec(env_id).kwargs["game"]) if atari else names.short_name(env_id).lower()


IDS = sorted(env_id for env_id in names.aliases().values() if game_name(env_id) in supported())


def play(env_id: str, frames: int, seed: int = 0) -> Iterator[tuple[Any, Scene]]:
    """Lazy random play, frame by frame; worlds that are drawn are slow, and give a tenth of the frames."""
    rng = np.random.default_rng(seed)
    atari = names.is_atari(env_id)
    env = WithTruth(gym.make(env_id, **({"frameskip": 1} if atari else {"render_mode": "rgb_array"})))
    action = 0
    _, info = env.reset(seed=seed)
    for _ in range(frames if atari else frames // 10):
        yield env, info["objects"]
        if rng.random() < 0.15 or not atari:
            action = int(rng.integers(env.action_space.n))  # type: ignore[attr-defined]
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    env.close()


def test_every_file_of_games_reads_a_world() -> None:
    assert {game_name(env_id) for env_id in IDS} == set(supported()) - set(FAMILIES.values())


@pytest.mark.parametrize("env_id", IDS)
def test_state_and_pixels_of_a_game_prove_each_other(env_id: str) -> None:
    problems = [scene.problem for _, scene in play(env_id, 1_000)]
    share = 0.005 if game_name(env_id) in ("pong", "breakout") else 0.02
    failed = [problem for problem in problems if problem]
    assert len(failed) <= share * len(problems), failed[:5]


@pytest.mark.parametrize("env_id", IDS)
def test_masks_and_ground_together_are_the_whole_field(env_id: str) -> None:
    """Drawn anew from nothing but ground and masks, in the colours of the screen, every frame is the screen."""
    game = game_of(env_id)
    x0, y0, w, h = game.field
    for i, (env, scene) in enumerate(play(env_id, 400, seed=1)):
        if (i % 20 and names.is_atari(env_id)) or scene.problem:
            continue
        screen, drawn = game.screen(env), bare(game, env)
        owner = np.zeros((h, w), int)
        for thing in scene.objects:
            x, y, width, height = thing.box
            assert thing.category in game.categories
            assert thing.mask.shape == (height, width)
            assert thing.mask.any(0).all() or thing.mask.any(1).any()
            assert thing.mask[0].any() and thing.mask[-1].any() and thing.mask[:, 0].any() and thing.mask[:, -1].any()
            part = place_of(thing, game.field)
            drawn[part][thing.mask] = screen[y : y + height, x : x + width][thing.mask]
            owner[part] += thing.mask
        assert owner.max() <= 1, "a pixel belongs to one object"
        np.testing.assert_array_equal(drawn, screen[y0 : y0 + h, x0 : x0 + w])


def bare(game: Game, env: Any) -> np.ndarray:
    """The field with nothing in it, (h, w)."""
    picture = np.empty((game.field[3], game.field[2]), game.screen(env).dtype)
    picture[:] = game.ground(game.state(env))
    return picture


def place_of(thing: Object, field: Box) -> tuple[slice, slice]:
    """Where an object stands in the field."""
    x, y, w, h = thing.box
    return np.s_[y - field[1] : y - field[1] + h, x - field[0] : x - field[0] + w]


@pytest.mark.parametrize("env_id", IDS)
def test_a_speck_is_noticed(env_id: str) -> None:
    game = game_of(env_id)
    x, y, w, h = game.field
    for i, (env, scene) in enumerate(play(env_id, 400, seed=2)):
        if scene.problem or (i % 40 and names.is_atari(env_id)):
            continue
        free = np.ones((h, w), bool)
        for thing in scene.objects:
            free[place_of(thing, game.field)] = False
        specks = np.argwhere(free)
        dirty = game.screen(env).copy()
        dirty[tuple(specks[len(specks) // 2] + (y, x))] = 255  # no palette index of ALE
        assert "unexplained" in str(prove(game, game.state(env), dirty)[1])


# Always or often at an edge of the field, and yet whole.
STANDING = ("cannon", "counter", "score", "paddle", "rival", "track", "ground")


@pytest.mark.parametrize("env_id", IDS)
def test_every_object_that_is_erased_is_missed(env_id: str) -> None:
    """Unless it is cut off by an edge of the field: of what comes in or leaves, no pixel may be seen yet."""
    game, atari = game_of(env_id), names.is_atari(env_id)
    x, y, w, h = game.field
    tried: Counter[str] = Counter()
    for i, (env, scene) in enumerate(play(env_id, 1_300 if atari else 900, seed=2)):
        if scene.problem or i % (17 if atari else 5):  # no divisor of how things blink
            continue
        state, screen, empty = game.state(env), game.screen(env), bare(game, env)
        erased: Counter[str] = Counter()
        for thing in scene.objects:
            left, top, width, height = thing.box
            at_edge = left == x or top == y or left + width == x + w or top + height == y + h
            if erased[thing.category] == 3 or (at_edge and thing.category not in STANDING):
                continue
            erased[thing.category] += 1
            gone = screen.copy()
            gone[top : top + height, left : left + width][thing.mask] = empty[place_of(thing, game.field)][thing.mask]
            assert prove(game, state, gone)[1] is not None, (i, thing.category, thing.box)
        tried += erased
    assert set(tried) >= set(game.categories) - {"mother ship"} and min(tried.values()) >= 3, tried


def test_a_claim_that_is_hidden_by_another_may_be_incomplete() -> None:
    def claims(state: np.ndarray) -> list[Claim]:
        return [Claim("front", (2, 2, 4, 4), (7,)), Claim("back", (0, 0, 4, 4), (9,))]

    game = Game(("front", "back"), (0, 0, 10, 10), lambda s: 0, claims, lambda s: {}, {})
    screen = np.zeros((10, 10), np.uint8)
    screen[0:4, 0:4] = 9
    screen[2:6, 2:6] = 7
    objects, problem = prove(game, np.zeros(1), screen)
    assert problem is None
    assert [(thing.box, int(thing.mask.sum())) for thing in objects] == [((2, 2, 4, 4), 16), ((0, 0, 4, 4), 12)]
    screen[0, 0] = 0  # a hole where nothing hides it
    assert prove(game, np.zeros(1), screen)[1] == "back fills 11 of 16 pixels at (0, 0, 4, 4)"


def test_pong_boxes_are_where_the_ball_is_seen() -> None:
    """The ball is the only thing of its colour between the walls: its box needs no RAM."""
    seen = 0
    for env, scene in play("ALE/Pong-v5", 800, seed=3):
        white = np.argwhere(emulator(env).getScreen()[34:194] == 14)
        balls = [thing for thing in scene.objects if thing.category == "ball"]
        assert bool(len(white)) == bool(balls) or scene.problem
        if balls and not scene.problem:
            (y1, x1), (y2, x2) = white.min(0) + np.array((34, 0)), white.max(0) + np.array((35, 1))
            assert balls[0].box == (x1, y1, x2 - x1, y2 - y1)
            assert abs(scene.slots["ball_x"] - (x1 + x2) / 2) <= 1 and abs(scene.slots["ball_y"] - (y1 + y2) / 2) <= 2
            seen += 1
    assert seen > 200


def test_velocity_is_the_difference_of_two_reads() -> None:
    before: dict[str, float] = {}
    moved = 0
    for _, scene in play("ALE/Pong-v5", 300, seed=4):
        for name in ("ball_x", "ball_y", "player_y"):
            expected = scene.slots[name] - before.get(name, np.nan)
            np.testing.assert_equal(scene.slots[f"{name}_velocity"], expected)
        moved += scene.slots["ball_x_velocity"] != 0
        before = scene.slots
    assert moved > 50


def test_a_point_is_told_until_something_else_happens() -> None:
    events = [(scene.slots["enemy_score"], scene.event) for _, scene in play("ALE/Pong-v5", 700)]
    first = next(i for i, (score, _) in enumerate(events) if score == 1)
    assert all(event in ("", "player hit", "enemy hit") for _, event in events[:first])
    assert events[first][1] == events[first + 1][1] == "enemy scored"


@pytest.mark.parametrize("env_id", [i for i in IDS if game_of(i).writes])
def test_written_positions_are_seen_and_leave_no_trace(env_id: str) -> None:
    rng, proven, tries = np.random.default_rng(0), 0, 0
    untouched = play(env_id, 400, seed=5)
    for i, (env, scene) in enumerate(play(env_id, 400, seed=5)):
        game, ale = env.tracker.game, emulator(env)
        other = emulator(next(untouched)[0])
        np.testing.assert_array_equal(ale.getRAM(), other.getRAM())
        np.testing.assert_array_equal(ale.getScreen(), other.getScreen())
        if i % 20 or not scene.slots.get("ball_visible", 1):
            continue
        with Aside(env, env.tracker):
            wanted = {name: rng.uniform(*game.ranges[name]) for name in game.writes}
            intervene(env, env.tracker, wanted)
            elsewhere = env.tracker.scene(env)
            proven, tries = proven + (elsewhere.problem is None), tries + 1
            assert env.tracker.slots is not scene.slots
        assert env.tracker.slots is scene.slots
    assert tries > 5 and proven >= 0.8 * tries


def test_a_ball_is_put_where_it_was_asked_to_be() -> None:
    for i, (env, scene) in enumerate(play("ALE/Pong-v5", 200, seed=6)):
        if i < 150 or not scene.slots["ball_visible"]:
            continue
        intervene(env, env.tracker, {"ball_x": 100.0, "ball_y": 120.0})
        ball = env.tracker.scene(env).objects[0]
        assert ball.category == "ball"
        assert abs(ball.box[0] + 1 - 100) <= 3 and abs(ball.box[1] + 2 - 120) <= 5  # it has moved on for one frame
        return
    raise AssertionError("no ball was in play")


def test_an_unknown_slot_cannot_be_written() -> None:
    env = WithTruth(gym.make("ALE/Pong-v5", frameskip=1))
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"'wind' cannot be written; these can: ball_x"):
        intervene(env, env.tracker, {"wind": 1.0})


def test_tennis_says_the_score_that_is_on_the_board() -> None:
    """Every picture of the board belongs to one score, and every score has one picture."""
    said: dict[bytes, set[str]] = {}
    for i, (env, scene) in enumerate(play("ALE/Tennis-v5", 2_400, seed=3)):
        if i % 20 == 0:
            facts = env.tracker.game.facts(scene.slots, scene.event, scene.visible)
            said.setdefault(env.tracker.game.screen(env)[4:13, 8:].tobytes(), set()).add(facts["score"])
    assert all(len(scores) == 1 for scores in said.values())
    assert len(said) == len(set().union(*said.values())) >= 4


def test_space_invaders_score_is_the_sum_of_rewards() -> None:
    env = WithTruth(gym.make("ALE/SpaceInvaders-v5", frameskip=1), prove=False)
    env.reset(seed=4)
    env.action_space.seed(4)
    total = 0.0
    for _ in range(1_500):
        _, reward, terminated, _, _ = env.step(env.action_space.sample())
        total += float(reward)
        assert env.tracker.slots["score"] == total
        if terminated:
            break
    assert total > 50
    env.close()


def test_space_invaders_shots_are_where_they_are_seen() -> None:
    seen: Counter[str] = Counter()
    for _, scene in play("ALE/SpaceInvaders-v5", 800, seed=3):
        slots = scene.slots
        flying = [(slots[f"{name}_x"], slots[f"{name}_y"]) for name in ("missile", "bomb_0", "bomb_1")]
        for thing in scene.objects if scene.problem is None else ():
            x, y, _, h = thing.box
            places = {"missile": flying[:1], "bomb": flying[1:]}.get(thing.category, [])
            near = [place for place in places if place[0] == x and abs(y + h / 2 - place[1]) <= 8]
            # One that hit something is drawn once more, when it is in flight no longer.
            seen[thing.category] += bool(near)
            seen[f"{thing.category} ended"] += bool(places) and not near
    assert seen["missile"] > 100 and seen["bomb"] > 100
    assert seen["missile ended"] < 0.1 * seen["missile"] and seen["bomb ended"] < 0.1 * seen["bomb"]


def test_a_mother_ship_is_seen_when_it_flies_and_missed_when_it_is_erased() -> None:
    env = WithTruth(gym.make("ALE/SpaceInvaders-v5", frameskip=1), prove=False)
    env.reset(seed=0)
    game, rng, action, flown = env.tracker.game, np.random.default_rng(0), 0, 0
    for i in range(4_000):
        if rng.random() < 0.15:
            action = int(rng.integers(6))
        _, _, terminated, _, _ = env.step(action)
        if terminated:
            env.reset()
        if i % 9 or not env.tracker.slots["ship_visible"]:
            continue
        screen, state = game.screen(env).copy(), game.state(env)
        scene = env.tracker.scene(env)
        violet = np.argwhere(screen == 82)
        assert len(violet) and scene.slots["ship_x"] == pytest.approx(violet[:, 1].mean(), abs=4)
        if scene.problem is None:
            flown += 1
            assert scene.visible["mother ship"] == 1 and not scene.visible["score"]
            screen[screen == 82] = 0
            assert "mother ship" in str(prove(game, state, screen)[1])
        if flown == 20:
            break
    assert flown == 20
    env.close()


def test_a_cannon_that_blinks_is_told_to_be_out_of_sight() -> None:
    said: Counter[tuple[bool, bool]] = Counter()
    for env, scene in play("ALE/SpaceInvaders-v5", 200, seed=1):
        facts = env.tracker.game.facts(scene.slots, scene.event, scene.visible)
        green = bool((env.tracker.game.screen(env)[185:195] == 196).any())
        assert scene.slots["cannon_visible"] == green
        said[green, facts["cannon"] == "out of sight"] += 1
    assert set(said) == {(True, False), (False, True)} and min(said.values()) > 30


def test_of_a_lander_out_of_sight_nothing_else_is_told() -> None:
    env = WithTruth(gym.make("LunarLander-v3", render_mode="rgb_array"))
    _, info = env.reset(seed=0)
    world, game = env.unwrapped, env.tracker.game
    phrases = set(game.phrases)
    scene = info["objects"]
    assert set(game.facts(scene.slots, scene.event, scene.visible)) >= phrases
    for body in (world.lander, *world.legs):  # type: ignore[attr-defined]
        body.position = (10.0, 30.0)
    env.tracker.read(env)
    scene = env.tracker.scene(env)
    facts = game.facts(scene.slots, scene.event, scene.visible)
    assert scene.problem is None and not scene.visible["lander"]
    assert {fact: words for fact, words in facts.items() if fact in phrases} == {"lander": "out of sight"}
    assert captions(facts, game.phrases)[0] == "the lander is out of sight."
    env.close()


def test_the_picture_of_a_lander_is_the_same_until_it_moves() -> None:
    """Gymnasium lets sparks fade whenever it draws: a frame must not depend on how often it is looked at."""
    sparks = 0
    for env, scene in play("LunarLander-v3", 300, seed=9):
        game = env.tracker.game
        first = game.picture(env)
        again = env.tracker.scene(env)
        np.testing.assert_array_equal(game.picture(env), first)
        assert [thing.box for thing in again.objects] == [thing.box for thing in scene.objects]
        sparks += sum(thing.category == "spark" for thing in again.objects)
    assert sparks > 10


def test_breakout_bricks_are_those_of_the_screen() -> None:
    broken = 0
    for i, (env, _) in enumerate(play("ALE/Breakout-v5", 300, seed=7)):
        if i < 100 or i % 10:
            continue
        with Aside(env, env.tracker):
            intervene(env, env.tracker, {"bricks": float(i % 100)})
            scene, screen = env.tracker.scene(env), emulator(env).getScreen()
            corners = {thing.box[:2] for thing in scene.objects if thing.category == "brick"}
            # A brick is seen by its four corners, a ball covers two of them at most.
            for row in range(6):
                for column in range(18):
                    x, y = 8 + 8 * column, 57 + 6 * row
                    lit = sum(int(screen[b, a] != 0) for a in (x, x + 7) for b in (y, y + 5))
                    assert ((x, y) in corners) == (lit > 2) or scene.problem
            broken += 108 - len(corners)
    assert broken > 200


# ---- worlds without truth, and views of those with it


def test_a_world_without_truth_is_named_with_those_that_have_it() -> None:
    with pytest.raises(NoTruthError, match=r"no truth for ALE/Qbert-v5: known are .*breakout.*pong"):
        game_of("Qbert")
    with pytest.raises(NoTruthError):
        config = EnvConfig(observe="objects")
        make_vec("Qbert", 1, config, observe=object_view(config))


def test_objects_need_a_wrapper_that_says_what_is_seen() -> None:
    with pytest.raises(UnusableEnvError, match="needs a wrapper"):
        make_vec("Pong", 1, EnvConfig(observe="objects"))


@pytest.mark.parametrize("env_id", ["CartPole-v1", "LunarLander-v3"])
def test_a_world_made_without_pictures_is_told_how_to_make_it(env_id: str) -> None:
    with pytest.raises(
        NoPictureError, match=rf'{env_id} draws no picture: make it with gym.make\("{env_id}", render_mode='
    ):
        WithTruth(gym.make(env_id))
    env = WithTruth(gym.make(env_id), prove=False)  # slots need no picture
    env.reset(seed=0)
    with pytest.raises(NoPictureError, match="draws no picture"):
        env.tracker.scene(env)
    env.close()


def test_older_ids_of_a_game_have_the_same_truth() -> None:
    assert game_of("PongNoFrameskip-v4") is game_of("Pong")


def test_objects_as_observation_keep_gymnasium_s_contract() -> None:
    seen = []
    for _ in range(2):
        env = PassiveEnvChecker(ObjectObservation(gym.make("ALE/Pong-v5", frameskip=1), frame_skip=4, noop_max=30))
        obs, _ = env.reset(seed=7)
        env.action_space.seed(7)
        seen.append([obs])
        for _ in range(100):
            obs, *_ = env.step(env.action_space.sample())
            assert obs in env.observation_space
            seen[-1].append(obs)
        env.close()
    np.testing.assert_array_equal(*seen)
    assert len(np.unique(seen[0], axis=0)) > 80


def test_objects_are_scaled_and_absent_ones_are_zero() -> None:
    game = game_of("Pong")
    slots = dict.fromkeys(vector_names(game), np.nan) | {"ball_visible": 1.0, "ball_x": 40.0, "player_y_velocity": -4.0}
    seen = dict(zip(vector_names(game), vector(game, slots).tolist(), strict=True))
    assert seen["ball_visible"] == 1.0 and seen["ball_x"] == -0.5 and seen["player_y_velocity"] == -0.5
    assert seen["enemy_y"] == 0.0


@pytest.mark.parametrize("name", ["Pong", "Breakout"])
def test_vector_and_single_worlds_see_the_same_objects(name: str) -> None:
    config = EnvConfig(observe="objects", sticky=0.0, noop_max=0)
    view = object_view(config)
    single, vec = make_env(name, config, observe=view), make_vec(name, 2, config, observe=view)
    obs, _ = single.reset(seed=3)
    many, _ = vec.reset(seed=3)
    assert many.dtype == np.float32
    for action in (1, 2, 3, 2, 2) * 8:
        np.testing.assert_array_equal(obs, many[0])
        obs, reward, *_ = single.step(action)
        many, rewards, *_ = vec.step(np.array([action, action]))
        assert reward == rewards[0]
    single.close()
    vec.close()


def test_a_task_seen_as_objects_has_its_own_fingerprint() -> None:
    config = EnvConfig(observe="objects")
    pixels, objects = fingerprint("ALE/Pong-v5", EnvConfig()), fingerprint("ALE/Pong-v5", config, object_view(config))
    assert pixels.hash != objects.hash and objects.text.endswith("seen as objects")
    assert "observe" not in pixels.fields, "scores recorded before stay comparable"


def test_the_tracker_proves_the_frame_it_read() -> None:
    env = gym.make("ALE/Pong-v5", frameskip=1)
    env.reset(seed=0)
    tracker = Tracker(replace(game_of("Pong"), moving=(), event=no_event))
    tracker.reset(env)
    for _ in range(70):
        env.step(0)
        tracker.read(env)
    scene = tracker.scene(env)
    assert scene.problem is None and len(scene.objects) == 3 and "ball_x_velocity" not in scene.slots
    env.close()


# ---- words


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [(0, 0, "at the upper left"), (45, 45, "in the middle"), (89, 45, "at the right"), (45, 89, "at the lower middle")],
)
def test_places_are_named_by_ninths(x: float, y: float, words: str) -> None:
    assert place(x, y, (0, 0, 90, 90)) == words


def test_directions_have_y_downwards() -> None:
    assert direction(-1, 2) == "down and left" and direction(0, -1) == "up"
    assert direction(np.nan, 0) == "nowhere"


@pytest.mark.parametrize("env_id", IDS)
def test_captions_are_read_back_as_the_facts_they_tell(env_id: str) -> None:
    game, seen, heard = game_of(env_id), set(), set[str]()
    told = dict(game.phrases) | dict(game.history)
    for i, (_, scene) in enumerate(play(env_id, 600, seed=8)):
        if i % 20 and names.is_atari(env_id):
            continue
        facts = {
            fact: words for fact, words in game.facts(scene.slots, scene.event, scene.visible).items() if fact in told
        }
        seen.add(tuple(facts.values()))
        heard |= set(facts)
        for caption in captions(facts, told):
            assert facts_in(caption, {fact: list(patterns) for fact, patterns in told.items()}) == facts
    assert len(seen) > 1 and heard == set(told)


@pytest.mark.parametrize("name", supported())
def test_every_fact_of_a_game_can_be_said_in_five_ways_that_differ(name: str) -> None:
    game: Game = importlib.import_module(f"envs.ground_truth.games.{name}").GAME
    told = dict(game.phrases) | dict(game.history)
    for fact, patterns in told.items():
        assert len(patterns) == PHRASINGS and all(p.count("{}") == 1 for p in patterns), fact
        assert len(set(patterns)) == PHRASINGS, fact
    every = [pattern for patterns in told.values() for pattern in patterns]
    assert len(set(every)) == len(every), "a phrase says which fact it tells"
    facts = dict.fromkeys(told, "xyz")
    assert len(set(captions(facts, told))) == PHRASINGS
