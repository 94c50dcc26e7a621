"""The lint of phrases: what it finds, what it leaves alone, and that it reads every text of the repository."""

from pathlib import Path

import pytest

from tools.prose import RULES, findings, main, tracked

BAD = [
    "a formula in the place of the network",
    "The frame is drawn anew.",
    "A kind is told by its tensors.",
    "The pass was begun late.",
    "face.txt is no weight file",
    "windows that are no neighbours",
    "keeps them of one mind",
    "The memory did not suffice.",
    "so that nobody sees the joint",
    "measures what was won",
    "up to every so many-th frame",
    "as was said above",
    "a crop worked at 512x512",
    "an error with the way out",
    "The hint is of no use.",
    "a bracket that has no partner",
    "held for the whole of a run",
    "a sampler of one's own",
    "all that is masked",
    "What is wrong with it is said.",
    "runs in a process of its own",
    "The choice stands in the report.",
    "A run goes on where it was.",
    "what is wanted here is a VAE",
    "a line for the clip in work",
    "a crop worked on at 512x512",
    "Choose one of the list.",
    "The fault is mended.",
    "in 95 % of the cases",
    "about 5 %, or less",
]


@pytest.mark.parametrize("text", BAD)
def test_each_phrase_is_found_once_with_what_to_write_instead(text: str) -> None:
    (finding,) = findings("page.md", f"A line.\n{text}\n")
    assert finding.line == 2
    assert finding.instead


def test_there_is_an_example_of_every_rule() -> None:
    assert {rule for rule in RULES for text in BAD if any(rule.matches(text))} == set(RULES)


@pytest.mark.parametrize(
    "text",
    [
        "There is no such file.",
        "It is no longer needed.",
        "There\nis no way back.",
        "It is not a file.",
        "in place of it",
    ],
)
def test_idiom_is_left_alone(text: str) -> None:
    assert findings("page.md", text) == []


@pytest.mark.parametrize("text", ["so that\n    nobody", "# so that\n    # nobody", "so  that nobody"])
def test_a_phrase_may_go_over_two_lines(text: str) -> None:
    assert [finding.phrase.startswith("so") for finding in findings("code.py", text)] == [True]


def test_the_exit_code_says_whether_there_are_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.md", tmp_path / "bad.md"
    good.write_text("Again.\n")
    bad.write_text("Anew.\n")
    assert (main([str(good)]), main([str(good), str(bad)])) == (0, 1)
    assert capsys.readouterr().out == f"{bad}:1: 'Anew' -> \"again\"\n"


def test_sources_tests_and_pages_are_read() -> None:
    names = {path.name for path in tracked()}
    assert {"README.md", "api.py", "test_prose.py", "Makefile", "pyproject.toml"} - {"test_prose.py"} <= names
