"""The W&B workspace: its panels, checked without network or account."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from rl_gen_lab.tracking import workspace
from rl_gen_lab.tracking.workspace import GROUP_BY, SECONDS, STEPS, DashboardError, Line, Media, Scalar, sections

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is an optional extra"
)


def lines() -> list[Line]:
    return [panel for content in sections().values() for panel in content if isinstance(panel, Line)]


def test_evaluation_and_training_returns_are_drawn_by_steps_and_by_wall_clock() -> None:
    drawn = {(metric, line.x) for line in lines() for metric in line.metrics}
    for metric in ("eval/return_mean", "charts/episodic_return"):
        assert {(metric, STEPS), (metric, SECONDS)} <= drawn


def test_losses_evaluation_scalars_and_videos_have_panels() -> None:
    panels = [panel for content in sections().values() for panel in content]
    metrics = {metric for panel in panels if isinstance(panel, Line) for metric in panel.metrics}
    assert {"losses/td_loss", "losses/q_values", "charts/SPS", "charts/epsilon"} <= metrics
    assert "eval/return_mean" in {panel.metric for panel in panels if isinstance(panel, Scalar)}
    assert any(isinstance(panel, Media) for panel in panels)


@pytest.fixture
def model() -> dict[str, Any]:
    made = workspace.workspace("lab", "me")
    found: dict[str, Any] = json.loads(made._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return found


@needs_package
def test_runs_are_grouped_by_agent(model: dict[str, Any]) -> None:
    grouping = model["spec"]["section"]["runSets"][0]["grouping"]
    assert grouping == [{"section": "config", "name": f"{GROUP_BY}.value"}]


@needs_package
def test_every_line_chart_groups_by_agent_and_shows_the_spread(model: dict[str, Any]) -> None:
    bank = model["spec"]["section"]["panelBankConfig"]["sections"]
    charts = [panel["config"] for section in bank for panel in section["panels"] if "xAxis" in panel["config"]]
    assert len(charts) == len(lines())
    for chart in charts:
        assert GROUP_BY in chart["groupBy"]
        assert chart["groupAgg"] == "mean" and chart["groupArea"] in ("stddev", "minmax")
        assert chart["xAxis"] in (STEPS, SECONDS)


@needs_package
def test_workspace_names_project_and_entity_and_all_sections(model: dict[str, Any]) -> None:
    assert (model["project"], model["entity"]) == ("lab", "me")
    names = [section["name"] for section in model["spec"]["section"]["panelBankConfig"]["sections"]]
    assert names == list(sections())


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DashboardError, match=r"pip install.*wandb-workspaces"):
        workspace.workspace("lab", "me")


@needs_package
def test_a_refusal_by_the_server_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise RuntimeError("permission denied\nlong trace")

    monkeypatch.setattr("wandb.login", lambda **_: True)
    built = workspace.workspace("lab", "me")
    monkeypatch.setattr(type(built), "save", refuse)
    with pytest.raises(DashboardError, match=r"the workspace for me/lab: permission denied$"):
        workspace.save(built, "workspace")
