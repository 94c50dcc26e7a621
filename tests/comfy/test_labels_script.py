"""The front end's part of SEGS Filter (label), run in Node.js with a stand-in for ComfyUI's app."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.comfy.test_concat_script import APP, NODE

SCRIPT = Path(__file__).parents[2] / "redetail" / "comfy" / "web" / "labels.js"
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

# Chooses one preset after another; prints the labels after each, and what the widget's own callback was told.
RUN = """
import "./extensions/a%20pack/labels.js";

const told = [];
class Filter {
  onNodeCreated() {
    this.widgets = [
      { name: "preset", callback: (value) => { told.push(value); return "answer"; } },
      { name: "labels", value: "" },
    ];
    return "created";
  }
}

const { presets, definition } = JSON.parse(process.argv[2]);
await extension.beforeRegisterNodeDef(Filter, definition);
const node = new Filter();
if (node.onNodeCreated() !== "created") throw new Error("the answer of the others is lost");
const [preset, labels] = node.widgets;
const seen = presets.map((value) => {
  if (preset.callback(value) !== "answer") throw new Error("the answer of the widget is lost");
  return labels.value;
});
console.log(JSON.stringify({ seen, told }));
"""
OURS = {"name": "RedetailImpactSEGSLabelFilter", "python_module": "custom_nodes.a pack"}


def labels(folder: Path, presets: list[str], definition: dict[str, str]) -> list[str]:
    """The labels after each chosen preset."""
    script = folder / "extensions" / "a pack" / "labels.js"
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "app.js").write_text(APP)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(RUN)
    asked = json.dumps({"presets": presets, "definition": definition})
    done = subprocess.run([str(NODE), "run.js", asked], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["told"] == presets
    return list(result["seen"])


def test_a_preset_is_added_once(tmp_path: Path) -> None:
    chosen = ["face", "hand", "face", "all", "person"]
    assert labels(tmp_path, chosen, OURS) == ["face", "face, hand", "face, hand", "all", "person"]


@pytest.mark.parametrize("definition", [{**OURS, "python_module": "custom_nodes.other"}, {**OURS, "name": "Other"}])
def test_nodes_of_others_are_left_alone(tmp_path: Path, definition: dict[str, str]) -> None:
    assert labels(tmp_path, ["face"], definition) == [""]
