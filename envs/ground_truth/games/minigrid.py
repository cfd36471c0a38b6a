"""MiniGrid and BabyAI, an optional extra: every tile is drawn with and without the object on it.

The mask of an object is its difference to the empty tile; the image must show exactly the tiles of the grid,
highlighted in the view of the agent. Walls and floors are background. Environments differ in size: the field is as
large as the largest.

    python -m envs.scenes --env minigrid:MiniGrid-DoorKey-8x8-v0 --frames 1000
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from envs.ground_truth.captions import EVENT_PHRASES, NO_EVENT, Facts, position
from envs.ground_truth.objects import Claim, Game, Slots, Visible
from envs.ground_truth.rendering import rendered_image

LARGEST = 50  # tiles
TILE = 32  # px
FIELD = (0, 0, LARGEST * TILE, LARGEST * TILE)
WALL, FLOOR, DOOR, KEY, BALL, BOX, GOAL, LAVA = range(2, 10)  # types of objects, as encoded in the grid
OBJECTS = {DOOR: "door", KEY: "key", BALL: "ball", BOX: "box", GOAL: "goal", LAVA: "lava"}
COLORS = ("red", "green", "blue", "purple", "yellow", "grey")
OPEN, CLOSED, LOCKED = range(3)
NO_AGENT = -1


def state(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return (H + 1, W, 5) int64: type, color and status of each tile, direction of the agent or NO_AGENT, highlight.

    The last row begins with type and color of the carried object, type 0 for none.
    Raises: ValueError for an environment that renders the view of the agent, or tiles of another size.
    """
    grid_env: Any = env.unwrapped
    if grid_env.agent_pov or grid_env.tile_size != TILE:
        raise ValueError(f"ground truth of MiniGrid needs agent_pov=False and tile_size={TILE}")
    values = np.zeros((grid_env.height + 1, grid_env.width, 5), np.int64)
    values[:-1, :, :3] = grid_env.grid.encode().transpose(1, 0, 2)
    values[:-1, :, 3] = NO_AGENT
    x, y = grid_env.agent_pos
    values[y, x, 3] = grid_env.agent_dir
    if grid_env.highlight:
        _, visible = grid_env.gen_obs_grid()
        for i, j in np.argwhere(visible):
            column, row = _in_the_grid(grid_env, int(i), int(j))
            if 0 <= column < grid_env.width and 0 <= row < grid_env.height:
                values[row, column, 4] = 1
    if grid_env.carrying is not None:
        values[-1, 0, :2] = grid_env.carrying.encode()[:2]
    return values


def _in_the_grid(grid_env: Any, i: int, j: int) -> tuple[int, int]:
    """Return column and row of tile i, j (right, down) of the view of the agent, which stands at its bottom center."""
    ahead, right = grid_env.agent_view_size - 1 - j, i - grid_env.agent_view_size // 2
    tile = np.asarray(grid_env.agent_pos) + ahead * grid_env.dir_vec + right * grid_env.right_vec
    return int(tile[0]), int(tile[1])


def screen(env: gym.Env[Any, Any]) -> np.ndarray:
    """Return the screen: (H, W) int64, red, green and blue in one number."""
    return _packed(rendered_image(env))


def _packed(rgb: np.ndarray) -> np.ndarray:
    wide = rgb.astype(np.int64)
    packed: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed


@functools.lru_cache(maxsize=4_096)
def _tile(type_id: int, color: int, status: int, agent: int, lit: int) -> np.ndarray:
    """Return a tile as drawn by MiniGrid, (32, 32) int64."""
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    content = WorldObj.decode(type_id, color, status)
    return _packed(Grid.render_tile(content, None if agent == NO_AGENT else agent, bool(lit), TILE))


def background(state: np.ndarray) -> np.ndarray:
    """Return floors and walls, (H, W) int64."""
    tiles = state[:-1]
    height, width = tiles.shape[:2]
    rows = []
    for row in tiles.tolist():
        rows.append([_empty_tile(type_id, color, status, lit) for type_id, color, status, _, lit in row])
    return np.array(rows).transpose(0, 2, 1, 3).reshape(height * TILE, width * TILE)


def _empty_tile(type_id: int, color: int, status: int, lit: int) -> np.ndarray:
    """Return a tile without the object on it."""
    return _tile(1, 0, 0, NO_AGENT, lit) if type_id in OBJECTS else _tile(type_id, color, status, NO_AGENT, lit)


@functools.lru_cache(maxsize=4_096)
def _difference(category: str, tile: tuple[int, int, int, int, int], agent: int) -> Claim:
    """Claim the pixels that an object, or the agent (its direction, else NO_AGENT), changes in the upper left tile."""
    type_id, color, status, _, lit = tile
    if agent == NO_AGENT:
        before, after = _empty_tile(type_id, color, status, lit), _tile(type_id, color, status, NO_AGENT, lit)
    else:
        before, after = _tile(type_id, color, status, NO_AGENT, lit), _tile(type_id, color, status, agent, lit)
    changed: np.ndarray = before != after
    return Claim(category, (0, 0, TILE, TILE), tuple(np.unique(after[changed]).tolist()), shape=changed)


def claims(state: np.ndarray) -> list[Claim]:
    """Claim the agent, then the objects on the tiles; 32x32 px at most."""
    agents, objects = [], []
    for row, tiles in enumerate(state[:-1].tolist()):
        for column, tile in enumerate(tiles):
            at = (column * TILE, row * TILE, TILE, TILE)
            if tile[3] != NO_AGENT:
                agents.append(replace(_difference("agent", tuple(tile), tile[3]), window=at))
            if tile[0] in OBJECTS:
                objects.append(replace(_difference(OBJECTS[tile[0]], tuple(tile), NO_AGENT), window=at))
    return agents + objects


def slots(state: np.ndarray) -> Slots:
    """Read the size in tiles, centers of the agent and of the goal [px], if there is one, and counts of objects.

    direction: 0 right, 1 down, 2 left, 3 up. carries, carries_colour: as encoded in the grid, 0 for none.
    """
    tiles, carried = state[:-1], state[-1, 0]
    row, column = np.argwhere(tiles[..., 3] != NO_AGENT)[0]
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
    """Report an object taken or put down, a door opened or shut."""
    if after["carries"] != before["carries"]:
        return "something taken" if after["carries"] else "something put down"
    if after["open_doors"] != before["open_doors"]:
        return "a door opened" if after["open_doors"] > before["open_doors"] else "a door shut"
    return ""


def facts(slots: Slots, event: str, visible: Visible) -> Facts:
    """Describe position, direction and carried object of the agent, the goal, and the doors."""
    room = (0, 0, int(slots["across"]) * TILE, int(slots["down"]) * TILE)
    doors = [int(slots[f"{status}_doors"]) for status in ("open", "closed", "locked")]
    carried = (
        f"a {COLORS[int(slots['carries_colour'])]} {OBJECTS[int(slots['carries'])]}" if slots["carries"] else "nothing"
    )
    return {
        "agent": position(slots["agent_x"], slots["agent_y"], room),
        "looks": ("right", "down", "left", "up")[int(slots["direction"])],
        "carries": carried,
        "goal": "not there" if np.isnan(slots["goal_x"]) else position(slots["goal_x"], slots["goal_y"], room),
        "doors": "{} open and {} closed and {} locked".format(*doors),
        "event": event or NO_EVENT,
    }


GAME = Game(
    categories=("agent", *OBJECTS.values()),
    field=FIELD,
    background=background,
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
        "event": EVENT_PHRASES,
    },
    state=state,
    screen=screen,
    image=rendered_image,
)
