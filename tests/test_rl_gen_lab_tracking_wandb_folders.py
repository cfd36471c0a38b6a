"""What W&B writes lies in the run folder, also what a kill leaves behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from tracked_runs import ROOT

from rl_gen_lab.tracking.wandb_folders import WandbFolders

CODE = """if True:
    import os, pathlib, signal, sys
    from PIL import Image
    from rl_gen_lab.runs.folder import RunFolder
    from rl_gen_lab.tracking.tracker import Tracker, WandbConfig
    run = RunFolder(pathlib.Path(sys.argv[1]))
    tracker = Tracker.start(run, WandbConfig(mode="offline"), algo="dqn", env_id="Pong", seed=1,
                            flat_config={}, fingerprint_hash="a")
    tracker.table("table", ["a"], [[1]])
    picture = run.path / "picture.png"
    Image.new("RGB", (4, 4)).save(picture)
    tracker.image("picture", picture, 1)
    tracker.model(picture, {})
    print("logged", flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    tracker.finish(0)
"""


def record(run: Path, system: Path, how: str) -> None:
    """Record a run in a process of its own, whose folder for temporary files is `system`."""
    for folder in (run, system, system / "home"):
        folder.mkdir(exist_ok=True)
    # WANDB_SERVICE: the service of this process, which a child would use instead of one of its own.
    hidden = ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_SERVICE")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    env |= {"TMPDIR": str(system), "HOME": str(system / "home")}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(run), how], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout == "logged\n" and done.returncode == (-signal.SIGKILL if how == "kill" else 0), done.stderr


def left(system: Path) -> list[str]:
    """Everything but what the service itself removes within a moment of its program's death."""
    for _ in range(200):
        found = [str(file.relative_to(system)) for file in system.rglob("*") if file.name != "home"]
        if not found:
            break
        time.sleep(0.05)
    return found


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_outside_its_folder_and_its_next_part_tidies_up(tmp_path: Path) -> None:
    run, system = tmp_path / "run", tmp_path / "system"
    record(run, system, "kill")
    assert left(system) == []
    temporary = run / "wandb" / "tmp"
    assert any(temporary.rglob("*wandb-media"))
    time.sleep(1.1)  # W&B names the folder of a part by the second
    record(run, system, "finish")
    assert left(system) == [] and not temporary.exists()


def test_variables_are_restored_and_a_cache_of_the_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_CACHE_DIR", "mine")
    monkeypatch.delenv("WANDB_DATA_DIR")
    folders = WandbFolders(tmp_path)
    folders.open()
    assert (os.environ["WANDB_CACHE_DIR"], os.environ["WANDB_DATA_DIR"]) == ("mine", str(tmp_path / "wandb"))
    folders.close()
    assert "WANDB_DATA_DIR" not in os.environ and os.environ["WANDB_CACHE_DIR"] == "mine"
    monkeypatch.delenv("WANDB_CACHE_DIR")
    folders.open()
    assert os.environ["WANDB_CACHE_DIR"] == str(tmp_path / "wandb" / "cache")
    folders.close()
    folders.close()
    assert "WANDB_CACHE_DIR" not in os.environ


def test_temporary_files_are_redirected_only_inside_and_survive_a_folder_that_cannot_be(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with WandbFolders(tmp_path).temporary():
        assert Path(tempfile.mkdtemp()).is_relative_to(tmp_path / "wandb" / "tmp")
    assert tempfile.gettempdir() == before
    (tmp_path / "file").touch()
    with WandbFolders(tmp_path / "file").temporary():
        assert tempfile.gettempdir() == before


@pytest.mark.parametrize("name", ["wandb", "wandb/tmp", "wandb/cache"])
def test_nothing_is_removed_or_written_through_a_link(name: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for folder in ("precious", "tmp/precious"):
        (mine / folder).mkdir(parents=True)
        (mine / folder / "file").write_text("mine")
    run = tmp_path / "run"
    (run / name).parent.mkdir(parents=True)
    (run / name).symlink_to(mine)
    before = sorted(str(path) for path in mine.rglob("*"))
    folders = WandbFolders(run)
    problem = folders.problem()
    assert problem is not None and f"{run / name}: it is a link" in problem
    with folders.temporary():
        pass
    assert sorted(str(path) for path in mine.rglob("*")) == before
