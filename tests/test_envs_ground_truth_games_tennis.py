"""Ground truth of Tennis against its score board."""

from __future__ import annotations

from ground_truth_play import play


def test_tennis_says_the_score_that_is_on_the_board() -> None:
    """Every image of the board belongs to one score, and every score has one image."""
    scores_of: dict[bytes, set[str]] = {}
    for i, (env, scene) in enumerate(play("ALE/Tennis-v5", 2_400, seed=3)):
        if i % 20 == 0:
            facts = env.reader.game.facts(scene.slots, scene.event, scene.visible)
            scores_of.setdefault(env.reader.game.screen(env)[4:13, 8:].tobytes(), set()).add(facts["score"])
    assert all(len(scores) == 1 for scores in scores_of.values())
    assert len(scores_of) == len(set().union(*scores_of.values())) >= 4
