"""Numbers, times and metrics are worded alike in every report."""

import math

from agents.reports.format import (
    duration,
    interval,
    markdown,
    median,
    median_and_range,
    metrics_from_text,
    metrics_to_text,
    number,
    time_to_score,
)
from agents.reports.statistics import Estimate


def test_time_to_a_score_is_a_median_with_the_time_of_each_seed() -> None:
    reached = time_to_score([2.0, 1.0, math.inf], [1000, 500, math.inf])
    assert reached == "2.0 min, 1,000 steps (2 of 3 runs, by seed: 2.0 min, 1.0 min, never)"
    assert time_to_score([2.0, math.inf], [1000, math.inf]) == "not reached (1 of 2 runs)"
    assert time_to_score([0.5], [1000]) == "30 s, 1,000 steps (1 of 1 run)"


def test_an_estimate_has_its_interval_behind_it() -> None:
    assert interval(Estimate(19.84, 19.1, 20.26, 3, 60, "episodes")) == "19.8 [19.1, 20.3]"
    assert interval(None) == "no final evaluation"


def test_times_below_a_minute_are_in_seconds() -> None:
    assert [duration(value) for value in (0.1, 0.99, 1.0, 49.56, math.inf)] == [
        "6 s",
        "59 s",
        "1.0 min",
        "49.6 min",
        "never",
    ]


def test_median_and_range_ignore_what_is_unknown() -> None:
    assert median_and_range([1.0, None, 3.0, 2.0], 1) == "2.0 (1.0 to 3.0)"
    assert median_and_range([1200.0, 1200.0]) == "1,200"
    assert median_and_range([None]) == median([]) == "-"
    assert median([None, 4.0, 1.0]) == "2"


def test_metrics_survive_a_cell_of_a_csv() -> None:
    text = metrics_to_text({"f1": 0.5, "f1/a ball": 0.97619012, "ap": 1.0})
    assert text == "f1=0.5 f1/a_ball=0.97619 ap=1"
    assert metrics_from_text(text) == {"f1": 0.5, "f1/a_ball": 0.97619, "ap": 1.0}


def test_a_cell_of_a_markdown_table_is_one_line_without_bars() -> None:
    assert markdown(["a"], [["x|y\nz "]]) == "| a |\n| --- |\n| x\\|y z |\n"


def test_unknown_and_infinite_numbers_are_words() -> None:
    assert [number(value) for value in (None, float("nan"), float("inf"), 1234.56)] == [
        "-",
        "-",
        "never",
        "1,234.6",
    ]
