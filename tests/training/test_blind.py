"""The blind comparison: what is shown, and what is counted."""

from pathlib import Path

import numpy as np
import pytest


def test_every_clip_is_shown_once_with_the_checks(script) -> None:
    blind = script("blind")
    clips = [f"clip{n}" for n in range(10)]
    shown = blind.pairs(clips, ("new", "old"), np.random.default_rng(3))
    assert sorted(pair["clip"] for pair in shown if pair["kind"] == "compared") == clips
    assert {pair["kind"] for pair in shown} == {"compared", "identical", "obvious"}
    assert len(shown) == 10 + 2 * blind.CHECKS
    assert {pair["left"] for pair in shown if pair["kind"] == "compared"} == {"new", "old"}
    assert shown == blind.pairs(clips, ("new", "old"), np.random.default_rng(3))


def test_wins_are_counted_whichever_side_they_are_on(script) -> None:
    key = [
        {"kind": "compared", "clip": "a", "left": "new", "right": "old"},
        {"kind": "compared", "clip": "b", "left": "old", "right": "new"},
        {"kind": "compared", "clip": "c", "left": "old", "right": "new"},
        {"kind": "identical", "clip": "a", "left": "new", "right": "new"},
        {"kind": "obvious", "clip": "a", "left": "bicubic input", "right": "original"},
    ]
    told = script("blind").counted(key, ["left", "right", "same", "left", "right"], "new")
    assert told == {"preferred": 2, "same": 1, "of": 3, "identical called different": 1, "obvious missed": 0}


@pytest.mark.parametrize(("text", "named"), [("1 left\n", "pair 2"), ("1 left\n2 both\n", "both")])
def test_answers_that_cannot_be_counted_are_named(script, tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "answers.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=named):
        script("blind").read_answers(path, 2)
