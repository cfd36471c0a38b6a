"""Twin play: in a real browser with its keys, and refusals of the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dot_world
import pytest
import twin_pages
import vision_runs
from browser import CHROMIUM, Browser
from twin_pages import twin

from agents import dream
from rl_gen_lab.generators.world_models.config import DreamConfig
from rl_gen_lab.training.run import train


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with twin_pages.served(tmp_path / "videos") as found:
        yield found


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
def test_a_person_plays_in_a_browser(address: str, tmp_path: Path) -> None:
    with Browser() as browser:
        browser.open(address)
        browser.wait_for(
            "document.getElementById('real').complete && document.getElementById('real').naturalWidth == 160"
        )
        assert "ALE/Pong-v5" in browser.value("document.getElementById('title').textContent")
        steps = "Number(document.getElementById('steps').textContent)"
        assert browser.value(steps) == 0
        browser.tap("Period")
        browser.wait_for(f"{steps} == 1")
        browser.key("ArrowUp", True)
        assert browser.value("meanings[chosen()]") == "RIGHT"
        browser.key("Space", True)
        assert browser.value("meanings[chosen()]") == "RIGHTFIRE"
        browser.tap("KeyV")
        browser.wait_for("recording")
        browser.tap("KeyP")
        browser.wait_for(f"{steps} >= 4")
        browser.key("ArrowUp", False)
        browser.key("Space", False)
        browser.tap("KeyP")
        assert list(twin().actions)[-2:] == [twin().meanings.index("RIGHTFIRE")] * 2
        browser.wait_for("!busy")
        browser.tap("KeyV")
        browser.wait_for("document.getElementById('message').textContent.includes('steps in')")
        (film,) = (tmp_path / "videos").iterdir()
        assert film.read_bytes().startswith(b"film of")
        assert browser.value("document.querySelectorAll('#errors th').length") >= 4
        browser.tap("KeyR")
        browser.wait_for(f"{steps} == 0")
        assert browser.value("document.getElementById('real').src == document.getElementById('dreamed').src")
        browser.tap("KeyG")
        browser.tap("Period")
        browser.wait_for(f"{steps} == 1")
        assert twin().actions[-1] == 3
        browser.screenshot(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 5_000


def test_a_dream_of_no_known_game_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = DreamConfig(steps=6, width=4, memory=8, context=2, codes=0)
    train(vision_runs.config(tmp_path, task="dream", dream=settings, epochs=1, data=dot_world.folder()))
    with pytest.raises(SystemExit):
        dream.main([str(vision_runs.only_run(tmp_path).path), "--no-browser"])
    assert "the emulator cannot stand beside this dream" in capsys.readouterr().err
