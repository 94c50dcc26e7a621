"""Every section of the manual names what proves it: tests that exist, or a dated command."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANUAL = (ROOT / "docs" / "comfyui.md").read_text()
WRITTEN = MANUAL.partition("\n## Every node")[0]  # the rest is made of the nodes themselves
SECTIONS = dict(re.findall(r"(?ms)^#{2,3} ([^\n]*)\n(.*?)(?=^#{2,3} |\Z)", WRITTEN))
COMMAND = re.compile(r"\d{4}-\d\d-\d\d: (\S+)")


@cache
def names_in(file: str) -> frozenset[str]:
    return frozenset(re.findall(r"(?m)^def (test_\w+)", (ROOT / file).read_text()))


def proofs(body: str) -> list[str]:
    """The lines of its comments; readers of the page do not see them."""
    return [line for block in re.findall(r"(?s)<!-- proof\n(.*?)\n-->", body) for line in block.splitlines()]


def test_all_sections_are_read() -> None:
    assert list(SECTIONS) == re.findall(r"(?m)^#{2,3} (.*)", WRITTEN)


@pytest.mark.parametrize("title", SECTIONS)
def test_a_section_names_what_proves_it(title: str) -> None:
    named = proofs(SECTIONS[title])
    assert named
    for proof in named:
        dated = COMMAND.fullmatch(proof)
        file, _, name = (dated[1] if dated else proof).partition("::")
        assert (ROOT / file).is_file(), proof
        assert dated or name in names_in(file), proof
        assert not dated or proof[:10] in SECTIONS[title].partition("<!-- proof")[0], (
            f"{proof}: the text has another date"
        )
