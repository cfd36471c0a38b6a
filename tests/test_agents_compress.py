"""The command from a trained agent to packed files: ledger, playing, resuming, refusals."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import compressed_agents
import pytest
from checkout import ROOT
from compressed_agents import QUIET, compress_into, compression_run, only_compression, recipe_file, teacher_run

from agents import compress, play
from agents.compression.objective import ActAsTeacher
from rl_gen_lab.compression import pipeline


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        compress.main([*words, *QUIET])
    assert ended.value.code == 2
    return capsys.readouterr().err.strip()


@pytest.mark.slow
def test_every_stage_leaves_a_file_that_plays_and_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    run = compression_run()
    rows = list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["as it is", "learn", "prune", "quantize"]
    for row, name in zip(rows[1:], ("stage1_learn", "stage2_prune", "stage3_quantize"), strict=True):
        assert int(row["bytes"]) == (run / f"{name}.rlz").stat().st_size
    sizes = [int(row["bytes"]) for row in rows]
    assert sizes[0] > sizes[1] > sizes[3] and int(rows[2]["nonzero"]) < int(rows[1]["nonzero"])
    one, everything = float(rows[3]["ratio"]), float(rows[3]["ratio_all_networks"])
    assert everything == pytest.approx(sizes[0] / sizes[3], abs=0.01) and 1.9 < everything / one < 2.1
    page = (run / "ledger.html").read_text()
    assert "data:image/png;base64," in page and f"{sizes[3]:,}" in page and "http" not in page
    capsys.readouterr()
    play.main([str(run / "stage3_quantize.rlz"), "--episodes", "2", "--film-steps", "5", "--epsilon", "0"])
    said = capsys.readouterr().out
    assert "task " + json.loads((run / "config.json").read_text())["fingerprint"]["hash"] in said
    assert re.search(r"stage3_quantize.rlz: -?\d.* over 2 episodes", said)


@pytest.mark.slow
def test_a_compression_that_was_interrupted_goes_on_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = compression_run()
    losses, loss = 0, ActAsTeacher.loss

    def interrupted(*arguments: object) -> object:
        nonlocal losses
        losses += 1
        if losses == 6:  # in the second stage
            raise KeyboardInterrupt
        return loss(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(ActAsTeacher, "loss", interrupted)
        compress_into(tmp_path)
    assert ended.value.code == 130
    run = only_compression(tmp_path)
    assert f"--resume {run}" in capsys.readouterr().out.replace("\n", " ") and not (run / "ledger.csv").exists()
    monkeypatch.setattr(pipeline, "SEGMENT", 2)
    compress.main(["--resume", str(run)])
    for name in ("stage1_learn.rlz", "stage2_prune.rlz", "stage3_quantize.rlz"):
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    capsys.readouterr()
    compress.main(["--resume", str(run)])
    assert "every stage is done" in capsys.readouterr().out
    assert "--episodes cannot be changed" in refusal(capsys, "--resume", str(run), "--episodes", "3")


@pytest.mark.slow
def test_a_packed_policy_is_compressed_further_each_technique_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = compression_run() / "stage3_quantize.rlz"
    stages = "".join(f'[[stages]]\nkind = "{kind}"\nupdates = 2\n' for kind in ("ternary", "binary", "low_rank"))
    stages += "energy = 0.3\n"
    recipe = recipe_file(tmp_path, compressed_agents.RECIPE.partition("[[")[0] + "alone = true\n" + stages)
    flags = ["--recipe", str(recipe), "--episodes", "1", "--runs-dir", str(tmp_path), *QUIET]
    compress.main([str(file), *flags])
    run = only_compression(tmp_path)
    rows = list(csv.DictReader((run / "ledger.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["as it is", "ternary", "binary", "low_rank"]
    assert int(rows[0]["bytes"]) == 4 * int(rows[1]["numbers"]) > int(rows[2]["bytes"])
    assert int(rows[3]["numbers"]) != int(rows[2]["numbers"])  # factors instead of matrices; binary begins anew
    play.main([str(run / "stage3_low_rank.rlz"), "--episodes", "1", "--film-steps", "5"])
    file.touch()
    compress.main(["--resume", str(run)])
    assert "every stage is done" in capsys.readouterr().out


def test_what_cannot_be_compressed_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(teacher_run())
    assert "name the run folder" in refusal(capsys)
    assert "no run folder" in refusal(capsys, str(tmp_path / "nothing"), "--recipe", "r.toml")
    assert "cannot be read" in refusal(capsys, run, "--recipe", str(tmp_path / "r.toml"))
    wrong = recipe_file(tmp_path, '[[stages]]\nkind = "prun"\n')
    assert "Did you mean 'prune'?" in refusal(capsys, run, "--recipe", str(wrong))
    wrong = recipe_file(tmp_path, '[[stages]]\nkind = "learn"\nbackbone = "8x8s4-8x40s2-32"\n')
    said = refusal(capsys, run, "--recipe", str(wrong), "--runs-dir", str(tmp_path / "runs"))
    assert "too small" in said and "\n" not in said and not (tmp_path / "runs").exists()
    assert "not of python -m agents.compress" in refusal(capsys, "--resume", run)


def test_runs_of_other_commands_are_told_which_command_takes_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = json.loads((teacher_run() / "config.json").read_text())
    for number, (changes, message) in enumerate(
        (
            (
                {"command": ["python -m rl_gen_lab.train"], "exp_name": "segment_unet"},
                "rl_gen_lab.compress takes vision",
            ),
            ({"exp_name": "sb3_dqn"}, "an agent of Stable-Baselines3"),
            ({"exp_name": "compress"}, "a run of compress; can be compressed: dqn"),
            (
                {"fingerprint": {"text": "", "hash": "", "fields": {"observation": "(4,) float32"}}},
                "does not see frames but vectors (4,)",
            ),
        )
    ):
        run = tmp_path / str(number)
        run.mkdir()
        (run / "config.json").write_text(json.dumps(made | changes))
        said = refusal(capsys, str(run))
        assert message in said and "\n" not in said


def test_other_atari_games_have_a_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from agents.compression.config import Config
    from rl_gen_lab.compression import recipe as recipes

    made = json.loads((teacher_run() / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(made | {"env_id": "ALE/Seaquest-v5"}))
    file = compress.recipe_of(Config(run=tmp_path))
    assert file.name == "compress_atari.toml" and "compress_atari.toml" in capsys.readouterr().out
    assert recipes.read(file).first_backbone is not None
    (tmp_path / "config.json").write_text(json.dumps(made | {"env_id": "CarRacing-v3"}))
    assert "see configs/compress_atari.toml" in refusal(capsys, str(tmp_path))


@pytest.mark.slow
def test_a_packed_policy_acts_alike_where_there_is_no_torch() -> None:
    file = compression_run() / "stage3_quantize.rlz"
    code = f"""if True:
        import sys
        sys.modules["torch"] = None
        import numpy as np
        from rl_gen_lab.compression.numpy_network import NumpyNetwork, shapes_of
        from rl_gen_lab.compression.packed_file import read
        network = NumpyNetwork(read(open({str(file)!r}, "rb").read(), shapes_of))
        frames = np.random.default_rng(0).integers(0, 256, (50, 4, 84, 84)).astype(np.uint8)
        print(network(frames).argmax(1).tolist())
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    import numpy as np

    from agents.compression.policy_file import PackedPolicy

    frames = np.random.default_rng(0).integers(0, 256, (50, 4, 84, 84)).astype(np.uint8)
    assert json.loads(done.stdout) == PackedPolicy.read(file).policy.act(frames).tolist()


def test_the_game_has_a_recipe_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    from agents.compression.config import Config

    assert compress.recipe_of(Config(run=teacher_run())).name == "compress_pong.toml"
    assert compressed_agents.RECIPE and "recipe: configs/compress_pong.toml" in capsys.readouterr().out
