"""MiniGrid and BabyAI, an optional extra: every tile is drawn with and without what stands on it.

What a thing adds to its tile is its mask; the picture must show exactly the tiles that the grid says, lit where the
agent looks. Walls and floors are ground. The worlds differ in size: the field is as large as the largest.

    python -m envs.scenes --env minigrid:MiniGrid-DoorKey-8x8-v0 --frames 1000
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import Facts, place
from envs.ground_truth.objects import Claim, Game, Slots, Visible, rendered

LARGEST = 50  # tiles
TILE = 32  # px
FIELD = (0, 0, LARGEST * TILE, LARGEST * TILE)
WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA = range(2, 10)  # kinds of things, as the grid encodes them
THINGS = {DOOR: "door", KEY: "key", BALL: "ball", BOX: "box", GOAL: "goal", LAVA: "lava"}
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
OPEN, CLOSED, LOCKED = range(3)
NOBODY = -1


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """(H + 1, W, 5) int64: for every tile kind, colour, state, direction of the agent there or NOBODY, whether lit.

    One row more begins with kind and colour of what the agent carries, kind 0 for nothing.
    Raises: ValueError for a world that is drawn otherwise: in the agent's own view, or in tiles of another size.
    """
    world: Any = env.unwrapped
    if world.agent_pov or world.tile_size != TILE:
        raise ValueError(f"truth of MiniGrid needs agent_pov=False and tile_size={TILE}")
    found = np.zeros((world.height + 1, world.width, 5), np.int64)
    found[:-1, :, :3] = world.grid.encode().transpose(1, 0, 2)
    found[:-1, :, 3] = NOBODY
    x, y = world.agent_pos
    found[y, x, 3] = world.agent_dir
    if world.highlight:
        _, seen = world.gen_obs_grid()
        for i, j in np.argwhere(seen):
            column, row = _in_the_grid(world, int(i), int(j))
            if 0 <= column < world.width and 0 <= row < world.height:
                found[row, column, 4] = 1
    if world.carrying is not None:
        found[-1, 0, :2] = world.carrying.encode()[:2]
    return found


def _in_the_grid(world: Any, i: int, j: int) -> tuple[int, int]:
    """Column and row of a tile at i to the right, j down, in the view of the agent, who stands below the middle."""
    ahead, aside = world.agent_view_size - 1 - j, i - world.agent_view_size // 2
    place = np.asarray(world.agent_pos) + ahead * world.dir_vec + aside * world.right_vec
    return int(place[0]), int(place[1])


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """(H, W) int64: red, green and blue in one number."""
    return _packed(rendered(env))


def _packed(rgb: np.ndarray) -> np.ndarray:
    wide = rgb.astype(np.int64)
    packed: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed


@functools.lru_cache(maxsize=4_096)
def _tile(kind: int, colour: int, status: int, agent: int, lit: int) -> np.ndarray:
    """(32, 32) int64, a tile as MiniGrid draws it."""
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    thing = WorldObj.decode(kind, colour, status)
    return _packed(Grid.render_tile(thing, None if agent == NOBODY else agent, bool(lit), TILE))


def ground(state: np.ndarray) -> np.ndarray:
    """(H, W) int64: floors and walls."""
    tiles = state[:-1]
    height, width = tiles.shape[:2]
    rows = []
    for row in tiles.tolist():
        rows.append([_bare(kind, colour, status, lit) for kind, colour, status, _, lit in row])
    return np.array(rows).transpose(0, 2, 1, 3).reshape(height * TILE, width * TILE)


def _bare(kind: int, colour: int, status: int, lit: int) -> np.ndarray:
    """A tile without what stands on it."""
    return _tile(1, 0, 0, NOBODY, lit) if kind in THINGS else _tile(kind, colour, status, NOBODY, lit)


@functools.lru_cache(maxsize=4_096)
def _added(category: str, tile: tuple[int, int, int, int, int], agent: int) -> Claim:
    """What a thing, or the agent (its direction, else NOBODY), adds to a tile in the upper left corner."""
    kind, colour, status, _, lit = tile
    if agent == NOBODY:
        before, after = _bare(kind, colour, status, lit), _tile(kind, colour, status, NOBODY, lit)
    else:
        before, after = _tile(kind, colour, status, NOBODY, lit), _tile(kind, colour, status, agent, lit)
    changed: np.ndarray = before != after
    return Claim(category, (0, 0, TILE, TILE), tuple(np.unique(after[changed]).tolist()), inside=changed)


def claims(state: np.ndarray) -> list[Claim]:
    """The agent, then what stands on the tiles; 32x32 px at most."""
    found, under = [], []
    for row, tiles in enumerate(state[:-1].tolist()):
        for column, tile in enumerate(tiles):
            at = (column * TILE, row * TILE, TILE, TILE)
            if tile[3] != NOBODY:
                found.append(replace(_added("agent", tuple(tile), tile[3]), window=at))
            if tile[0] in THINGS:
                under.append(replace(_added(THINGS[tile[0]], tuple(tile), NOBODY), window=at))
    return found + under


def slots(state: np.ndarray) -> Slots:
    """Tiles across and down; middles of the agent and of the goal [px], if there is one; how many things there are.

    direction: 0 right, 1 down, 2 left, 3 up. carries, carries_colour: as the grid encodes them, 0 for nothing.
    """
    tiles, carried = state[:-1], state[-1, 0]
    row, column = np.argwhere(tiles[..., 3] != NOBODY)[0]
    goals = np.argwhere(tiles[..., 0] == GOAL)
    goal_y, goal_x = TILE * goals[0] + TILE / 2 if len(goals) else (np.nan, np.nan)
    doors = tiles[..., 2][tiles[..., 0] == DOOR]
    return {
        "across": float(tiles.shape[1]),
        "down": float(tiles.shape[0]),
        "agent_x": float(TILE * column + TILE / 2),
        "agent_y": float(TILE * row + TILE / 2),
        "direction": float(tiles[row, column, 3]),
        "goal_x": float(goal_x),
        "goal_y": float(goal_y),
        "carries": float(carried[0]),
        "carries_colour": float(carried[1]),
        "open_doors": float(np.count_nonzero(doors == OPEN)),
        "closed_doors": float(np.count_nonzero(doors == CLOSED)),
        "locked_doors": float(np.count_nonzero(doors == LOCKED)),
        "keys": float(np.count_nonzero(tiles[..., 0] == KEY)),
        "balls": float(np.count_nonzero(tiles[..., 0] == BALL)),
        "boxes": float(np.count_nonzero(tiles[..., 0] == BOX)),
    }


def event(before: Slots, after: Slots) -> str:
    """Something taken or put down, a door opened or shut."""
    if after["carries"] != before["carries"]:
        return "something taken" if after["carries"] else "something put down"
    if after["open_doors"] != before["open_doors"]:
        return "a door opened" if after["open_doors"] > before["open_doors"] else "a door shut"
    return ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Where the agent is, looks and what it carries, where the goal is, and how many doors are open or not."""
    room = (0, 0, int(slots["across"]) * TILE, int(slots["down"]) * TILE)
    doors = [int(slots[f"{how}_doors"]) for how in ("open", "closed", "locked")]
    carried = (
        f"a {COLOURS[int(slots['carries_colour'])]} {THINGS[int(slots['carries'])]}" if slots["carries"] else "nothing"
    )
    return {
        "agent": place(slots["agent_x"], slots["agent_y"], room),
        "looks": ("right", "down", "left", "up")[int(slots["direction"])],
        "carries": carried,
        "goal": "not there" if np.isnan(slots["goal_x"]) else place(slots["goal_x"], slots["goal_y"], room),
        "doors": "{} open and {} closed and {} locked".format(*doors),
        "event": event or "nothing yet",
    }


GAME = Game(
    categories=("agent", *THINGS.values()),
    field=FIELD,
    ground=ground,
    claims=claims,
    slots=slots,
    ranges={
        "across": (0, LARGEST),
        "down": (0, LARGEST),
        "agent_x": (0, LARGEST * TILE),
        "agent_y": (0, LARGEST * TILE),
        "direction": (0, 3),
        "goal_x": (0, LARGEST * TILE),
        "goal_y": (0, LARGEST * TILE),
        "carries": (0, 10),
        "carries_colour": (0, 5),
        "open_doors": (0, 10),
        "closed_doors": (0, 10),
        "locked_doors": (0, 10),
        "keys": (0, 10),
        "balls": (0, 10),
        "boxes": (0, 10),
    },
    moving=("agent_x", "agent_y"),
    event=event,
    facts=facts,
    phrases={
        "agent": ("the agent is {}", "agent {}", "we see the agent {}", "a red arrow stands {}", "our agent {}"),
        "looks": ("it looks {}", "looking {}", "we see it look {}", "the arrow points {}", "turned {}"),
        "goal": ("the goal is {}", "goal {}", "we see the goal {}", "a green tile lies {}", "our goal {}"),
        "doors": ("the doors are {}", "doors {}", "we see doors {}", "of the doors {}", "doors there {}"),
    },
    history={
        "carries": ("it carries {}", "carrying {}", "we know that it holds {}", "the agent took {}", "in hand {}"),
        "event": ("last was {}", "before {}", "we saw {}", "the last event was {}", "last {}"),
    },
    state=state,
    screen=screen,
    picture=rendered,
)
