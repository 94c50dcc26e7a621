"""What the README and its neighbours promise: commands that can be typed, links that lead somewhere, lines that run."""

import re
import shlex
import textwrap
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
COPIES = ROOT / "redetail" / "comfy" / "web" / "docs"  # made from docs/nodes for ComfyUI, which has its own links
PAGES = sorted(
    page
    for page in (
        *ROOT.glob("*.md"),
        *(path for name in ("docs", "redetail", "benchmarks") for path in (ROOT / name).rglob("*.md")),
    )
    if COPIES not in page.parents
)
FENCE = re.compile(r"^( *)```(\S*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
# A command is a line of "sh", or what follows "$ " in "console", which shows answers as well. "bash" is a whole script.
LANGUAGES = {"sh", "bash", "console", "text", "python", "toml", "json", "mermaid"}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [textwrap.dedent(found[3]) for found in FENCE.finditer(page.read_text()) if found[2] == language]


def commands(page: Path) -> list[list[str]]:
    """The lines of the page's shell blocks, in words, up to a pipe or a redirection; each part of ``a && b``."""
    typed = [line for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    shown = [line for block in blocks(page, "console") for line in block.splitlines()]
    lines = [*typed, *(line.removeprefix("$ ") for line in shown if line.startswith("$ "))]
    split = (shlex.split(part, comments=True) for line in lines for part in line.split(" && "))
    return [list(takewhile(lambda word: not re.match(r"\d?[<>|&]", word), words)) for words in split if words]


def unnamed_code(page: Path) -> list[str]:
    """What could hide a command: blocks of an unknown language or of none, and code that is only indented."""
    text = page.read_text()
    languages = [found[2] for found in FENCE.finditer(text) if found[2] not in LANGUAGES]
    indented = re.findall(r"\n\n {4,}(\S.*)", FENCE.sub("", text))
    return [f"```{language}" for language in languages] + indented


def test_every_redetail_command_can_be_typed() -> None:
    typed = [words[1:] for page in PAGES for words in commands(page) if words[0] == "redetail"]
    assert len(typed) >= 6
    for arguments in typed:
        build_parser().parse_args(joined_values(arguments))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page: Path) -> None:
    assert unnamed_code(page) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```sh\nredetail a \\\n    b  # why\n```\n", [["redetail", "a", "b"]]),
        ("```sh\ncd here && make test > log\n```\n", [["cd", "here"], ["make", "test"]]),
        ("```console\n$ redetail a\nDone.\n```\n", [["redetail", "a"]]),
        ("1. Type\n\n   ```sh\n   redetail a\n   ```\n", [["redetail", "a"]]),
        ("```text\nredetail a\n```\n", []),
    ],
)
def test_commands_are_found_in_every_kind_of_block(tmp_path: Path, text: str, expected: list[list[str]]) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert commands(page) == expected
    assert unnamed_code(page) == []


@pytest.mark.parametrize("text", ["```\nredetail a\n```\n", "```zsh\nredetail a\n```\n", "So:\n\n    redetail a\n"])
def test_a_command_cannot_hide_in_an_unnamed_block(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    assert len(unnamed_code(page)) == 1


def test_scripts_that_pages_name_exist_and_take_the_options() -> None:
    """In blocks, and in the text as in `python benchmarks/bench.py --repeat 4`."""
    typed = [words for page in PAGES for words in commands(page)]
    typed += [code.split() for page in PAGES for code in re.findall(r"`(python [^`]+)`", page.read_text())]
    wrong = []
    for words in typed:
        path = ROOT / words[1] if words[0].endswith("python") and words[1].endswith(".py") else None
        if path is None or path.name == "main.py":  # ComfyUI's
            continue
        source = "".join(other.read_text() for other in path.parent.glob("*.py")) if path.is_file() else ""
        options = [word.replace("--no-", "--") for word in words[2:] if word.startswith("--")]
        wrong += [shlex.join(words) for option in ["", *options] if not source or f'"{option}' not in source]
    assert wrong == []


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


def test_third_party_parts_are_all_named() -> None:
    named = (ROOT / "THIRD_PARTY.md").read_text()
    bundled = {path.parent.relative_to(ROOT) for path in (ROOT / "redetail" / "bundled").glob("*/README.md")}
    assert [str(folder) for folder in bundled if f"]({folder.as_posix()})" not in named] == []
