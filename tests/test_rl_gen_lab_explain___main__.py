"""The command that explains vision models, on small ones of a few Pong frames."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from pong_models import run

from rl_gen_lab import explain
from rl_gen_lab.explain.__main__ import Config, wanted_categories


@pytest.mark.slow
@pytest.mark.parametrize(("task", "method"), [("detect", "gradient"), ("segment", "guided")])
def test_the_score_of_each_object_is_explained(task: str, method: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run(task)
    explain.main([str(folder), method, "--images", "1", "--pictures", "1", "--split", "train"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("ball", "player", "enemy", "untrained twin", "random"))
    with Image.open(folder / "pictures" / f"explain_{method}.png") as picture:
        assert picture.width > 400
    assert (folder / f"explain_{method}.html").is_file()


@pytest.mark.slow
def test_a_captioner_has_its_attention_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    folder = run("caption")
    with pytest.raises(SystemExit):
        explain.main([str(folder), "lrp"])
    assert "no method 'lrp' for this model; there is attention" in capsys.readouterr().err
    try:
        explain.main([str(folder), "attention", "--images", "2", "--split", "train"])
    except SystemExit:  # after one epoch it may name nothing
        assert "no caption names one" in capsys.readouterr().err
    else:
        assert (folder / "pictures" / "explain_attention.png").is_file()


@pytest.mark.slow
def test_objects_and_methods_that_are_not_there_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in [(["lrpp"], "Did you mean 'lrp'"), (["lrp", "--object", "bal"], "Did you mean 'ball'")]:
        with pytest.raises(SystemExit):
            explain.main([str(run("segment")), *words])
        assert said in capsys.readouterr().err


def test_all_categories_are_explained_unless_one_is_named() -> None:
    assert wanted_categories(Config(Path("x")), ("a", "b")) == ["a", "b"]
    assert wanted_categories(Config(Path("x"), object="b"), ("a", "b")) == ["b"]
