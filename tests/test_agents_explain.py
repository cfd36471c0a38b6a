"""The command that explains an agent: what it writes, and what it refuses."""

from __future__ import annotations

import functools
import json
import re
import tempfile
from pathlib import Path

import pytest
from compressed_agents import compress_into, teacher_run
from packed_agents import FILE
from PIL import Image

from agents import dqn, explain, results
from agents.reports import explain as report

QUIET = ["--wandb.mode", "disabled"]
SMALL = ["--frames", "8", "--episodes", "2", "--most-steps", "50", "--film-steps", "6"]


def explained(folder: Path, *words: str) -> Path:
    explain.main([*words, *SMALL, "--runs-dir", str(folder), *QUIET])
    (run,) = folder.glob("explain__*")
    return run


@functools.cache
def packed_run() -> Path:
    return explained(Path(tempfile.mkdtemp()), str(FILE), "gradient-x-input")


@pytest.mark.slow
def test_a_packed_policy_is_explained_with_film_pictures_and_page() -> None:
    run = packed_run()
    result = json.loads((run / "result.json").read_text())
    assert [row["method"] for row in result["rows"]] == [
        *("gradient-x-input", "distance from mean", "frame difference", "random")
    ]
    assert result["objects"] == ["ball", "player", "enemy"] and result["frames"] >= 4
    assert (run / "videos" / "explained.mp4").stat().st_size > 1_000
    for name in ("strip", "row", "stack", "filters"):
        with Image.open(run / "pictures" / f"{name}.png") as picture:
            assert min(picture.size) > 100
    page = (run / "explain.html").read_text(encoding="utf-8")
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))
    assert "untrained twin" in page and "frame difference" in page


@pytest.mark.slow
def test_scores_are_recorded_and_become_a_table(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- results:explain:maps -->\n<!-- /results:explain:maps -->\n", encoding="utf-8")
    words = ["--record", "explain", "--what", "a test", str(packed_run())]
    for _ in range(2):  # the second time in place
        results.main([*words, "--results-dir", str(tmp_path), "--readme", str(document)])
    text = document.read_text(encoding="utf-8")
    assert "**a test**" in text and text.count("| gradient-x-input |") == 1
    assert len((tmp_path / "explain.csv").read_text().splitlines()) == 5
    assert report.lines(explain.RunFolder.open(packed_run()))[0][0] == "gradient-x-input"


@pytest.mark.slow
def test_an_ensemble_of_a_run_folder_is_explained_as_its_mean(tmp_path: Path) -> None:
    run = explained(tmp_path, str(teacher_run()), "grad-cam", "--layer", "backbone.conv.2", "--target", "value")
    assert json.loads((run / "result.json").read_text())["target"] == "value"


@pytest.mark.slow
def test_stages_of_training_and_compression_are_asked_about_the_same_frames(tmp_path: Path) -> None:
    words = ["--env", "Pong", "--preset", "defaults", "--total-env-steps", "24", "--num-envs", "2", "--no-film"]
    words += ["--learning-starts-env-steps", "12", "--replay.capacity", "200", "--batch-size", "8", "--standardize"]
    words += ["--world.max-episode-frames", "80", "--eval.episodes", "1", "--eval.final-episodes", "1"]
    dqn.main([*words, "--eval.every-env-steps", "8", "--eval.keep-weights", "--runs-dir", str(tmp_path / "a"), *QUIET])
    (trained,) = (tmp_path / "a").iterdir()
    shrunk = compress_into(tmp_path / "b")
    run = explained(tmp_path, str(FILE), "gradient-x-input", "--stages", str(FILE), str(trained), str(shrunk))
    result = json.loads((run / "result.json").read_text())
    own = [row for row in result["rows"] if row["method"] == "gradient-x-input"]
    assert [row["stage"] for row in own] == [
        *("pong", "step 8", "step 16", "step 24", "stage1_learn", "stage2_prune", "stage3_quantize")
    ]
    assert own[0]["same_action"] == 1.0
    lifts = [row["ball/lift"] for row in result["rows"] if row["method"] == "frame difference"]
    assert len(set(lifts)) == 1  # the same frames
    assert (run / "pictures" / "stages.png").is_file() and not list((run / "videos").iterdir())
    assert "step 16" in (run / "explain.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lrp", "--stages", "no.rlz"], "no.rlz: No such file"),
        (["lrp", "--stages", str(FILE), "--frames", "0"], "let --frames be 1 or more"),
        (["no-method"], "no method 'no-method'"),
        (["grad-cam", "--layer", "fc"], "no convolution 'fc' in this network"),
        (["lrp", "--layer", "backbone.conv.0"], "--layer is a setting of the method grad-cam"),
        (["lrp", "--target", "log-probability"], "choose --target gap or value"),
        (["lrp", "--which", "last"], "a packed file has one policy"),
    ],
)
def test_what_cannot_be_explained_is_refused_before_anything_is_played(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        explain.main([str(FILE), *words, "--runs-dir", str(tmp_path), *QUIET])
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and said in error and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_agent_of_numbers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--env", "CartPole", "--total-env-steps", "40", "--learning-starts-env-steps", "20", "--no-film"]
    words += ["--eval.episodes", "1", "--eval.final-episodes", "1", "--runs-dir", str(tmp_path), *QUIET]
    dqn.main(words)
    (run,) = tmp_path.iterdir()
    with pytest.raises(SystemExit):
        explain.main([str(run), "--runs-dir", str(tmp_path), *QUIET])
    assert "sees numbers, not frames" in capsys.readouterr().err
