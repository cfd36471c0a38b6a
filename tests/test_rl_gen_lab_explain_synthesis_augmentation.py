"""A restyled copy of a folder: a share of the training images, the same labels, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import vision_data

from rl_gen_lab.cli.errors import ConfigError
from rl_gen_lab.data import dataset
from rl_gen_lab.explain.synthesis.augmentation import check_target, restyled_rows, write_copy


def test_a_share_of_the_training_images_is_restyled_and_labels_stay(tmp_path: Path) -> None:
    folder, out, told = vision_data.folder(), tmp_path / "copy", list[tuple[int, int]]()
    count = write_copy(folder, out, lambda picture: 1 - picture, 0.5, 0, lambda *done: told.append(done))
    before, after = dataset.load(folder), dataset.load(out)
    changed = [
        index
        for index, (old, new) in enumerate(
            zip(before.splits["train"].images, after.splits["train"].images, strict=True)
        )
        if not torch.equal(old, new)
    ]
    assert count == 8 and len(changed) == count and told[-1] == (count, count)  # half of 16, to the image
    assert changed == restyled_rows(16, 0.5, 0) != restyled_rows(16, 0.5, 1)
    index = changed[0]
    assert torch.equal(after.splits["train"].images[index], 255 - before.splits["train"].images[index])
    assert torch.equal(before.splits["train"].boxes(index)[0], after.splits["train"].boxes(index)[0])
    for split in ("val", "test"):
        assert torch.equal(before.splits[split].images, after.splits[split].images)
    with pytest.raises(ConfigError, match="exists already"):
        write_copy(folder, out, lambda picture: picture, 0.5, 0, lambda *done: None)


def test_where_no_copy_can_be_is_said_before_anything_is_made(tmp_path: Path) -> None:
    folder, blocked = tmp_path / "frames", tmp_path / "file"
    folder.mkdir()
    blocked.write_text("")
    check_target(folder, tmp_path / "new" / "copy")
    with pytest.raises(ConfigError, match="lies within"):
        check_target(folder, folder / "copy")
    with pytest.raises(ConfigError, match="is no folder that you may write in"):
        check_target(folder, blocked / "copy")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="exists already"):
        check_target(folder, tmp_path / "link")
    with pytest.raises(ConfigError, match=r"--share 0\.01 of 16 training images is none"):
        restyled_rows(16, 0.01, 0)
    assert not (tmp_path / "new").exists()
