"""Captions as numbers, and the facts they state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coco_folders import coco_folder

from envs import scenes
from rl_gen_lab.data import dataset as data
from rl_gen_lab.data.coco import DataError
from rl_gen_lab.data.vocabulary import Vocabulary, facts_in, sentence, vocabulary, words


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> data.Dataset:
    path = tmp_path_factory.mktemp("pong") / "data"
    return data.load(scenes.write(scenes.Config("Pong", frames=40, every=12, out=path, history=True)))


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
    with pytest.raises(DataError, match="no training caption has: ball, moon"):
        known.encode("the moon ball is 5")


def test_words_of_a_sentence_come_back_as_it() -> None:
    text = "so far 10 to 3, a ball at the left."
    assert sentence(words(text)) == text


def test_a_caption_of_unknown_words_names_its_image(tmp_path: Path) -> None:
    own = coco_folder(tmp_path / "own")
    said = [{"image_id": 100 + i, "id": i, "caption": "a cat" if i != 8 else "a lynx"} for i in range(20)]
    (own / "annotations" / "captions.json").write_text(json.dumps({"images": [], "annotations": said}))
    with pytest.raises(DataError, match=r"val, 8\.png: the caption 'a lynx' has words .*: lynx"):
        vocabulary(data.load(own))
    said[8]["caption"] = "  "
    (own / "annotations" / "captions.json").write_text(json.dumps({"annotations": said}))
    with pytest.raises(DataError, match=r"val, 8\.png: the caption '  ' has no words"):
        vocabulary(data.load(own))
    (own / "annotations" / "captions.json").write_text(json.dumps({"annotations": said[:3]}))
    with pytest.raises(DataError, match=r"train, 3\.png: the image has no caption"):
        vocabulary(data.load(own))
    (own / "annotations" / "captions.json").unlink()
    with pytest.raises(DataError, match="has no captions to learn from"):
        vocabulary(data.load(own))


def test_a_fact_told_twice_differently_is_none() -> None:
    phrases = {"ball": ["the ball is {}", "ball {}"], "score": ["score {}"]}
    assert facts_in("ball up, score 3 to 1.", phrases) == {"ball": "up", "score": "3 to 1"}
    assert facts_in("ball up, the ball is down, lovely weather.", phrases) == {"ball": ""}
