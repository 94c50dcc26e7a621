"""What a click or a key changes in the panels of Redetail Pick and Redetail Compare, run in Node.js."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.test_concat_script import APP, NODE

WEB = Path(__file__).parents[2] / "redetail" / "comfy" / "web"
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
RUN = """
const script = await import(`./extensions/pack/${process.argv[2]}.js`);
const calls = JSON.parse(process.argv[4]);
console.log(JSON.stringify(calls.map((given) => script[process.argv[3]](...given) ?? null)));
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The scripts as the page has them, with stand-ins for ComfyUI's."""
    shutil.copytree(WEB, tmp_path / "extensions" / "pack", ignore=shutil.ignore_patterns("docs"))
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "app.js").write_text(APP)
    (tmp_path / "scripts" / "api.js").write_text("export const api = { apiURL: (path) => path };")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "run.js").write_text(RUN)
    return tmp_path


def called(page: Path, script: str, function: str, *calls: list[Any]) -> list[Any]:
    """What an exported function gives for each list of arguments."""
    command = [str(NODE), "run.js", script, function, json.dumps(calls)]
    done = subprocess.run(command, cwd=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def test_a_click_adds_a_name_or_takes_it_away(page: Path) -> None:
    calls = ["", "face 1"], ["face 1", "face 3"], [" face 3 ,face  1,", "face 3"], ["face 11", "face 1"], [None, "hand"]
    expected = ["face 1", "face 1, face 3", "face 1", "face 11, face 1", "hand"]
    assert called(page, "pick", "toggled", *calls) == expected


def test_keys_move_the_divider_between_the_edges(page: Path) -> None:
    calls = [0.5, "ArrowRight"], [0.01, "ArrowLeft"], [0.3, "End"], [0.3, "Home"], [0.3, "ArrowUp"], [0.3, "a"]
    assert called(page, "compare", "moved", *calls) == [0.52, 0, 1, 0, None, None]


def test_keys_step_through_the_frames(page: Path) -> None:
    calls = [3, "ArrowUp", 5], [4, "ArrowUp", 5], [0, "ArrowDown", 5], [3, "PageDown", 24], [3, "Enter", 5]
    assert called(page, "compare", "stepped", *calls) == [4, 4, 0, 0, None]


def test_pictures_are_addressed_whatever_they_are_called(page: Path) -> None:
    file = {"filename": "a b&c.png", "subfolder": "", "type": "temp", "name": "face 1"}
    assert called(page, "shared", "pictureUrl", [file]) == ["/view?filename=a+b%26c.png&subfolder=&type=temp"]
