"""Vision models as packed files: compressed, looked at, packed, explained, refused."""

from __future__ import annotations

import csv
import functools
import json
import tempfile
from pathlib import Path
from unittest import mock

import pytest
import torch
import vision_data
import vision_runs
from generator_runs import run_of

from rl_gen_lab import compress, look
from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression import pipeline
from rl_gen_lab.compute import memory_budget
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.training.load import load_task, weights_digest
from rl_gen_lab.training.run import train
from rl_gen_lab.training.shrinking import OwnTask

QUIET = ["--wandb.mode", "disabled"]
RECIPE = """
batch_size = 4

[[stages]]
kind = "prune"
kept = 0.5
updates = 4

[[stages]]
kind = "quantize"
bits = 4
updates = 4
"""


@functools.cache
def trained() -> Path:
    path = Path(tempfile.mkdtemp())
    train(vision_runs.config(path, epochs=2))
    return vision_runs.only_run(path).path


def refuse_in_little_memory(needed: int, what: str, device: torch.device, instead: str) -> None:
    with mock.patch.object(memory_budget, "free_bytes", return_value=10**8):
        memory_budget.refuse_too_large(needed, what, device, instead)


def compressed(path: Path, recipe: str = RECIPE) -> Path:
    path.mkdir(exist_ok=True)
    (path / "recipe.toml").write_text(recipe)
    compress.main([str(trained()), "--recipe", str(path / "recipe.toml"), "--runs-dir", str(path), *QUIET])
    (run,) = path.glob("compress_segment__*")
    return run


def test_a_segmenter_becomes_a_small_file_that_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = compressed(tmp_path)
    rows = list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["as it is", "prune", "quantize"]
    file = run / "stage2_quantize.rlz"
    assert int(rows[2]["bytes"]) == file.stat().st_size < int(rows[0]["bytes"]) / 2
    assert rows[2]["metric"] == "miou" and 0 <= float(rows[2]["score"]) <= 1
    said = capsys.readouterr().out.replace("\n", " ")
    assert "rl_gen_lab.look" in said and f"--data {vision_data.folder()}" in said
    look.main([str(file), "--data", str(vision_data.folder()), "--pictures", "1"])
    (picture,) = (run / "stage2_quantize" / "pictures").iterdir()
    assert str(picture) in capsys.readouterr().out
    with pytest.raises(SystemExit):
        look.main([str(file)])
    assert "--data is missing" in capsys.readouterr().err


def test_the_file_holds_the_network_that_was_scored(tmp_path: Path) -> None:
    file = compressed(tmp_path) / "stage2_quantize.rlz"
    task = load_task(file, "segment")
    weights = [w for w in task.network.parameters() if w.dim() == 4]
    assert all(len(w.unique()) <= 15 for w in weights) and any((w == 0).float().mean() > 0.3 for w in weights)
    assert len(weights_digest(file)) == 12 and weights_digest(file) != weights_digest(trained())
    with pytest.raises(CheckpointError, match="not of 'detect'"):
        load_task(file, "detect")
    assert not task.network.training and not any(w.requires_grad for w in task.network.parameters())


def test_it_goes_on_exactly_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pipeline, "SEGMENT", 2)
    whole = compressed(tmp_path / "whole")
    done, loss = 0, OwnTask.loss

    def interrupted(*arguments: object) -> torch.Tensor:
        nonlocal done
        done += 1
        if done == 6:  # in the second stage
            raise KeyboardInterrupt
        return loss(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(OwnTask, "loss", interrupted)
        compressed(tmp_path / "cut")
    assert ended.value.code == 130 and "rl_gen_lab.compress --resume" in capsys.readouterr().out
    (run,) = (tmp_path / "cut").glob("compress_segment__*")
    compress.main(["--resume", str(run)])
    for name in ("stage1_prune.rlz", "stage2_quantize.rlz"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    capsys.readouterr()
    compress.main(["--resume", str(run)])
    assert "every stage is done: there is nothing left to train" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        compress.main(["--resume", str(run), "--seed", "1"])
    assert "--seed cannot be changed in a resumed run" in capsys.readouterr().err
    assert before == {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}


def test_a_refused_resume_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = compressed(tmp_path)
    (run / "result.json").unlink()  # it seems to have been interrupted after its last stage

    def refused(message: str) -> None:
        before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
        with pytest.raises(SystemExit) as ended:
            compress.main(["--resume", str(run)])
        assert ended.value.code == 2 and message in capsys.readouterr().err
        assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before

    with RunFolder.open(run).lock():
        refused("is being written by process")
    config = (run / "config.json").read_text()
    state = run / "checkpoints" / "latest" / "state.json"
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])
    refused("damaged or was cut short")
    state.write_bytes(whole)
    saved = json.loads(config)
    saved["inputs"] = dict.fromkeys(saved["inputs"], "0")
    (run / "config.json").write_text(json.dumps(saved))
    refused("changed since")


def test_changed_layers_are_rebuilt_from_the_file(tmp_path: Path) -> None:
    recipe = 'batch_size = 4\n[[stages]]\nkind = "low_rank"\nenergy = 0.3\nupdates = 2\n'
    file = compressed(tmp_path, recipe) / "stage1_low_rank.rlz"
    whole, small = (
        sum(weight.numel() for weight in load_task(path, "segment").network.parameters()) for path in (trained(), file)
    )
    assert small < whole


def test_a_stage_that_does_not_fit_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = RECIPE.replace('kind = "quantize"', 'kind = "channels"').replace("bits = 4", "share = 0.5")
    for text in (
        recipe.replace("prune", "learn").replace("kept = 0.5", ""),
        RECIPE.replace("bits", 'layers = ["fc"]\nbits'),
    ):
        with pytest.raises(SystemExit):
            compressed(tmp_path, text)
        said = capsys.readouterr()
        assert "as it is" not in said.out and ("cannot be followed" in said.err or "no layer is named 'fc'" in said.err)
        assert not list(tmp_path.glob("compress_*"))


@pytest.mark.parametrize(
    ("model", "stage", "message"),
    [
        ("pca", 'kind = "learn"\nupdates = 3', "pca learns nothing by updates: python -m rl_gen_lab.pack packs it"),
        ("gmm", 'kind = "quantize"', "gmm learns nothing by updates"),
        ("vae", 'kind = "channels"\nshare = 0.5', "channels cannot be removed from this network"),
        ("vae", 'kind = "dead_units"', "channels cannot be removed from this network"),
    ],
)
def test_a_generator_that_a_recipe_does_not_fit_is_refused(
    model: str, stage: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(f"batch_size = 4\n[[stages]]\n{stage}\n")
    with pytest.raises(SystemExit):
        compress.main([str(run_of(model).path), "--recipe", str(recipe), "--runs-dir", str(tmp_path / "runs"), *QUIET])
    said = capsys.readouterr().err.strip()
    assert message in said and "\n" not in said and not (tmp_path / "runs").exists()


def test_runs_that_are_no_models_are_told_which_command_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for config, message in (
        ({"exp_name": "dqn", "command": ["python -m agents.dqn"], "config": {}}, "python -m agents.compress takes"),
        ({"exp_name": "dream", "config": {"task": "dream"}}, "a run of dream; can be compressed: caption"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(SystemExit):
            compress.main([str(tmp_path), "--recipe", "recipe.toml", *QUIET])
        assert message in capsys.readouterr().err


def test_too_many_examples_and_a_folder_without_a_recipe_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit), monkeypatch.context() as patch:
        patch.setattr("rl_gen_lab.training.shrinking.refuse_too_large", refuse_in_little_memory)
        compressed(tmp_path, RECIPE.replace("batch_size = 4", "batch_size = 1_000_000"))
    said = capsys.readouterr().err
    assert "batch_size = 1,000,000 of the recipe takes" in said and "or less" in said
    run = compressed(tmp_path / "whole")
    (run / "result.json").unlink()
    saved = json.loads((run / "config.json").read_text())
    for recipe, message in ((None, "damaged: 'recipe'"), ({"stages": [{"kind": "prun"}]}, "unknown kind 'prun'")):
        (run / "config.json").write_text(json.dumps(saved | {"recipe": recipe}))
        capsys.readouterr()
        with pytest.raises(SystemExit):
            compress.main(["--resume", str(run)])
        said = capsys.readouterr().err.strip()
        assert message in said and "config.json" in said and "\n" not in said


def test_refusals_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([], "name the run folder"),
        ([str(trained())], "--recipe is missing"),
        (["--resume", str(trained())], "not of python -m rl_gen_lab.compress"),
    ):
        with pytest.raises(SystemExit) as ended:
            compress.main([*words, *QUIET])
        said = capsys.readouterr().err.strip()
        assert ended.value.code == 2 and message in said and "\n" not in said
    damaged = tmp_path / "model.rlz"
    damaged.write_bytes(b"RLZ\x01" + bytes(40))
    with pytest.raises(CheckpointError, match=r"model.rlz: .*checksum"):
        load_task(damaged, "segment")
