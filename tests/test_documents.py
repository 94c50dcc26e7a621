"""Reading documents: files, keys, and kinds of values."""

from pathlib import Path

import pytest

from redetail.documents import WrongKindError, counted, each, known, load, named, number, shown, text, truth
from redetail.errors import InputError, SettingsError


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_json_and_toml_are_read(tmp_path: Path) -> None:
    assert load(written(tmp_path, '{"a": [1, 2.5]}'), "JSON", "plan", "advice") == {"a": [1, 2.5]}
    assert load(written(tmp_path, "a = 18446744073709551615"), "TOML", "plan", "advice") == {"a": 2**64 - 1}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"\xff", "The plan .* is not UTF-8 text"),
        ("{", r"is not a JSON document \(.*\); advice\.$"),
        ("[" * 100_000, r"contains (JSON|TOML) that is nested too deeply; advice\.$"),
        ("9" * 41, r"is not a JSON document \(it contains a number with 41 digits\)"),
    ],
)
def test_what_is_not_a_document(tmp_path: Path, content: str | bytes, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        load(written(tmp_path, content), "JSON", "plan", "advice")


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for path, sentence in (
        (tmp_path / "none", "cannot be read .No such file or directory.; check the name"),
        (tmp_path, "cannot be read .Is a directory."),
        (Path("a\0b"), "cannot be read .*null"),
        (tmp_path / ("a" * 300), "cannot be read .File name too long."),
    ):
        with pytest.raises(InputError, match=f"The plan .*{sentence}"):
            load(path, "JSON", "plan", "advice")


def test_values_are_quoted_shortly() -> None:
    assert shown([1, 2, 3, "x"]) == "[1, 2, 3, 'x']"
    assert len(shown("a" * 10_000)) <= 100
    assert len(shown(10**400)) <= 40
    assert shown(10**10_000) == "a number with thousands of digits"
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    assert len(shown(nested)) < 40


@pytest.mark.parametrize(
    ("read", "value", "sentence"),
    [
        (text, "", "a must be text, not ''."),
        (text, 3, "a must be text, not 3."),
        (number, True, "a must be a number, not True."),
        (number, 10**400, "a must be a number with at most 300 digits, not 1000"),
        (truth, "no", "a must be true or false, not 'no'."),
        (each(number), 1, "a must be a list, not 1."),
        (each(number), ["b"], r"a must be a number, not \['b'\]."),
    ],
)
def test_values_of_the_wrong_kind(read, value, sentence) -> None:
    with pytest.raises(SettingsError, match=sentence):
        named("a", read, value)


def test_keys_that_do_not_exist() -> None:
    assert known({"a-b": 1, "d": 2}, ("a_b", "c"), "it", aliases={"d": "c"}) == {"a_b": 1, "c": 2}
    for table, sentence in (
        ({"a_c": 1}, "there is no key 'a_c' in it; did you mean 'a_b'?"),
        ({"zzz": 1}, "there is no key 'zzz' in it; choose one of: a_b, c."),
        ({"other": 1}, "there is no key 'other' in it; it belongs to there."),
        ({"a-b": 1, "a_b": 2}, "a_b appears in it twice, once as 'a_b'; keep one."),
        (3, "it must be a table, not 3."),
    ):
        with pytest.raises(SettingsError) as caught:
            known(table, ("a_b", "c"), "it", elsewhere={"there": ("other",)})
        assert str(caught.value) == sentence


def test_a_kind_is_what_a_value_should_have_been() -> None:
    with pytest.raises(WrongKindError, match=r"^text$"):
        text(None)


@pytest.mark.parametrize(("count", "said"), [(0, "0 frames"), (1, "1 frame"), (2, "2 frames")])
def test_a_noun_takes_an_s_in_the_plural(count: int, said: str) -> None:
    assert counted(count, "frame") == said
