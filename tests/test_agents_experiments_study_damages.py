"""Studies that no worker has written are refused in one line, and files that are none are not touched."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sweep_command import shared_study

from rl_gen_lab.cli.errors import CheckpointError, ConfigError

optuna = pytest.importorskip("optuna", reason="the extra `sweep` is not installed")
pytestmark = pytest.mark.timeout(120)


DAMAGES: dict[str, tuple[str, str]] = {  # lines of a journal that no worker writes
    "place of text": ('"op_code":8,"trial_id":0,"user_attr":{"place":"x"}', "'place' must be a whole number"),
    "place far away": ('"op_code":8,"trial_id":0,"user_attr":{"place":999999999999}', "'place' must be a whole number"),
    "place of nobody": ('"op_code":8,"trial_id":0,"user_attr":{"place":99999}', "a trial has place 99999"),
    "scores of text": ('"op_code":8,"trial_id":0,"user_attr":{"scores":["x"]}', r"'scores\[0\]' must be a number"),
    "worker of text": ('"op_code":8,"trial_id":0,"user_attr":{"worker":"x"}', "'worker' must be an object"),
    "plan of numbers": ('"op_code":2,"study_id":0,"user_attr":{"plan":5}', "'plan' must be an object"),
    "places of text": ('"op_code":2,"study_id":0,"user_attr":{"places":"a"}', "'places' must be a whole number"),
    "value without a step": ('"op_code":7,"trial_id":0,"step":-5,"intermediate_value":1.0', "has no step"),
    "step with a point": ('"op_code":7,"trial_id":0,"step":300.5,"intermediate_value":1.0', "has no step"),
    "value of text": ('"op_code":7,"trial_id":0,"step":5,"intermediate_value":"x"', "'5' must be a number"),
    "settings that the search cannot find": (
        '"op_code":9,"trial_id":0,"system_attr":{"fixed_params":{"gamma":0.5}}',
        "trial 0 .*'fixed_params' has what the search cannot find",
    ),
    "settings of text": ('"op_code":9,"trial_id":0,"system_attr":{"fixed_params":"x"}', "'fixed_params' has what"),
    "complete without settings": (
        '"op_code":6,"trial_id":0,"state":1,"values":[5.0],"datetime_complete":"2026-01-01T00:00:00"',
        "it has no 'learning_rate'",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_study_that_no_worker_has_written_is_refused_and_kept(kind: str, tmp_path: Path) -> None:
    line, said = DAMAGES[kind]
    shared = shared_study(tmp_path)
    journal = Path(shared.storage)
    with journal.open("a") as file:
        file.write(f'{{{line},"worker_id":"x"}}\n')
    before = journal.read_bytes()
    with pytest.raises(CheckpointError, match=said):
        shared_study(tmp_path)
    assert journal.read_bytes() == before


def test_a_study_that_looks_for_the_lowest_score_is_refused(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    optuna.create_study(storage=storage, study_name="short", direction="minimize")
    with pytest.raises(CheckpointError, match="looks for the lowest score"):
        shared_study(tmp_path, storage)


def test_a_file_that_is_no_journal_is_not_taken_for_one(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    for content in (b"my only line without newline", b"a line\nand another", b'{"a": 1}\n'):
        mine.write_bytes(content)
        with pytest.raises(CheckpointError, match="is of no journal of a study"):
            shared_study(tmp_path, str(mine))
        assert mine.read_bytes() == content
    (tmp_path / "link.log").symlink_to(mine)
    with pytest.raises(CheckpointError, match="is a link"):
        shared_study(tmp_path, str(tmp_path / "link.log"))
    with mine.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(CheckpointError, match="has more than"):
        shared_study(tmp_path, str(mine))


def test_a_journal_whose_lines_are_out_of_order_is_named(tmp_path: Path) -> None:
    shared = shared_study(tmp_path)
    assert shared.claim() is not None
    journal = Path(shared.storage)
    lines = journal.read_bytes().splitlines(keepends=True)
    of_a_trial = next(number for number, line in enumerate(lines) if b'"trial_id"' in line)
    for changed in (lines[::-1], [lines[0], lines[of_a_trial], *lines[1:]]):
        journal.write_bytes(b"".join(changed))
        with pytest.raises(CheckpointError, match="is about what no line before has made"):
            shared_study(tmp_path)


SQL = {  # what a database may hold that no worker has written
    "a state": "UPDATE trials SET state='X'",
    "a date": "UPDATE trials SET datetime_start='nodate', state='RUNNING'",
    "an attribute": "UPDATE trial_user_attributes SET value_json='{'",
    "a plan": "UPDATE study_user_attributes SET value_json='x'",
    "a version": "UPDATE alembic_version SET version_num='v9.9.9'",
}


@pytest.mark.parametrize("kind", SQL)
def test_a_damaged_database_is_one_error(kind: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    shared_study(tmp_path, storage)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute(SQL[kind])
        database.commit()
    with pytest.raises(CheckpointError, match=r"the study in sqlite:.* is damaged"):
        shared_study(tmp_path, storage)


def test_a_database_of_another_form_or_with_a_damaged_page_is_one_error(tmp_path: Path) -> None:
    for number, damage in enumerate(("a column", "a page")):
        file = tmp_path / f"{number}.db"
        shared_study(tmp_path, f"sqlite:///{file}")
        if damage == "a page":
            content = file.read_bytes()
            file.write_bytes(content[:4096] + bytes(4096) + content[8192:])
        else:
            with closing(sqlite3.connect(file)) as database:
                database.execute("ALTER TABLE trial_values DROP COLUMN value_type")
        with pytest.raises(ConfigError, match=r"cannot reach or use the database sqlite:.*\.db: [^\n]*$"):
            shared_study(tmp_path, f"sqlite:///{file}").trials()


def test_a_complete_trial_without_a_score_is_one_error(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    shared = shared_study(tmp_path, storage)
    trial = shared.claim()
    assert trial is not None
    shared.sweep.space.suggest(trial)
    shared.study.tell(trial, 5.0)
    shared.trials()
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute("DELETE FROM trial_values")
        database.commit()
    with pytest.raises(CheckpointError, match=r"trial 0 .* is damaged: 'values' must be a list"):
        shared_study(tmp_path, storage)
