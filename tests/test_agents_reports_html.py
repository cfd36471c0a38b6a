"""The page of a comparison is a single file that needs no other."""

import base64
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_runs import MP4, make_run, three_runs

from agents.reports import html
from agents.reports.comparison import Comparison, compare_runs
from agents.reports.html import write_page
from agents.reports.run_record import load_run


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return three_runs(tmp_path_factory.mktemp("runs"))


def page_of(comparison: Comparison, folder: Path) -> str:
    """Write a page, with three bytes instead of a figure."""
    (folder / "figure.png").write_bytes(b"PNG")
    write_page(comparison, folder / "figure.png", folder / "index.html")
    return (folder / "index.html").read_text()


@pytest.fixture(scope="module")
def page(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(comparison, tmp_path_factory.mktemp("page"))


class Links(HTMLParser):
    """Collects every address in a page and checks that tags are closed in order."""

    VOID = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_well_formed_and_needs_no_other_file(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.open == []
    assert links.addresses and all(address.startswith("data:") for address in links.addresses)
    assert "<script" not in page


def test_figure_and_video_are_embedded_unchanged(page: str) -> None:
    [png] = re.findall(r"data:image/png;base64,([^\"]+)", page)
    assert base64.b64decode(png) == b"PNG"
    [video] = re.findall(r"data:video/mp4;base64,([^\"]+)", page)
    assert base64.b64decode(video) == MP4
    assert "seed 2: no video" in page


def test_a_video_too_large_to_embed_is_named_instead(
    comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "LARGEST_VIDEO_BYTES", 1)
    page = page_of(comparison, tmp_path)
    assert "data:video" not in page and "too large to embed" in page


def test_text_from_runs_cannot_become_markup(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, command=["python", "<script>alert(1)</script>"]))
    page = page_of(compare_runs([run]), tmp_path)
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_page_shows_fingerprint_and_caveats(comparison: Comparison, page: str) -> None:
    assert comparison.fingerprint["hash"] in page
    assert "sb3_dqn: one run" in page


def test_runs_without_a_score_still_get_a_page(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path, steps=800, evaluations=0, status=None))
    assert "no final evaluation" in page_of(compare_runs([run]), tmp_path)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", ["pipe", "endless", "link", "folder", "itself"])
def test_videos_that_are_no_files_of_the_run_are_left_out(kind: str, tmp_path: Path) -> None:
    comparison = three_runs(tmp_path / "runs")
    (tmp_path / "mine").write_bytes(b"a secret of mine")
    for run in (run for group in comparison.groups for run in group.runs):
        for file in (run.folder / "videos").glob("*.mp4"):
            file.unlink()
        film = run.folder / "videos" / "final.mp4"
        if kind == "pipe":
            os.mkfifo(film)
        elif kind == "folder":
            film.mkdir()
        else:
            film.symlink_to({"endless": "/dev/zero", "link": tmp_path / "mine", "itself": film.name}[kind])
    page = page_of(comparison, tmp_path)
    assert "<video" not in page and "no video" in page
    assert base64.b64encode(b"a secret of mine").decode() not in page
