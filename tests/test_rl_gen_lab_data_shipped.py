"""Pictures that packages ship, as datasets."""

from __future__ import annotations

import types
from pathlib import Path

import numpy as np
import pytest
from classic_data import DIGITS, digits, ship_digits

from rl_gen_lab.data import dataset, shipped
from rl_gen_lab.data.records import DataError


def test_digits_are_split_in_halves_and_a_tenth_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    data = digits(monkeypatch)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 809, "val": 89, "test": 899}
    assert data.splits["test"].labels[0].file == Path("digits_0898.png")
    assert data.absent_categories("val") == [] and data.shape == (3, 8, 8)
    image = data.splits["train"].images
    assert image.unique().tolist() == [15 * level for level in range(17)]
    assert (image[:, 0] == image[:, 2]).all()
    boxes, classes = data.splits["test"].boxes(3)
    assert boxes.tolist() == [[0, 0, 8, 8]] and len(classes) == 1


def test_ten_parts_are_each_tested_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ship_digits(monkeypatch)
    tested: list[str] = []
    for part in range(10):
        labels = shipped.read(Path(f"package:digits/{part}")).labels
        names = {split: {label.file.name for label in found} for split, found in labels.items()}
        assert not names["test"] & (names["train"] | names["val"]) and not names["train"] & names["val"]
        tested += names["test"]
    assert len(tested) == len(set(tested)) == 1_797


def test_digests_tell_parts_apart_and_names_have_no_slash(monkeypatch: pytest.MonkeyPatch) -> None:
    ship_digits(monkeypatch)
    parts = [Path("package:digits"), Path("package:digits/0"), Path("package:digits/1")]
    assert len({dataset.labels_digest(part) for part in parts}) == 3
    assert [shipped.name_of(part) for part in parts] == ["digits", "digits_0", "digits_1"]


def test_faces_and_mnist_are_read_as_their_packages_give_them(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = np.linspace(0, 1, 200)[:, None, None] * np.ones((1, 25, 25))
    mnist = np.tile(np.arange(5_000)[:, None] % 256, (1, 784)), np.repeat(np.arange(10), 500)
    package = types.SimpleNamespace(lfw_subset=lambda: faces, mnist_data=lambda: mnist)
    monkeypatch.setattr(shipped, "import_module", lambda name: package)
    found = shipped.read(Path("package:faces"))
    for split, labels in found.labels.items():
        for image, label in zip(found.images[split], labels, strict=True):
            assert label.objects[0].category == (image[0, 0] > 127)  # the faces come first
    assert {split: len(labels) for split, labels in found.labels.items()} == {"train": 160, "val": 20, "test": 20}
    counts = {split: images.shape for split, images in shipped.read(Path("package:mnist")).images.items()}
    assert counts == {"train": (3_600, 28, 28), "val": (400, 28, 28), "test": (1_000, 28, 28)}


@pytest.mark.parametrize("name", ["package:letters", "package:digits/10", "package:digits/x", "package:"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(DataError, match="known: package:digits, package:faces, package:mnist, each also with /0 to /9"):
        dataset.load(Path(name))


def test_a_package_that_is_not_installed_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(shipped, "import_module", missing)
    with pytest.raises(DataError, match=r"scikit-learn, which is not installed: .*pip install .*scikit-learn"):
        dataset.load(DIGITS)
