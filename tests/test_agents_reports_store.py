"""CSVs of results: rows are inserted or replaced, no row is lost, a broken file is refused in one line."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agents.reports.store import ResultsError, read_csv, upsert, write_csv
from rl_gen_lab.cli.errors import SaveError

ROOT = Path(__file__).resolve().parent.parent


def test_a_torn_row_is_refused_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / "memory.csv"
    file.write_text("what,megabytes\nreplay,710\nother\n")
    with pytest.raises(ResultsError, match="row 3"):
        read_csv(file)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'what,agent\n"' + b"x" * 200_000])
def test_a_file_that_is_no_csv_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "classic.csv"
    file.write_bytes(content)
    with pytest.raises(ResultsError, match=r"classic\.csv"):
        upsert(file, [{"what": "a"}], key=("what",))
    assert file.read_bytes() == content


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "endless", "terabyte"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "classic.csv"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file.symlink_to("/dev/zero")
    else:
        with file.open("wb") as opened:
            opened.truncate(2**40)
    with pytest.raises(ResultsError, match=r"cannot read .*classic\.csv: it (is no regular file|has more than)"):
        read_csv(file)


ROWS = [
    {"env": "b", "who": "x", "speed": 1},
    {"env": "b", "who": "y", "speed": 2},
    {"env": "a", "who": "x", "speed": 3},
]


def speeds(file: Path) -> list[str]:
    return [row["speed"] for row in read_csv(file)[1]]


def test_a_new_row_is_appended_and_replaces_those_of_its_key(tmp_path: Path) -> None:
    file = tmp_path / "made" / "speed.csv"
    upsert(file, ROWS, key=("env", "who"))
    assert file.read_bytes() == b"env,who,speed\nb,x,1\nb,y,2\na,x,3\n"
    upsert(file, [ROWS[0] | {"speed": 4}], key=("env", "who"))
    assert speeds(file) == ["2", "3", "4"]


def test_several_rows_of_a_key_are_replaced_together(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, ROWS, key=("env",))
    upsert(file, [ROWS[0] | {"speed": 5}, ROWS[0] | {"speed": 6}, ROWS[0] | {"speed": 7}], key=("env",))
    assert speeds(file) == ["3", "5", "6", "7"]


def test_a_row_in_place_stays_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, ROWS, key=("env", "who"), in_place=True)
    upsert(file, [ROWS[0] | {"speed": 8}, ROWS[0] | {"speed": 9}], key=("env", "who"), in_place=True)
    assert speeds(file) == ["9", "2", "3"]


def test_rows_are_sorted_by_the_asked_columns_and_ties_keep_their_order(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, ROWS, key=("env", "who"), sort=("env",))
    assert speeds(file) == ["3", "1", "2"]


def test_a_cell_that_is_unknown_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, [{"env": "a, b", "speed": None}], key=("env",))
    assert read_csv(file)[1] == [{"env": "a, b", "speed": ""}]


def test_a_file_of_other_columns_is_not_touched(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    file.write_text("what,megabytes\nreplay,710\n")
    with pytest.raises(ResultsError, match="other columns"):
        upsert(file, ROWS, key=("env",))
    assert file.read_text() == "what,megabytes\nreplay,710\n"
    write_csv(file, ["what"], [{"what": "a"}])
    assert file.read_text() == "what\na\n"


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "pong.csv").write_text("what\n")
    with pytest.raises(ResultsError, match="Did you mean 'pong'"):
        read_csv(tmp_path / "pnog.csv")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SaveError, match="could not save"):
        upsert(tmp_path / "file" / "speed.csv", ROWS, key=("env",))


# Adds rows as soon as a file named "go" appears.
WRITER = """
import sys, time
from pathlib import Path
from agents.reports.store import upsert
file, name = Path(sys.argv[1]), sys.argv[2]
file.with_name(name).touch()
while not file.with_name("go").exists():
    time.sleep(0.001)
for k in range(20):
    upsert(file, [{"run": f"{name}{k}", "speed": k}], key=("run",))
"""


def test_two_processes_that_record_at_once_lose_no_row(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(file), name], cwd=ROOT) for name in "ab"]
    while not all((tmp_path / name).exists() for name in "ab"):
        assert all(writer.poll() is None for writer in writers)
        time.sleep(0.01)
    (tmp_path / "go").touch()
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert sorted(row["run"] for row in read_csv(file)[1]) == sorted(f"{name}{k}" for name in "ab" for k in range(20))


def test_threads_that_record_at_once_lose_no_row(tmp_path: Path) -> None:
    file, both = tmp_path / "speed.csv", threading.Barrier(2)

    def add(name: str) -> None:
        both.wait()
        for k in range(20):
            upsert(file, [{"run": f"{name}{k}"}], key=("run",))

    threads = [threading.Thread(target=add, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_csv(file)[1]) == 40


# Is killed when half of the new file is written.
KILLED = """
import csv, os, signal, sys
from pathlib import Path
from agents.reports.store import upsert

class Writer(csv.DictWriter):
    def writerows(self, rows):
        self.writerow(next(iter(rows)))
        os.kill(os.getpid(), signal.SIGKILL)

csv.DictWriter = Writer
upsert(Path(sys.argv[1]), [{"run": "new", "speed": 9}], key=("run",))
"""


def test_a_kill_while_writing_leaves_the_old_file_and_no_lock(tmp_path: Path) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, [{"run": name, "speed": 1} for name in "ab"], key=("run",))
    before = file.read_bytes()
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert file.read_bytes() == before
    upsert(file, [{"run": "new", "speed": 9}], key=("run",))
    assert [row["run"] for row in read_csv(file)[1]] == ["a", "b", "new"]


def test_an_interruption_while_writing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "speed.csv"
    upsert(file, ROWS, key=("env",))
    before = file.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(csv.DictWriter, "writerows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        upsert(file, ROWS, key=("env",))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def test_the_name_of_a_folder_that_is_no_text_is_written_so_that_it_can_be_read(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("run",), [{"run": "a\udcff"}])  # as Python gives names of other encodings
    assert read_csv(tmp_path / "a.csv") == (["run"], [{"run": "a\\udcff"}])
