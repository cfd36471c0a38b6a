"""Recipes on a task of a few weights: what is learned and written, and that a kill at any moment changes nothing."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from imitation import NEW, PRUNE, RECIPES, Imitation, Killed, files, named, pipeline, recipe, without_time
from torch import Tensor

from rl_gen_lab.cli.errors import CheckpointError, ConfigError, DivergedError
from rl_gen_lab.compression import pipeline as under_test
from rl_gen_lab.compression.layers import plain_state, weights
from rl_gen_lab.compression.measured import Row
from rl_gen_lab.compression.numpy_network import shapes_of
from rl_gen_lab.compression.packed_file import NAMES, read, read_header
from rl_gen_lab.compression.pipeline import Pipeline, with_plans
from rl_gen_lab.compression.pruning import kept_share
from rl_gen_lab.compression.recipe import Recipe, parse
from rl_gen_lab.compression.stages import rebuild
from rl_gen_lab.runs.checkpoints import load_state
from rl_gen_lab.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "SEGMENT", 5)
    monkeypatch.setattr("rl_gen_lab.compression.stages.FISHER_BATCHES", 2)
    for module in ("files", "checkpoints"):
        monkeypatch.setattr(f"rl_gen_lab.runs.{module}.sync", lambda *paths: None)  # no wait for the disk
    monkeypatch.setattr("rl_gen_lab.compression.measured._xz", lambda tables: b"")  # of its 64 MB of memory


def test_the_loss_falls(tmp_path: Path) -> None:
    task, losses = Imitation(), list[float]()
    task.spoil = lambda loss: losses.append(float(loss.detach())) or loss  # type: ignore[func-returns-value]
    pipeline(tmp_path, recipe(NEW | {"updates": 150, "learning_rate": 1e-2}), task).run()
    assert len(losses) == 150 and np.mean(losses[-20:]) < 0.5 * np.mean(losses[:5])


@pytest.mark.parametrize("name", RECIPES)
def test_every_stage_leaves_a_row_and_a_file_of_the_network(name: str, tmp_path: Path) -> None:
    what = named(name)
    made = pipeline(tmp_path, what)
    states: list[dict[str, Tensor]] = []

    def score(data: bytes) -> Row:
        states.append({key: tensor.clone() for key, tensor in plain_state(made.network).items()})
        return {"score": 0}

    made.objective.score = score  # type: ignore[method-assign]
    rows = made.run()
    assert [(row["stage"], row["kind"]) for row in rows] == list(enumerate(what.names, 1))
    assert set(files(tmp_path)) == {f"stage{row['stage']}_{row['kind']}.rlz" for row in rows}
    for row, state in zip(rows, states, strict=True):
        data = (tmp_path / f"stage{row['stage']}_{row['kind']}.rlz").read_bytes()
        assert row["bytes"] == len(data)
        packed = read(data, shapes_of)
        assert list(packed.tensors) == list(state)
        parameters = [tensor for key, tensor in state.items() if key.endswith(("weight", "bias", "core", "factor"))]
        assert row["numbers"] == sum(tensor.numel() for tensor in parameters)
        for key, tensor in state.items():
            found, exact = packed.tensors[key].values(), tensor.numpy()
            codes = packed.tensors[key].codes
            in_255_levels = codes is not None and np.abs(codes).max(initial=0) == 127  # of biases and masked weights
            error = 0.51 * np.abs(exact).max(initial=0) / 127 if in_255_levels else 0
            assert np.abs(found - exact).max() <= error, key
        built = Imitation().build(what.first_backbone)
        for kind, plan in packed.header.get("plans", []):
            rebuild(kind, built, plan)
        built.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in packed.values().items()})
        assert (NAMES in packed.header) == ("plans" in packed.header)


def test_rows_say_what_was_done(tmp_path: Path) -> None:
    rows = pipeline(tmp_path, recipe(PRUNE | {"layers": ["fc"]}, {"kind": "quantize", "updates": 0})).run()
    assert rows[0]["settings"] == "updates=11 learning_rate=0.001 kept=0.4 scope=network layers=['fc']"
    assert rows[1]["settings"] == "updates=0 learning_rate=0.001 bits=4"
    assert rows[1]["order0_bytes"] <= rows[1]["huffman_bytes"] and rows[1]["bytes"] < rows[0]["bytes"]  # type: ignore


@pytest.mark.parametrize("updates", [0, 1, 12])
def test_pruning_takes_place_however_short_the_stage(updates: int, tmp_path: Path) -> None:
    made = pipeline(tmp_path, recipe({"kind": "prune", "kept": 0.25, "updates": updates}))
    (row,) = made.run()
    assert kept_share(made.network) == pytest.approx(0.25, abs=2e-3)
    weighed = sum(module.weight.numel() for _, module in weights(made.network))  # type: ignore[union-attr, operator]
    assert int(row["numbers"]) - int(row["nonzero"]) >= 0.74 * weighed


def carried_out(folder: Path, what: Recipe, survives: int) -> tuple[list[Row], int]:
    """Run a recipe in processes that each end after some batches; return its rows and the number of processes."""
    for attempt in range(1, 100):
        made = pipeline(folder, what, Imitation(survives))
        if (folder / "checkpoints" / "latest").is_dir():
            made.load_state_dict(load_state(folder / "checkpoints" / "latest"))
        try:
            return made.run(), attempt
        except Killed:
            continue
    raise AssertionError("it never comes to its end")


@pytest.mark.parametrize(
    ("name", "survives"), [("new", 6), ("factors", 5), ("channels", 7), ("binary", 9), ("alone", 7)]
)
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_is_not(name: str, survives: int, tmp_path: Path) -> None:
    what = named(name)
    expected = pipeline(tmp_path / "whole", what).run()
    rows, attempts = carried_out(tmp_path / "killed", what, survives)
    assert attempts > 1
    assert without_time(rows) == without_time(expected)
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


def test_a_run_that_is_killed_while_it_is_scored_scores_again(tmp_path: Path) -> None:
    what = recipe(*RECIPES["factors"])
    expected = pipeline(tmp_path / "whole", what).run()

    def killed(data: bytes) -> Row:
        raise Killed

    made = pipeline(tmp_path / "killed", what)
    made.objective.score = killed  # type: ignore[method-assign]
    with pytest.raises(Killed):
        made.run()
    assert made.saved == (0, 6) and made.way_on == "stage 1 goes on from update 6" and not made.rows
    again, task = pipeline(tmp_path / "killed", what, Imitation()), Imitation(0)
    again.load_state_dict(load_state(tmp_path / "killed" / "checkpoints" / "latest"))
    again.objective = task
    with pytest.raises(Killed):  # with the next batch; for the score none is needed
        again.run()
    assert without_time(again.rows) == without_time(expected[:1])
    rows, _ = carried_out(tmp_path / "killed", what, 1_000)
    assert without_time(rows) == without_time(expected) and files(tmp_path / "killed") == files(tmp_path / "whole")


def test_stages_that_stand_alone_are_what_each_is_by_itself(tmp_path: Path) -> None:
    together = pipeline(tmp_path / "together", named("alone")).run()
    for number, stage in enumerate(RECIPES["alone"]):
        (row,) = pipeline(tmp_path / str(number), recipe(stage)).run()
        assert row["numbers"] == together[number]["numbers"]
        assert row["bytes"] == pytest.approx(float(together[number]["bytes"]), rel=0.1)  # of other examples
    with pytest.raises(ConfigError, match="leave out backbone"):
        parse({"alone": True, "stages": [NEW]}, "test")


@pytest.mark.parametrize("name", RECIPES)
def test_a_loaded_pipeline_is_the_one_that_was_saved(name: str, tmp_path: Path) -> None:
    what = named(name)
    for survives in (3, 8, 13, 24):
        folder = tmp_path / str(survives)
        made, again = pipeline(folder, what, Imitation(survives)), pipeline(folder, what)
        try:
            made.run()
        except Killed:
            made = pipeline(folder, what)
            made.load_state_dict(load_state(folder / "checkpoints" / "latest"))
        again.load_state_dict(made.state_dict())
        assert [n for n, _ in again.network.named_parameters()] == [n for n, _ in made.network.named_parameters()]
        assert again.plans == made.plans
        assert again.saved == (made.stage, made.update) and again.packed() == made.packed()
        assert_same(again.state_dict(), made.state_dict())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.update(rows=[]), "its rows are not those of the stages before"),
        (lambda s: s["rows"].append(s["rows"][-1]), "its rows are not those of the stages before"),
        (lambda s: s["rows"][-1].update(kind="../x"), "its rows are not those of the stages before"),
        (lambda s: s.update(stage=99), "is not of this recipe"),
        (lambda s: s.update(update=10**9), "is not of this recipe"),
        (lambda s: s.update(segments=2**62), "is not of this recipe"),
        (lambda s: s["plans"].update({"99": {}}), "a plan is of a stage that has not begun"),
        (lambda s: s["plans"].update({"-1": {}}), "a plan is of a stage that has not begun"),
        (lambda s: s["network"].update({next(iter(s["network"])): torch.tensor(torch.nan)}), "do not fit this network"),
        (lambda s: next(iter(s["network"].values())).fill_(torch.nan), "are not finite"),
    ],
)
def test_a_state_that_contradicts_its_recipe_is_refused(change: Any, said: str, tmp_path: Path) -> None:
    made, again = (pipeline(tmp_path / name, named("new")) for name in ("made", "again"))
    made.run()
    state = copy.deepcopy(made.state_dict())
    again.load_state_dict(copy.deepcopy(state))
    change(state)
    with pytest.raises((ValueError, CheckpointError), match=said):
        pipeline(tmp_path / "third", named("new")).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.pop(0), "its first rows are not those of the network as it was"),
        (lambda rows: rows.insert(0, rows[0]), "its first rows are not those of the network as it was"),
        (lambda rows: rows[0].update(kind="a\nb"), "its first rows are not those of the network as it was"),
        (lambda rows: rows[0].update(settings="a\nb"), "the settings of a row are no line of text"),
    ],
)
def test_rows_of_what_is_compressed_are_those_that_the_command_measures(change: Any, said: str, tmp_path: Path) -> None:
    made = pipeline(tmp_path / "made", named("new"))
    made.rows = [{"stage": 0, "kind": kind, "settings": "", "bytes": 9, "score": 1.0} for kind in ("as it is", "start")]
    made.run()
    state = copy.deepcopy(made.state_dict())
    for number, damage in enumerate((lambda rows: None, change)):
        again = pipeline(tmp_path / str(number), named("new"))
        again.bases = ["as it is", "start"]
        damage(state["rows"])
        if not number:
            again.load_state_dict(copy.deepcopy(state))
            continue
        with pytest.raises(ValueError, match=said):
            again.load_state_dict(state)


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    else:
        assert found == expected


def test_segments_are_numbered_through_all_stages(tmp_path: Path) -> None:
    task = Imitation()
    pipeline(tmp_path, recipe(NEW, {"kind": "prune", "updates": 6}), task).run()
    # each stage begins a segment for its preparation, and again for its updates
    assert task.began == [(0, 0), (0, 0), (1, 5 / 12), (2, 10 / 12), (3, 0), (3, 0), (4, 5 / 6)]


def test_metrics_are_counted_through_all_stages_and_cut_where_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rl_gen_lab.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("rl_gen_lab.cli.progress.SECONDS_TO_FIRST", 0.0)
    run, what = RunFolder(tmp_path), recipe(NEW, {"kind": "prune", "updates": 6})

    def log(metrics: dict[str, float], update: int) -> None:
        run.append_metrics({"global_step": update} | metrics)

    with pytest.raises(Killed):
        Pipeline(what, Imitation(15), run, log).run()
    assert [row["global_step"] for row in run.read_metrics()] == list(range(1, 16))
    made = Pipeline(what, Imitation(), run, log)
    made.load_state_dict(load_state(run.checkpoints / "latest"))
    assert [row["global_step"] for row in run.read_metrics()] == list(range(1, 13))
    made.run()
    rows = run.read_metrics()
    assert [row["global_step"] for row in rows] == list(range(1, 19))
    rates = [row["charts/learning_rate"] for row in rows[:12]]
    cosine = [1e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * k / 12))) for k in range(12)]
    assert rates == pytest.approx(cosine) and rows[12]["charts/learning_rate"] == pytest.approx(1e-3)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(tmp_path: Path) -> None:
    task, counted = Imitation(), iter(range(100))
    task.spoil = lambda loss: loss * (float("nan") if next(counted) == 7 else 1.0)
    words = (
        r"the loss became nan at update 7 of stage 1\. The checkpoint before stays in .*Lower the stage's learning_rate"
    )
    with pytest.raises(DivergedError, match=words):
        pipeline(tmp_path, recipe(NEW), task).run()
    state = load_state(tmp_path / "checkpoints" / "latest")
    assert state["update"] == 5 and all(tensor.isfinite().all() for tensor in state["network"].values())


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path) -> None:
    task, counted = Imitation(), iter(range(100))
    task.spoil = lambda loss: (loss * 0).sqrt() if next(counted) == 9 else loss  # a loss of 0, a gradient of 0 / 0
    with pytest.raises(DivergedError, match="is not finite at update 10 of stage 1"):
        pipeline(tmp_path, recipe(NEW), task).run()
    state = load_state(tmp_path / "checkpoints" / "latest")
    assert state["update"] == 5 and all(tensor.isfinite().all() for tensor in state["network"].values())


def test_stages_that_do_not_fit_the_network_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no layer is named 'conv\.9'"):
        pipeline(tmp_path, recipe({"kind": "prune", "layers": ["conv.9"]})).run()
    with pytest.raises(ConfigError, match="nothing to factor"):
        pipeline(tmp_path, recipe({"kind": "low_rank", "energy": 1.0})).run()


def test_plans_stand_where_readers_of_runs_look_for_them(tmp_path: Path) -> None:
    plans = [["channels", {"fc.in_features": 3}]]
    assert with_plans({"network": {}}, plans) == {"network": {}, "plans": plans}
    assert with_plans({"run": {"task": "x"}}, plans) == {"run": {"task": "x", "plans": plans}}
    made = pipeline(tmp_path, recipe(*RECIPES["channels"][:2]))
    made.run()
    header, _ = read_header(made.packed())
    assert [kind for kind, _ in header["plans"]] == ["channels", "low_rank"]
    assert [made.plans[number] for number in (0, 1)] == [plan for _, plan in header["plans"]]
