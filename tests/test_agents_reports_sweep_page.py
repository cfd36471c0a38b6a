"""The page of a study holds everything, as text that is no markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from sweep_studies import study_record

from agents.reports.sweep_figure import write_figures
from agents.reports.sweep_page import coordinates, write_page


class Tags(HTMLParser):
    """Counts tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.append(tag)


def test_the_page_embeds_its_figures_and_names_every_trial(tmp_path: Path) -> None:
    study = study_record()
    page = tmp_path / "study.html"
    write_page(study, write_figures(study, tmp_path), page, "python -m agents.dqn --gamma 0.9 > out")
    text = page.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.found.count("img") == 3 and text.count("data:image/png;base64,") == 3
    assert tags.found.count("polyline") == 5 and tags.found.count("tr") == 10
    assert "the disk is &lt;on fire&gt;" in text and "--gamma 0.9 &gt; out" in text
    assert not re.search(r'(?:src|href)="(?!data:)', text)  # nothing is loaded from elsewhere


def test_each_line_of_the_coordinates_says_which_trial_it_is() -> None:
    svg = coordinates(study_record())
    assert "trial 8: -2; learning_rate 0.01, n_step 1, net_arch [64], double True" in svg
    assert svg.count('stroke="#D55E00"') == 1


def test_a_study_without_a_complete_trial_has_a_page(tmp_path: Path) -> None:
    page = tmp_path / "study.html"
    write_page(replace(study_record(0), importance={}), [], page, "")
    assert "0 trials" in page.read_text(encoding="utf-8")
