"""The command that attacks an agent: what it writes and records, and what it refuses."""

from __future__ import annotations

import functools
import json
import re
import tempfile
from pathlib import Path

import pytest
from packed_agents import FILE
from PIL import Image

from agents import attack, dqn, results

QUIET = ["--wandb.mode", "disabled"]
SMALL = ["--games", "0", "--frames", "6", "--minimum", "3", "--levels", "0", "1"]


def attacked(folder: Path, *words: str) -> Path:
    attack.main([*words, *SMALL, "--runs-dir", str(folder), *QUIET])
    (run,) = folder.glob("attack__*")
    return run


@functools.cache
def packed_run() -> Path:
    return attacked(Path(tempfile.mkdtemp()), str(FILE), "random,pgd")


@pytest.mark.slow
def test_a_packed_policy_is_attacked_with_picture_page_and_record(tmp_path: Path) -> None:
    run = packed_run()
    result = json.loads((run / "result.json").read_text())
    assert [(row["attack"], row["levels"]) for row in result["rows"]] == [("random", 1.0), ("pgd", 1.0)]
    with Image.open(run / "pictures" / "attacked.png") as picture:
        assert min(picture.size) > 100
    page = (run / "attack.html").read_text(encoding="utf-8")
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))
    assert "Least whole gray levels" in page
    document = tmp_path / "page.md"
    document.write_text("<!-- results:attacks:attacks -->\n<!-- /results:attacks:attacks -->\n", encoding="utf-8")
    words = ["--record", "attacks", "--what", "a test", str(run)]
    for _ in range(2):  # the second time in place
        results.main([*words, "--results-dir", str(tmp_path), "--readme", str(document)])
    assert "**a test**" in document.read_text(encoding="utf-8") and (tmp_path / "attacks.png").is_file()
    assert len((tmp_path / "attacks.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no-attack"], "no attack 'no-attack'"),
        (["pgd", "--levels", "0.0039"], "levels are gray levels of 255, not shares: 0.0039 as a share is 0.994"),
        (["pgd", "--levels", "1.5"], "levels are whole gray levels, not 1.5"),
        (["pgd", "--levels", "256"], "--levels"),
        (["pgd", "--which", "last"], "a packed file has one policy"),
    ],
)
def test_what_cannot_be_attacked_is_refused_before_anything_is_played(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        attack.main([str(FILE), *words, "--runs-dir", str(tmp_path), *QUIET])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_agent_of_numbers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--env", "CartPole", "--total-env-steps", "40", "--learning-starts-env-steps", "20", "--no-film"]
    words += ["--eval.episodes", "1", "--eval.final-episodes", "1", "--runs-dir", str(tmp_path), *QUIET]
    dqn.main(words)
    (run,) = tmp_path.iterdir()
    with pytest.raises(SystemExit):
        attack.main([str(run), "--runs-dir", str(tmp_path), *QUIET])
    assert "sees numbers, not frames" in capsys.readouterr().err
