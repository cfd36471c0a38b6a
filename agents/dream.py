"""Play in a dream with the keyboard, beside the game itself: a page in the browser, on this machine alone.

    python -m agents.dream runs/dream_pixels__pong__0__20260101-120000

Both get the same actions, and the page tells how far off every object of the dream is and for how long it stayed true;
a key re-anchors it to the game. With `--agent RUN` a trained agent can play. Needs no internet. `--counterfactuals 100`
compares dreams instead, in moments as they were played and in moments whose positions are written into the game.
"""

from __future__ import annotations

import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from annotated_types import Interval

from agents.training.cli import command
from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.cli.flags import parse_flags
from rl_gen_lab.cli.progress import ProgressDisplay
from rl_gen_lab.cli.settings import Ranged, Seed
from rl_gen_lab.runs.files import write_json
from rl_gen_lab.runs.folder import RunFolder

if TYPE_CHECKING:
    from agents.perception.twin import Twin


@dataclass(frozen=True)
class Config(Ranged):
    """Play in a dream beside the game."""

    # Run folder of a model of a world.
    run: Annotated[Path, tyro.conf.Positional]
    # Run folder of a trained agent that can play, by what it sees of the game.
    agent: Path | None = None
    # Port of the page; 0: any that is free.
    port: Annotated[int, Interval(ge=0, le=65_535)] = 8_421
    # Open the page in the browser.
    browser: bool = True
    # Seed of the games.
    seed: Seed = 0
    # No page: compare dreams in so many moments as played, and as many with a position written at random.
    counterfactuals: Annotated[int, Interval(ge=0, le=1_000_000)] = 0


def _compare(config: Config, twin: Twin, run: RunFolder) -> None:
    """Measure dreams in moments that play hardly ever shows, print the table and keep it."""
    from agents.perception import counterfactuals

    with ProgressDisplay("comparing", 2 * config.counterfactuals, "moments") as display:
        result = counterfactuals.measure(twin, config.counterfactuals, lambda done: display.update(done, ""))
    print(counterfactuals.table(result))
    with run.lock():  # a page may have begun meanwhile
        write_json(run.path / "counterfactuals.json", result)
    print(run.shown(run.path / "counterfactuals.json"))
    twin.close()


@command
def main(argv: list[str] | None = None) -> None:
    """Serve the page until Ctrl-C."""
    config = parse_flags(Config, argv, description=__doc__)

    from agents.perception.dream_agents import game_of
    from agents.perception.dream_page import HOST, Player, Session, make_server
    from agents.perception.twin import FRAMES_PER_SECOND, READ_FRAMES, Twin
    from agents.training.load import load_policy, world_of
    from agents.training.video import write_mp4

    run, world = RunFolder.open(config.run), None
    if config.counterfactuals:
        run.lock().release()  # refuses now what could not be written later
    player: Player | None = None
    if config.agent is not None:
        agent = RunFolder.open(config.agent)
        policy, world = load_policy(agent, "best"), world_of(agent)
        if str(agent.read_config("config")["config"].get("env", "")).startswith("dream:"):
            _, world = game_of(agent, 0.0)

        def player(obs: np.ndarray, first: bool) -> int:
            return int(policy.choose(obs[None], np.array([first]))[0][0])

    with ProgressDisplay("learning what objects look like", READ_FRAMES, "frames") as display:
        twin = Twin(config.run, config.seed, world, lambda done: display.update(done, ""))

    if config.counterfactuals:
        _compare(config, twin, run)
        return

    def write_film(file: Path, frames: list[np.ndarray]) -> None:
        with run.lock():
            write_mp4(file, frames, FRAMES_PER_SECOND)

    try:
        server = make_server(Session(twin, player, run.videos, write_film), config.port)
    except OSError as error:
        raise ConfigError(f"port {config.port} cannot be had ({error.strerror}): choose another --port") from error
    address = f"http://{HOST}:{server.server_address[1]}/"
    print(f"{address} (Ctrl-C ends)", flush=True)
    if config.browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()
        twin.close()


if __name__ == "__main__":
    main()
