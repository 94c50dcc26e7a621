"""What ComfyUI finds beside the nodes: help pages, names, requirements; and what must not be in a pack."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACK = sorted((ROOT / "redetail" / "comfy").rglob("*.py"))
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
NOT_OURS_TO_REPLACE = {"torch", "torchvision", "torchaudio", "numpy", "opencv", "pillow", "safetensors", "transformers"}


@pytest.fixture(scope="module")
def pages() -> Any:
    sys.path.insert(0, str(ROOT / "tools"))
    import comfy_pages

    sys.path.pop(0)
    return comfy_pages


def names(node: ast.AST) -> set[str]:
    """What a call or an import in a module is named."""
    if isinstance(node, ast.Call):
        return {node.func.id} if isinstance(node.func, ast.Name) else set()
    if isinstance(node, ast.Import):
        return {f"import {alias.name}" for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {f"import {node.module}"}
    return set()


def test_pages_names_and_manual_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "tools" / "comfy_pages.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_id_has_a_page_that_a_person_wrote(pages: Any) -> None:
    with pages.stand_in():
        found = pages.nodes()
    assert len(found) > 50
    for name in found:
        assert (pages.PAGES / f"{name}.md").is_file(), name
        prose = pages.PROSE / f"{pages.source_id(name)}.md"
        assert prose.is_file(), prose
        assert "## Example" in prose.read_text(), prose
    assert {path.stem for path in pages.PROSE.glob("*.md")} <= set(found)


def test_every_input_and_output_has_a_tooltip(pages: Any) -> None:
    document = json.loads(pages.LOCALE.read_text())
    for name, entry in document.items():
        assert entry["display_name"], name
        assert entry["description"].endswith("."), name
        for kind in ("inputs", "outputs"):
            for key, told in entry[kind].items():
                assert told["tooltip"], f"{name}.{kind}.{key}"


def test_pages_speak_of_inputs_that_exist(pages: Any) -> None:
    with pages.stand_in():
        found = pages.nodes()
        known = {
            name: {key for group in node.INPUT_TYPES().values() for key in group}
            | {key for key, *_ in pages._outputs(node)}
            for name, node in found.items()
        }
    everything = set().union(*known.values())
    for path in pages.PROSE.glob("*.md"):
        told = set(re.findall(r"`([a-z][a-z_0-9]+)`", path.read_text()))
        unknown = told - everything - {"ratio_per_detail", "all"}
        assert not unknown, f"{path.name} speaks of {unknown}"


def test_no_eval_no_exec_no_pip_no_print() -> None:
    assert len(PACK) > 30
    bad = {"eval", "exec", "compile", "print", "__import__", "import subprocess", "import pip", "import ensurepip"}
    bad |= {"import nodes", "import comfy_extras"}
    for path in [*PACK, ROOT / "__init__.py"]:
        tree = ast.parse(path.read_text())
        found = set().union(*(names(node) for node in ast.walk(tree))) & bad
        assert not found, f"{path.relative_to(ROOT)}: {found}"
        assert "os.system" not in path.read_text(), path


def test_requirements_replace_nothing_of_comfyuis() -> None:
    packages = {re.split(r"[<>=!\[ ]", line)[0].lower() for line in REQUIREMENTS}
    assert packages == {"threadpoolctl"}
    assert not {package.split("-")[0] for package in packages} & NOT_OURS_TO_REPLACE


def test_the_registry_of_comfyui_gets_its_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    comfy = project["tool"]["comfy"]
    assert comfy["PublisherId"] == "redetail"
    assert comfy["DisplayName"]
    assert comfy["requires-comfyui"].startswith(">=")
    assert project["project"]["name"] == "redetail"


def test_the_web_directory_holds_only_pages() -> None:
    kinds = {path.suffix for path in (ROOT / "redetail" / "comfy" / "web").rglob("*") if path.is_file()}
    assert kinds == {".md"}
