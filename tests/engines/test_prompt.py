"""The grammar of prompts: closed forms, recorded readings of ComfyUI, and properties of any text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redetail.engines.prompt import KeyFrame, blend, key_frames, literal, read_prompt, shifted, starting_at
from redetail.errors import SettingsError
from redetail.settings import Settings

FEW = settings(max_examples=60, deadline=None)
# Mostly characters that mean something, so that examples are hard cases.
TRICKY = st.text(st.sampled_from("ab ()[]:;\\1.2-\nBREAK|<>lora"), max_size=40)
WORDS = st.text(st.characters(whitelist_categories=["L", "Zs"]), min_size=1, max_size=20).filter(str.strip)


def pieces(text: str) -> list[tuple[str, float]]:
    return [(piece.text, piece.weight) for section in read_prompt(text).sections for piece in section]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As ComfyUI 0.3 reads them.
        ("a (b:1.2) c", [("a ", 1.0), ("b", 1.2), (" c", 1.0)]),
        ("((a))", [("a", 1.21)]),
        ("(a (b) c:1.5)", [("a ", 1.5), ("b", 1.65), (" c", 1.5)]),
        ("((a:1.3))", [("a", 1.3)]),
        ("(a (b:1.2):1.5)", [("a ", 1.5), ("b", 1.2)]),
        ("(a:0.5), (b)", [("a", 0.5), (", ", 1.0), ("b", 1.1)]),
        (r"a \(b\) (c\))", [("a (b) ", 1.0), ("c)", 1.1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a:)", [("a:", 1.1)]),
        ("( a : 1.2 )", [(" a ", 1.2)]),
        ("(a:-1)", [("a", -1.0)]),
        ("(a:.5)", [("a", 0.5)]),
        ("(a:0)", [("a", 0.0)]),
        ("(a:1.2:1.3)", [("a:1.2", 1.3)]),
        ("()", []),
        # What is our own.
        ("[a]", [("a", 1 / 1.1)]),
        ("[(a)]", [("a", 1.0)]),
        ("[(a:1.2)]", [("a", 1.2)]),
        ("[[a] b]", [("a", 1 / 1.21), (" b", 1 / 1.1)]),
        (r"(16\:9)", [("16:9", 1.1)]),
        (r"\[a\] \\ \b", [("[a] \\ \\b", 1.0)]),
        ("", []),
    ],
)
def test_weights(text: str, expected: list[tuple[str, float]]) -> None:
    found = pieces(text)
    assert [words for words, _ in found] == [words for words, _ in expected]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in expected], abs=1e-12)
    assert not read_prompt(text).notes


@pytest.mark.parametrize(
    ("text", "words"),
    [("a face :(", "a face :("), ("a) b", "a) b"), ("((a)", "(a"), ("(a))", "a)"), ("(a [b) c]", "a [b c]")],
)
def test_a_lonely_parenthesis_is_a_character(text: str, words: str) -> None:
    assert "".join(words for words, _ in pieces(text)) == words
    assert "is unmatched" in read_prompt(text).notes[0]


def test_a_lonely_parenthesis_leaves_the_others_alone() -> None:
    assert pieces("(a (b:1.2)") == [("(a ", 1.0), ("b", 1.2)]


def test_break_starts_a_section_even_inside_a_weight() -> None:
    first, second, third = read_prompt("a BREAK (b BREAK c:1.5) BREAKING").sections
    assert [piece.text for piece in (*first, *second, *third)] == ["a ", "b ", " c", " BREAKING"]
    assert [piece.weight for piece in (*first, *second, *third)] == [1.0, 1.5, 1.5, 1.0]
    assert len(read_prompt("a BREAK BREAK b").sections) == 3


@pytest.mark.parametrize(
    ("text", "words", "note"),
    [
        ("a <lora:add_detail:0.8> b", "a  b", "--lora"),
        ("[smile:laugh:0.5]", "smile:laugh:0.5", "not supported"),
        ("[a|b]", "a|b", "not supported"),
        ("0:1girl; 24:1boy", "0:1girl; 24:1boy", "put a space"),
    ],
)
def test_what_other_programs_mean_is_noted(text: str, words: str, note: str) -> None:
    assert "".join(words for words, _ in pieces(text)) == words
    (found,) = read_prompt(text).notes
    assert note in found


def test_a_deep_nest_is_read() -> None:
    ((words, weight),) = pieces("(" * 5000 + "a" + ")" * 5000)
    assert words == "a"
    assert weight == pytest.approx(1.1**5000, rel=1e-9)


@FEW
@given(st.text(max_size=40))
def test_escaped_text_means_itself(text: str) -> None:
    if "BREAK" not in text:
        assert "".join(words for words, _ in pieces(literal(text))) == (text if text.strip() else "")
        assert not read_prompt(literal(text)).notes


@FEW
@given(st.lists(st.tuples(st.sampled_from("(["), WORDS), max_size=6))
def test_nested_parentheses_multiply(nest: list[tuple[str, str]]) -> None:
    text = "".join(f"{opening}{words}" for opening, words in nest)
    text += "".join(")" if opening == "(" else "]" for opening, _ in reversed(nest))
    weights = [math.prod(1.1 if opening == "(" else 1 / 1.1 for opening, _ in nest[: n + 1]) for n in range(len(nest))]
    assert [weight for _, weight in pieces(text)] == pytest.approx(weights)


@FEW
@given(WORDS, st.decimals(-5, 5, places=3))
def test_a_number_is_the_weight(words: str, weight: object) -> None:
    assert pieces(f"({words}:{weight})") == [(words, pytest.approx(float(str(weight))))]


@FEW
@given(TRICKY)
def test_every_text_is_read(text: str) -> None:
    """Nothing is refused, nothing is invented, and nothing is lost but what the grammar takes."""
    found = "".join(words for words, _ in pieces(text))
    rest = iter(text)
    assert all(letter in rest for letter in found)
    assert all(math.isfinite(weight) for _, weight in pieces(text))


@FEW
@given(
    st.dictionaries(st.integers(-5, 500), TRICKY.map(lambda text: text.replace(";", " ").replace("\n", " ").strip()))
)
def test_key_frames_come_back_in_order(keys: dict[int, str]) -> None:
    prompt = "; ".join(f"{frame}: {text}" for frame, text in keys.items())
    if keys and not any(text.endswith("\\") for text in keys.values()):
        expected = tuple(KeyFrame(frame, keys[frame]) for frame in sorted(keys))
        assert key_frames(prompt) == expected
        assert key_frames(shifted(prompt, -7)) == tuple(KeyFrame(key.frame - 7, key.text) for key in expected)
        assert key_frames(shifted(shifted(prompt, -7), 7)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a face",
        "16:9 portrait",
        "ratio 3: 2",
        "a; 24: b",
        r"0\: a",
        "0 a: b",
        "1girl: smiling; 24: b",
        "0.5: a",
        "(0: a)",
    ],
)
def test_a_colon_in_ordinary_text_is_no_key_frame(text: str) -> None:
    assert key_frames(text) == (KeyFrame(0, text),)
    assert shifted(text, 3) == text


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("0: smiling; 24: laughing", {0: "smiling", 24: "laughing"}),
        ("24 : b ;0:a;", {0: "a", 24: "b"}),
        ("0: a; happy; 24: b", {0: "a; happy", 24: "b"}),
        ("0: a\n 24: b\n", {0: "a", 24: "b"}),
        (r"0: a\; 3: b; 24: c", {0: r"a\; 3: b", 24: "c"}),
        ("0: ratio 16:9; 24: (b:1.2)", {0: "ratio 16:9", 24: "(b:1.2)"}),
        ("0:; 5: b", {0: "", 5: "b"}),
        ("12: a", {12: "a"}),
    ],
)
def test_key_frames(text: str, keys: dict[int, str]) -> None:
    assert key_frames(text) == tuple(KeyFrame(frame, words) for frame, words in keys.items())


def test_a_frame_given_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="has two texts for frame 3"):
        key_frames("3: a; 0: b; 3: c")


def test_blending_is_linear_between_key_frames_and_constant_outside() -> None:
    assert [blend([10, 14], frame) for frame in (0, 9, 10, 11, 13, 14, 99)] == [
        (0, 0, 0.0), (0, 0, 0.0), (0, 1, 0.0), (0, 1, 0.25), (0, 1, 0.75), (1, 1, 0.0), (1, 1, 0.0),
    ]  # fmt: skip


@FEW
@given(st.sets(st.integers(-50, 50), min_size=1), st.integers(-60, 60))
def test_a_frame_lies_where_its_key_frames_meet(frames: set[int], frame: int) -> None:
    keys = sorted(frames)
    first, second, share = blend(keys, frame)
    assert 0 <= share < 1
    reached = keys[first] + share * (keys[second] - keys[first])
    assert reached == pytest.approx(min(max(frame, keys[0]), keys[-1]))


def test_a_part_counts_from_its_own_first_frame() -> None:
    given = Settings(prompt="0: a; 24: b", negative="x", refiner_prompt="30: c")
    moved = starting_at(starting_at(given, 10), 20)
    assert key_frames(moved.prompt) == (KeyFrame(-30, "a"), KeyFrame(-6, "b"))
    assert key_frames(moved.refiner_prompt) == (KeyFrame(0, "c"),)
    assert moved.negative == "x"
    plain = Settings(prompt="a face")
    assert starting_at(plain, 10) is plain
