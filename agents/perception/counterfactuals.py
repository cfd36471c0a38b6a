"""Dreams of moments that play hardly ever shows: positions are written into the game, and the dream goes on from there.

Half of the moments are as they were played, half have one position written at random. After a few true steps both go on
under the same random actions; a model that has understood the game errs no more in the second half than in the first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.perception.twin import Twin
from envs.ground_truth.interventions import intervene
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.generators.world_models.audit import Errors

HORIZONS = (1, 5, 10)
TRUE_STEPS = 4  # after a position was written, before the dream begins
BETWEEN = 20  # steps of play between two moments
REPEAT = 0.9  # probability that random play repeats its action


def measure(twin: Twin, count: int, on_moment: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Compare `count` moments of each kind; returns errors by kind, horizon and object, as JSON.

    Raises: ConfigError for a game whose positions cannot be written.
    """
    if not twin.positions:
        raise ConfigError(f"{twin.name} has no positions that can be written")
    kinds = ("as played", "written")
    errors = {kind: {h: {name: Errors() for name in twin.reader.categories} for h in HORIZONS} for kind in kinds}
    action = 0
    for done in range(2 * count):
        kind = kinds[done % 2]
        over = False
        for _ in range(BETWEEN):
            action = _next(twin, action)
            over = over or twin.step(action).over
        if over:
            twin.new_game()
        if kind == "written":
            name = sorted(twin.positions)[int(twin.rng.integers(len(twin.positions)))]
            intervene(twin.truth, twin.truth.reader, {name: twin.rng.uniform(*twin.game.ranges[name])})
        over = False
        for _ in range(TRUE_STEPS):
            action = _next(twin, action)
            over = over or twin.step(action).over
        twin.anchor(TRUE_STEPS)
        for step in range(1, max(HORIZONS) + 1):
            action = _next(twin, action)
            over = over or twin.step(action).over
            if over:
                twin.new_game()
                break
            if step in HORIZONS:
                real, dreamed = twin.reader.read(twin.frames[-1]), twin.reader.read(twin.dreamed)
                for name, error in errors[kind][step].items():
                    error.add(real[name], dreamed[name])
        on_moment(done + 1)
    return {
        kind: {str(h): {name: error.summary() for name, error in by_object.items()} for h, by_object in found.items()}
        for kind, found in errors.items()
    }


def _next(twin: Twin, action: int) -> int:
    """Return the action of random play that often repeats itself."""
    return action if twin.rng.random() < REPEAT else int(twin.rng.integers(len(twin.meanings)))


def table(result: dict[str, Any]) -> str:
    """Format the errors, a line for each kind of moment and horizon."""
    lines = []
    for kind, by_horizon in result.items():
        for horizon, objects in by_horizon.items():
            parts = [
                f"{name} {summary['median_px']:.1f} px, vanished {summary['vanished']:.0%}"
                for name, summary in objects.items()
                if "median_px" in summary
            ]
            lines.append(f"{kind:10} step {horizon:>2}: {' · '.join(parts)}")
    return "\n".join(lines)
