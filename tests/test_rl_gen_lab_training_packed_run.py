"""What a packed vision model says of its run: each key of it wrong in its own way."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import packed_models
import pytest

from rl_gen_lab.cli.errors import CheckpointError
from rl_gen_lab.compression.packed_file import write
from rl_gen_lab.training.load import load_task, read_model
from rl_gen_lab.training.packed_run import check_run
from rl_gen_lab.training.tasks import TASKS


def changed(name: str, **values: Any) -> dict[str, Any]:
    return copy.deepcopy(packed_models.model_parts(name)[0]["run"]) | values


@pytest.mark.parametrize("name", sorted(packed_models.MODELS))
def test_every_kind_of_model_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.rlz"
    file.write_bytes(packed_models.model_file(name))
    assert load_task(file, *TASKS).network.state_dict().keys() == packed_models.model_parts(name)[1].keys()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("unet", {"image_size": None}, "its image_size makes no sense"),
        ("unet", {"image_size": [40, 32.0]}, "its image_size"),
        ("unet", {"image_size": [40]}, "its image_size"),
        ("unet", {"image_size": [4_097, 1]}, "its image_size"),
        ("unet", {"image_size": [4_096, 4_096], "categories": [str(n) for n in range(100)]}, "too many and too large"),
        ("unet", {"categories": "ball"}, "its categories"),
        ("unet", {"categories": ["ball", "ball"]}, "its categories"),
        ("unet", {"categories": [3]}, "its categories"),
        ("unet", {"exp_name": None}, "its exp_name"),
        ("unet", {"plans": [["channels", None]]}, "its plans"),
        ("unet", {"seed": 3}, "'seed' is not known"),
        ("unet", {"config": {"task": "paint"}}, "of no task that is known"),
        ("unet", {"config": {"task": ["segment"]}}, "of no task that is known"),
        ("unet", {"config": {"task": "segment"}}, "has no segment"),
        ("unet", {"config": {"task": "segment", "segment": None}}, "its segment makes no sense"),
        ("unet", {"config": {"task": "segment", "segment": {}, "data": "x"}}, "'data' is not known"),
        ("captioner", {"vocabulary": ["<pad>", "<begin>"]}, "its vocabulary"),
        ("captioner", {"vocabulary": ["<pad>", "<begin>", "<end>", "high", "ball"]}, "its vocabulary"),
        ("captioner", {"vocabulary": ["<pad>", "<begin>", "<end>", "two words"]}, "its vocabulary"),
        ("captioner", {"grammar": {"ball": "ball {}"}}, "its grammar"),
        ("ssd", {"sizes": {"common": [[2, 4]]}}, "its sizes"),
        ("ssd", {"sizes": {"common": [], "largest": [2, 4]}}, "its sizes"),
        ("ssd", {"sizes": {"common": [[2, 0]], "largest": [2, 4]}}, "its sizes"),
        ("ssd", {"sizes": {"common": [[2, "4"]], "largest": [2, 4]}}, "its sizes"),
        ("vae", {"colors": []}, "its colors"),
        ("vae", {"colors": [[0, 0, 256]]}, "its colors"),
        ("vae", {"colors": [[0, 0.5, 25]]}, "its colors"),
        ("vae", {"colors": [[0, 0]]}, "its colors"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError) as refused:
        check_run(changed(name, **values), tuple(TASKS))
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("unet", {"image_size": [4_096, 4_096]}, "numbers at once"),
        ("unet", {"categories": ["ball"]}, "not fit this"),
        ("unet", {"plans": [["paint", {}]]}, "do not change the layers"),
        ("unet", {"plans": [["channels", {"nothing.out_channels": 3}]]}, "the plan is of another network"),
        ("captioner", {"vocabulary": ["<pad>", "<begin>", "<end>", "ball"]}, "not fit this"),
        ("ssd", {"sizes": {"common": [[2, 4]], "largest": [2, 4]}}, "not fit this"),
        ("vae", {"colors": [[0, 0, n] for n in range(200)]}, "200 colors"),
    ],
)
def test_a_network_that_cannot_be_built_is_one_line_that_names_the_file(
    name: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.rlz"
    file.write_bytes(write({"run": changed(name, **values)}, packed_models.model_parts(name)[1], named=True))
    with pytest.raises(CheckpointError) as refused:
        load_task(file, *TASKS)
    assert message in str(refused.value) and str(refused.value).startswith(f"{file}: ")
    assert "\n" not in str(refused.value)


def test_a_policy_is_no_vision_model(tmp_path: Path) -> None:
    for backbone in ("2x8s4-4", "squeezenet"):
        file = tmp_path / "policy.rlz"
        header, tensors, named = packed_models.policy_parts(backbone)
        file.write_bytes(write(header, tensors, named=named))
        with pytest.raises(CheckpointError, match=r"agents.play .*policy.rlz shows it"):
            read_model(file)


def test_a_captioner_of_many_words_comes_back(tmp_path: Path) -> None:
    words = sorted({chr(97 + n // 676) + chr(97 + n // 26 % 26) + chr(97 + n % 26) for n in range(1_500)})
    metadata = changed("captioner", vocabulary=["<pad>", "<begin>", "<end>", *words])
    from rl_gen_lab.training.load import _task_of

    task: Any = _task_of(tmp_path, metadata, "caption")
    assert task.vocabulary.words == metadata["vocabulary"]
