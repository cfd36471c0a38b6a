"""The command that draws predictions."""

from __future__ import annotations

from pathlib import Path

import pong_models
import pytest
import vision_data
from PIL import Image

from rl_gen_lab import look
from rl_gen_lab.data import dataset as data
from rl_gen_lab.runs.folder import RunFolder


@pytest.mark.parametrize("kind", ["detect", "segment"])
def test_a_training_leaves_pictures_and_the_command_draws_them_of_another_split(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunFolder.open(pong_models.run(kind))
    val = data.load(pong_models.folder()).splits["val"]
    left = {file.stem.rpartition("_")[2] for file in (run.path / "pictures").glob("predictions_val_*.png")}
    assert left and left <= {label.file.stem for label in val.labels}
    look.main([str(run.path), "--split", "test", "--pictures", "1"])
    file = Path(capsys.readouterr().out.splitlines()[-1])
    with Image.open(file) as saved:
        assert saved.width > 2 * 160 and file.name.startswith("predictions_test_")
    with pytest.raises(SystemExit):
        look.main([str(run.path), "--data", str(vision_data.folder())])
    assert "trained on others" in capsys.readouterr().err
