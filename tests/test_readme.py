"""What the README and its neighbours promise: commands that can be typed, links that lead somewhere, lines that run."""

import re
import shlex
from itertools import takewhile
from pathlib import Path

import pytest

import redetail
from redetail import api
from redetail.cli.parser import build_parser, joined_values
from redetail.engines import FakeEngine
from tests.cli.conftest import write_video
from tests.clips import clip_frames

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "redetail").rglob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    """The lines of the page's shell blocks, in words, up to a pipe or a redirection."""
    lines = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    split = (shlex.split(line, comments=True) for line in lines)
    return [list(takewhile(lambda word: not re.match(r"\d?[<>|&]", word), words)) for words in split if words]


def test_every_redetail_command_can_be_typed() -> None:
    typed = [words[1:] for page in PAGES for words in commands(page) if words[0] == "redetail"]
    assert len(typed) >= 6
    for arguments in typed:
        build_parser().parse_args(joined_values(arguments))


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for page in PAGES for words in commands(page) if words[0] == "make" for word in words[1:]}
    assert {"test", "demo"} <= named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    broken = [link for link in links if link and "://" not in link and not (page.parent / link).exists()]
    assert broken == []


def test_the_lines_of_the_library_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a formula as the engine; what the bundled model does is tested with its restoration engine."""
    for module in (redetail, api):
        monkeypatch.setattr(module, "load_engine", lambda model=None, **options: FakeEngine())
    write_video(tmp_path / "in.mp4", clip_frames("guitarist")[:8])
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(ROOT / "README.md", "python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert {path.name for path in tmp_path.iterdir()} == {"in.mp4", "out.mp4", "pasted.mp4"}
    assert names["frames"].shape == (4, 96, 128, 3)
    assert names["result"].regions


def test_the_index_of_the_docs_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {page for page in pages if f"]({page})" not in index} == set()
