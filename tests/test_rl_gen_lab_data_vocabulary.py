"""Captions as numbers, and the facts they state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coco_folders import coco_folder

from envs import scenes
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.records import DataError
from rl_gen_lab.data.vocabulary import (
    BEGIN,
    UNKNOWN,
    Vocabulary,
    describe_unknown,
    facts_in,
    sentence,
    vocabulary,
    words,
)


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("pong") / "data"
    return data.load(scenes.write(scenes.Config("Pong", frames=20, every=6, out=path, history=True)))


@pytest.mark.slow
def test_captions_say_the_facts_of_their_image(pong: data.Dataset) -> None:
    for split in pong.splits.values():
        for label in split.labels:
            assert len(set(label.captions)) == 5
            assert all(facts_in(caption, pong.grammar) == label.facts for caption in label.captions)
    assert "score" in pong.grammar and label.slots["player_y"] is not None


def test_a_vocabulary_writes_and_reads_captions() -> None:
    known = Vocabulary(["The score is 12 to 5."])
    numbers = known.encode("the score is 21 to 5.")
    assert numbers[0] == 1 and numbers[-1] == 2 and known.decode([*numbers[1:], 4, 4]) == "the score is 21 to 5."
    assert known.encode("the moon is 5") == [BEGIN, *known.encode("the")[1:-1], UNKNOWN, *known.encode("is 5")[1:]]
    assert known.decode(known.encode("the moon is 5")[1:]) == "the is 5", "a word without a number has no name"


def test_words_of_a_sentence_come_back_as_it() -> None:
    text = "so far 10 to 3, a ball at the left."
    assert sentence(words(text)) == text


def write_captions(own: Path, said: list[dict[str, object]]) -> data.Dataset:
    (own / "annotations" / "captions.json").write_text(json.dumps({"annotations": said}))
    return data.load(own)


def test_captions_of_unknown_words_are_counted(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    said = [{"image_id": 100 + i, "caption": "a cat" if i not in (8, 18) else "a lynx or ocelot"} for i in range(20)]
    dataset = write_captions(own, said)
    known = vocabulary(dataset)
    assert known.words == ["<pad>", "<begin>", "<end>", "a", "cat"], "as without such captions"
    assert describe_unknown(known, dataset.splits.values()) == [
        "2 of 2 val captions have words that no train caption has: lynx, or, ocelot"
    ]


def test_a_caption_without_words_names_its_image(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    said: list[dict[str, object]] = [{"image_id": 100 + i, "caption": "a cat\n"} for i in range(20)]
    written = write_captions(own, said)
    assert describe_unknown(vocabulary(written), written.splits.values()) == []
    said[8]["caption"] = "  "
    with pytest.raises(DataError, match=r"val, 8\.png: the caption '  ' has no words"):
        vocabulary(write_captions(own, said))
    said[8]["caption"] = "very " * 2_000
    with pytest.raises(DataError, match=r"val, 8\.png: the caption 'very .*' has 2,000 words, not up to 1,000"):
        vocabulary(write_captions(own, said))
    said[8]["caption"] = "a \ud800"
    with pytest.raises(
        DataError, match=r"captions\.json: image 108: its caption 'a \\ud800' has characters that are no"
    ):
        write_captions(own, said)
    said[8]["image_id"] = [108]
    with pytest.raises(DataError, match=r"captions\.json: annotation 8 .* has the image_id \[108\], which is neither"):
        write_captions(own, said)
    with pytest.raises(DataError, match=r"train, 3\.png: the image has no caption"):
        vocabulary(write_captions(own, said[:3]))
    (own / "annotations" / "captions.json").unlink()
    with pytest.raises(DataError, match="has no captions to learn from"):
        vocabulary(data.load(own))


def test_a_fact_told_twice_differently_is_none() -> None:
    phrases = {"ball": ["the ball is {}", "ball {}"], "score": ["score {}"]}
    assert facts_in("ball up, score 3 to 1.", phrases) == {"ball": "up", "score": "3 to 1"}
    assert facts_in("ball up, the ball is down, lovely weather.", phrases) == {"ball": ""}
