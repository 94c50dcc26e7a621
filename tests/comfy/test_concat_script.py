"""The front end's part of SEGS Concat, run in Node.js with a stand-in for ComfyUI's app."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "redetail" / "comfy" / "web" / "concat.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")

APP = "export const app = { registerExtension(extension) { globalThis.extension = extension; } };"

# Every change is [index of the input, link or null]; prints the names of the inputs after each.
RUN = """
import "./extensions/a%20pack/concat.js";

class Concat {
  inputs = [{ name: "segs1", link: null }];
  told = 0;
  addInput(name, type) { this.inputs.push({ name, type, link: null }); }
  removeInput(index) { this.inputs.splice(index, 1); }
  onConnectionsChange() { this.told += 1; return "answer"; }
}

const { changes, definition } = JSON.parse(process.argv[2]);
await extension.beforeRegisterNodeDef(Concat, definition);
const node = new Concat();
const seen = [];
for (const [index, link] of changes) {
  node.inputs[index].link = link;
  if (node.onConnectionsChange(1, index) !== "answer") throw new Error("the answer of the others is lost");
  seen.push(node.inputs.map((input) => input.name));
}
console.log(JSON.stringify({ seen, told: node.told }));
"""

OURS = {"name": "ImpactSEGSConcat", "python_module": "custom_nodes.a pack"}


def names(folder: Path, changes: list[Any], definition: dict[str, str]) -> list[int]:
    """How many inputs the node has after each change of its links."""
    script = folder / "extensions" / "a pack" / "concat.js"
    script.parent.mkdir(parents=True)
    shutil.copy(SCRIPT, script)
    (folder / "scripts").mkdir()
    (folder / "scripts" / "app.js").write_text(APP)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(RUN)
    told = json.dumps({"changes": changes, "definition": definition})
    done = subprocess.run([str(NODE), "run.js", told], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["told"] == len(changes)
    assert all(name == [f"segs{i + 1}" for i in range(len(name))] for name in result["seen"])
    return [len(name) for name in result["seen"]]


def test_there_is_always_one_free_input(tmp_path: Path) -> None:
    changes = [[0, 1], [1, 2], [2, 3], [1, None], [2, None], [0, None]]
    assert names(tmp_path, changes, OURS) == [2, 3, 4, 4, 2, 1]


@pytest.mark.parametrize("definition", [{**OURS, "python_module": "custom_nodes.other"}, {**OURS, "name": "Other"}])
def test_nodes_of_others_are_left_alone(tmp_path: Path, definition: dict[str, str]) -> None:
    assert names(tmp_path, [[0, 1], [0, None]], definition) == [1, 1]
