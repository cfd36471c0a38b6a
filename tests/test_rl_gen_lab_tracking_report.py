"""The report page: built and inspected without network or account."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from rl_gen_lab.tracking.report import EPISODES, QUESTIONS, report
from rl_gen_lab.tracking.workspace import GROUP_BY, DashboardError, Line, load_package, sections

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("wandb_workspaces") is None, reason="wandb-workspaces is an optional extra"
)


@pytest.fixture(autouse=True)
def _known_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that the package asks W&B for: the number of the project."""
    if importlib.util.find_spec("wandb_workspaces") is not None:
        reports, _ = load_package()
        monkeypatch.setattr(reports, "_get_api", lambda: None)
        monkeypatch.setattr(reports, "execute_graphql", lambda *_: {"project": {"internalId": "7"}})


def blocks(env_id: str | None = None) -> list[dict[str, Any]]:
    model = report("lab", "me", "A title", env_id)._to_model()
    assert (model.display_name, model.project.name, model.project.entity_name) == ("A title", "lab", "me")
    spec: dict[str, Any] = json.loads(model.spec.model_dump_json(by_alias=True, exclude_none=True))
    found: list[dict[str, Any]] = spec["blocks"]
    return found


def grids(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [block["metadata"] for block in found if block["type"] == "panel-grid"]


@needs_package
def test_every_section_of_the_workspace_has_a_heading_a_question_and_its_panels() -> None:
    found = blocks()
    headings = [block["children"][0]["text"] for block in found if block["type"] == "heading"]
    assert [name for name in headings if name in sections()] == list(sections()) == list(QUESTIONS)
    assert headings[0] == "Question" and headings[-1] == "Answer"
    counts = [len(grid["panelBankSectionConfig"]["panels"]) for grid in grids(found)]
    assert counts == [len(panels) for panels in sections().values()]
    charts = [panel for grid in grids(found) for panel in grid["panelBankSectionConfig"]["panels"]]
    drawn = {metric for chart in charts for metric in chart["config"].get("metrics", [])}
    assert {m for panels in sections().values() for p in panels if isinstance(p, Line) for m in p.metrics} <= drawn


@needs_package
def test_runs_are_those_of_the_project_and_the_environment_grouped_by_agent() -> None:
    for env_id in (None, "ALE/Pong-v5"):
        for grid in grids(blocks(env_id)):
            (runs,) = grid["runSets"]
            assert runs["project"] == {"name": "lab", "entityName": "me", "id": "7"}
            assert [key["name"] for key in runs["grouping"]] == [f"{GROUP_BY}.value"]
            assert ("ALE/Pong-v5" in json.dumps(runs["filters"])) == (env_id is not None)


@needs_package
def test_the_episodes_of_the_final_evaluations_are_a_table() -> None:
    (table,) = (block for block in blocks() if "weave" in block["type"])
    assert EPISODES in json.dumps(table)


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DashboardError, match=r"pip install.*wandb-workspaces"):
        report("lab", "me")
