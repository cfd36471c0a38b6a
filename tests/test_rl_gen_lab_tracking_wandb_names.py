"""Project, entity, group, tags, notes and mode of a run: flag before variable before W&B's settings before ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from tracked_runs import read_back, read_finished, start
from wandb_reader import find_logs

from rl_gen_lab.cli.errors import ConfigError, SaveError
from rl_gen_lab.cli.settings import WandbConfig
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking import wandb_init, wandb_names

pytestmark = pytest.mark.usefixtures("without_machine_statistics")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """W&B's own settings file of a folder, which its commands `offline`, `disabled` and `init` write like this."""
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()  # W&B reads the environment once per process

    def write(**values: str) -> None:
        files = wandb.setup().settings.read_system_settings()
        for key, value in values.items():
            files.set(key, value)
        files.save()
        assert "[default]" in (tmp_path / "wandb" / "settings").read_text()

    yield write
    wandb.teardown()


@pytest.mark.parametrize(
    ("mode", "variable", "flag", "expected"),
    [
        ("offline", None, "auto", "offline"),
        ("disabled", None, "auto", "disabled"),
        ("online", None, "auto", "online"),
        ("offline", "online", "auto", "online"),
        ("disabled", "offline", "auto", "offline"),
        ("offline", None, "online", "online"),
    ],
)
def test_what_the_user_told_wandb_once_holds_although_a_key_is_stored(
    stored: Any, monkeypatch: pytest.MonkeyPatch, mode: str, variable: str | None, flag: Any, expected: str
) -> None:
    monkeypatch.setattr(wandb_init, "_has_key", lambda: True)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    stored(mode=mode)
    chosen, reason = wandb_init.choose_mode(flag, wandb_names.stored_settings)
    assert chosen == expected
    assert ("W&B's settings say" in reason) == (expected == mode != "online")


def test_a_run_obeys_the_settings_file_and_says_so_in_one_line(
    run: RunFolder, stored: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wandb_init, "_has_key", lambda: True)
    stored(mode="disabled")
    capsys.readouterr()
    with start(run, "auto") as tracker:
        tracker.log({"charts/SPS": 1.0}, 1)
    (line,) = capsys.readouterr().out.splitlines()
    assert "disabled" in line and "wandb online" in line
    assert tracker.mode == "disabled" and find_logs(run.path) == [] and len(run.read_metrics()) == 1


def test_variables_name_project_owner_group_labels_name_and_notes(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "PROJECT": "lab two", "ENTITY": "team", "RUN_GROUP": "mine", "TAGS": "one, two,", "NAME": "my run",
        "NOTES": "why", "JOB_TYPE": "eval",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    start(run).finish(0)
    found = read_back(run)
    assert (found.project, found.entity, found.group) == ("lab two", "team", "mine")
    assert (found.name, found.notes, found.job_type) == ("my run", "why", "eval")
    assert found.tags[:3] == ["one", "two", "mine"]


def test_flags_come_before_variables_and_those_before_what_wandb_init_stored(
    tmp_path: Path, stored: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(project="of init", entity="owner of init")
    monkeypatch.setenv("WANDB_NOTES", "of the variable")

    def names(config: WandbConfig) -> tuple[str, str, str]:
        run = RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)
        start(run, config=config).finish(0)
        found = read_back(run)
        return found.project, found.entity, found.notes

    assert names(WandbConfig("offline")) == ("of init", "owner of init", "of the variable")
    monkeypatch.setenv("WANDB_PROJECT", "of the variable")
    assert names(WandbConfig("offline")) == ("of the variable", "owner of init", "of the variable")
    flags = WandbConfig("offline", project="of the flag", entity="me", notes="typed")
    assert names(flags) == ("of the flag", "me", "typed")


def test_without_any_of_them_the_project_is_ours(run: RunFolder) -> None:
    start(run).finish(0)
    assert (read_back(run).project, read_back(run).notes) == ("rl_gen_lab", "")


def test_a_resumed_run_stays_in_its_project_and_group(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "first")
    start(run).finish(0)
    monkeypatch.setenv("WANDB_PROJECT", "second")
    start(run, flat_config={"a": "a setting of another version"}).finish(0)
    parts = [read_finished(file) for file in find_logs(run.path)]
    assert [part.project for part in parts] == ["first", "first"] and parts[0].group == parts[1].group
    (run.path / "wandb_names.json").write_text("{ torn")
    start(run).finish(0)
    assert read_finished(find_logs(run.path)[-1]).project == "second"


@pytest.mark.parametrize(
    ("config", "variable", "said"),
    [
        (WandbConfig(project="a/b"), None, r"--wandb.project 'a/b' contains '/'"),
        (WandbConfig(project=""), None, r"--wandb.project is empty"),
        (WandbConfig(project="a" * 129), None, r"--wandb.project has 129 characters; W&B takes 1 to 128"),
        (WandbConfig(tags=("fine", "t" * 65)), None, r"--wandb.tags has 65 characters; W&B takes 1 to 64"),
        (WandbConfig(tags=("",)), None, r"--wandb.tags is empty"),
        (WandbConfig(), ("WANDB_PROJECT", "what?"), r"WANDB_PROJECT 'what\?' contains '\?'"),
        (WandbConfig(), ("WANDB_TAGS", "a," + "t" * 65), r"WANDB_TAGS has 65 characters"),
        (WandbConfig(), ("WANDB_RUN_GROUP", "g" * 129), r"WANDB_RUN_GROUP has 129 characters"),
    ],
)
def test_names_that_wandb_would_refuse_are_refused_in_every_mode(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, config: WandbConfig, variable: tuple[str, str] | None, said: str
) -> None:
    if variable:
        monkeypatch.setenv(*variable)
    for mode in ("disabled", "offline"):
        with pytest.raises(ConfigError, match=said):
            start(run, config=WandbConfig(**{**vars(config), "mode": mode}))
    assert not (run.path / "wandb_id").exists()


def test_a_folder_in_the_place_of_the_id_is_refused_before_wandb_makes_folders(run: RunFolder) -> None:
    (run.path / "wandb_id").mkdir()
    with pytest.raises(SaveError, match="it is a folder"):
        start(run, config=WandbConfig("offline"))
    assert [path.name for path in run.path.iterdir() if path.name.startswith("wandb")] == ["wandb_id"]


def test_a_variable_that_a_flag_overrides_may_be_wrong(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "a/b")
    monkeypatch.setenv("WANDB_TAGS", ",")  # W&B itself fails for an empty tag
    start(run, config=WandbConfig("offline", project="right")).finish(0)
    assert read_back(run).project == "right"


def test_a_wrong_name_in_the_settings_file_is_named(stored: Any) -> None:
    with pytest.raises(ConfigError, match="'project' in W&B's settings"):
        wandb_names.resolve(WandbConfig(), {"project": "a/b"})
    with pytest.raises(ConfigError, match="mode in W&B's settings is 'sometimes'"):
        wandb_init.choose_mode("auto", lambda: {"mode": "sometimes"})
