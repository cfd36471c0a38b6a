"""Run folders: their names, their records, torn and damaged lines, full disks."""

import errno
import gc
import math
import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest

from rl_gen_lab.cli.errors import CheckpointError, SaveError
from rl_gen_lab.runs.files import without_links
from rl_gen_lab.runs.folder import RunFolder


def test_create_makes_a_named_folder_and_numbers_its_twins(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path / "runs", "dqn", "ALE/Pong-v5", 3) for _ in range(3)]
    assert all(run.path.name.startswith("dqn__ALE-Pong-v5__3__") for run in runs)
    assert len({run.path for run in runs}) == 3
    assert all(run.checkpoints.is_dir() and run.videos.is_dir() for run in runs)


def test_twins_made_in_one_second_get_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda _: "20260102-030405")
    names = [RunFolder.create(tmp_path, "dqn", "Pong", 1).path.name for _ in range(3)]
    first = "dqn__Pong__1__20260102-030405"
    assert names == [first, f"{first}-2", f"{first}-3"]


def test_create_under_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="could not save"):
        RunFolder.create(tmp_path / "file", "dqn", "Pong", 1)


def test_open_refuses_what_is_no_run_folder(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "dqn", "Pong", 1)
    with pytest.raises(CheckpointError, match=r"holds no config\.json"):
        RunFolder.open(run.path)
    run.write_config({"seed": 1})
    assert RunFolder.open(run.path).read_config() == {"seed": 1}
    with pytest.raises(CheckpointError, match=r"no run folder.*Did you mean 'dqn__Pong"):
        RunFolder.open(tmp_path / run.path.name[:-1])


def test_a_file_is_not_a_run_and_no_folder_s_likely_name(tmp_path: Path) -> None:
    (tmp_path / "some_file").touch()
    with pytest.raises(CheckpointError, match=r"some_file is a file; a run is a folder"):
        RunFolder.open(tmp_path / "some_file")
    with pytest.raises(CheckpointError, match=r"no run folder at .*some_fil\.$"):
        RunFolder.open(tmp_path / "some_fil")


def test_config_and_result_round_trip_as_strict_json(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.write_config({})
    run.write_result({"mean": np.float32(0.5), "worst": math.nan, "returns": (1, 2), "file": Path("a/b")})
    assert run.read_result() == {"mean": 0.5, "worst": None, "returns": [1, 2], "file": "a/b"}
    run.config_file.unlink()
    with pytest.raises(CheckpointError, match=r"config\.json"):
        run.read_config()
    run.config_file.write_text('{"seed": ')
    with pytest.raises(CheckpointError, match="cut short"):
        run.read_config()


def test_metrics_are_on_disk_after_each_line_and_hold_no_nan(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.read_metrics() == []
    run.append_metrics({"global_step": 1, "losses/td_loss": math.inf, "charts/SPS": np.float64(2.5)})
    assert run.metrics_file.read_text() == '{"global_step": 1, "losses/td_loss": null, "charts/SPS": 2.5}\n'
    run.append_metrics({"global_step": 2})
    assert [line["global_step"] for line in run.read_metrics()] == [1, 2]


@pytest.mark.parametrize("torn", ['{"global_st', '{"global_step": 2}', "x" * 10_000])
def test_a_torn_last_line_is_ignored_and_cut_off_by_the_next(tmp_path: Path, torn: str) -> None:
    run = RunFolder(tmp_path)
    run.append_metrics({"global_step": 1})
    with run.metrics_file.open("a") as file:
        file.write(torn)
    assert run.read_metrics() == [{"global_step": 1}]
    run.append_metrics({"global_step": 3})
    assert run.read_metrics() == [{"global_step": 1}, {"global_step": 3}]


def test_lines_that_are_no_metrics_are_left_out_counted_and_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, deep = RunFolder(tmp_path), "[" * 5_000 + "]" * 5_000
    lines = ['{"global_step": 1}', '{"glob', "5", "[]", f'{{"a": {deep}}}', deep, '{"a": "text"}', '{"a": NaN}']
    run.metrics_file.write_bytes("\n".join([*lines, '{"global_step": 3, "a": null}', '{"torn']).encode())
    expected = [{"global_step": 1}, {"global_step": 3, "a": None}]
    assert run.read_metrics() == expected == run.read_metrics()
    said = f"{run}/metrics.jsonl: 7 lines of 10 cannot be read and are left out, the first is line 2\n"
    assert capsys.readouterr().out == said


def test_a_line_without_an_end_takes_bounded_memory(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.metrics_file.write_bytes(b'{"global_step": 1}\n' + b"[" * 5_000_000)
    assert run.read_metrics() == [{"global_step": 1}]


@pytest.mark.parametrize("name", ["checkpoints", "checkpoints/latest", "videos", "pictures"])
def test_a_folder_of_a_run_that_is_a_link_or_a_file_is_not_written(tmp_path: Path, name: str) -> None:
    run, other = RunFolder.create(tmp_path / "runs", "dqn", "CartPole", 1), tmp_path / "mine"
    other.mkdir()
    if (run.path / name).exists():
        (run.path / name).rmdir()
    (run.path / name).symlink_to(other)
    with pytest.raises(CheckpointError, match=f"{name}: a link or a file"):
        run.lock()
    (run.path / name).unlink()
    (run.path / name).write_text("mine")
    with pytest.raises(CheckpointError, match=f"{name}: a link or a file"):
        run.lock()
    assert not (run.path / ".lock").exists()


def test_pictures_are_not_drawn_into_a_linked_folder_and_its_links_stay(tmp_path: Path) -> None:
    mine, pictures = tmp_path / "mine", tmp_path / "pictures"
    mine.mkdir()
    (mine / "link").symlink_to("anything")
    pictures.symlink_to(mine)
    without_links(pictures)
    assert not pictures.exists() and (mine / "link").is_symlink()


def test_a_pipe_in_place_of_a_picture_is_not_written_into(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "play.mp4")
    (tmp_path / "kept.png").write_text("kept")
    (tmp_path / "folder").mkdir()
    without_links(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "kept.png"]


def test_a_folder_that_cannot_be_looked_into_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder.create(tmp_path, "dqn", "CartPole", 1)

    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(CheckpointError, match=r"cannot read .*: Permission denied"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("name", ["config.json", "metrics.jsonl", "result.json"])
def test_a_file_of_a_run_that_is_a_link_is_not_written_through(tmp_path: Path, name: str) -> None:
    run, other = RunFolder(tmp_path / "run"), tmp_path / "other"
    run.path.mkdir()
    other.write_text("mine")
    (run.path / name).symlink_to(other)
    with pytest.raises(CheckpointError, match=f"{name} is a link"):
        run.lock()
    if name == "metrics.jsonl":
        with pytest.raises(SaveError):
            run.append_metrics({"global_step": 1})
    assert other.read_text() == "mine" and {entry.name for entry in run.path.iterdir()} == {name}


def test_truncate_metrics_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for step in (1, 5, 5, 9):
        run.append_metrics({"global_step": step})
    run.truncate_metrics(5)
    run.append_metrics({"global_step": 6})
    assert [line["global_step"] for line in run.read_metrics()] == [1, 5, 5, 6]


def test_a_record_with_lines_that_cannot_be_read_is_kept_as_it_was_when_it_is_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder(tmp_path)
    run.append_metrics({"global_step": 1})
    with run.metrics_file.open("ab") as file:
        file.write(b"\xff\xfe of another encoding\n")
    before = run.metrics_file.read_bytes()
    run.truncate_metrics(5)
    run.append_metrics({"global_step": 6})
    run.truncate_metrics(6)  # nothing is damaged any more
    assert (tmp_path / "metrics.damaged.jsonl").read_bytes() == before
    assert [line["global_step"] for line in run.read_metrics()] == [1, 6]
    assert capsys.readouterr().out.count("as it was it is kept in metrics.damaged.jsonl") == 1


def test_metrics_on_a_full_disk_say_so_and_the_next_line_is_whole(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.append_metrics({"global_step": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, hard))
    try:
        with pytest.raises(SaveError, match="metrics"):
            run.append_metrics({"global_step": 2, "charts/episodic_return": -21.0})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    run.append_metrics({"global_step": 3})
    assert run.read_metrics() == [{"global_step": 1}, {"global_step": 3}]


def test_lines_go_on_in_a_file_that_somebody_removed_or_whose_folder_came_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    with pytest.raises(SaveError, match="metrics"):
        run.append_metrics({"global_step": 1})
    run.path.mkdir()
    for step in (2, 3):
        run.append_metrics({"global_step": step})
    run.metrics_file.unlink()
    run.append_metrics({"global_step": 4})
    assert run.read_metrics() == [{"global_step": 4}]
    shutil.rmtree(run.path)
    with pytest.raises(SaveError, match="metrics"):
        run.append_metrics({"global_step": 5})
    run.path.mkdir()
    run.append_metrics({"global_step": 6})
    assert run.read_metrics() == [{"global_step": 6}]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells which files are open")
def test_a_record_leaves_no_file_open_behind(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        run = RunFolder(tmp_path / str(number))
        run.path.mkdir()
        run.append_metrics({"global_step": 1})
        run.append_metrics({"global_step": 2})
        run.truncate_metrics(1)
        run.append_metrics({"global_step": 3})
        assert [line["global_step"] for line in run.read_metrics()] == [1, 3]
    del run
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_folder_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunFolder.create(Path("runs"), "dqn", "Pong", 1)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run.write_config({"seed": 1})
    run.append_metrics({"global_step": 1})
    assert run.read_config() == {"seed": 1} and not list(Path().iterdir())
    assert run.path == tmp_path / str(run) and str(run) == f"runs/{run.path.name}"
    assert run.shown(run.videos / "final.mp4") == f"{run}/videos/final.mp4"


def test_a_line_without_a_step_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(tmp_path)
    for line in ({"global_step": 1}, {}, {"charts/SPS": 2.0}, {"global_step": 2}):
        run.append_metrics(line)
    assert [row["global_step"] for row in run.read_metrics()] == [1, 2]
    assert "2 lines of 4 cannot be read and are left out, the first is line 2" in capsys.readouterr().out


@pytest.mark.timeout(20)
def test_a_record_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "dqn", "Pong", 1)
    with run.metrics_file.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl has more than 4,294,967,296 bytes"):
        run.read_metrics()


def test_a_folder_that_is_exchanged_while_it_is_written_is_refused(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path, "dqn", "Pong", 1)
    run.write_config({})
    run.refuse_gone()
    run.config_file.unlink()
    with pytest.raises(SaveError, match=r"has lost its config\.json"):
        run.refuse_gone()
    run.write_config({})
    run.checkpoints.rename(tmp_path / "elsewhere")
    run.checkpoints.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SaveError, match=r"checkpoints: a link or a file"):
        run.refuse_gone()


def test_the_name_of_a_folder_gives_a_terminal_no_commands(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a\x1b[2J\u202eb")
    assert str(run) == f"{tmp_path}/a [2J b" == run.shown(run.config_file).removesuffix("/config.json")
