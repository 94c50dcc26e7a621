// "SEGS Concat" always has one free input: connect the last one and another appears, disconnect and it goes again.

import { app } from "../../scripts/app.js";

const IDS = new Set(["ImpactSEGSConcat", "RedetailImpactSEGSConcat"]);
// /extensions/<folder>/concat.js; another pack's node of the same id is left to its own script.
const FOLDER = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2));

function isFree(input) {
  return input !== undefined && input.link == null;
}

function keepOneFreeInput(node) {
  while (node.inputs.length > 1 && isFree(node.inputs.at(-1)) && isFree(node.inputs.at(-2))) {
    node.removeInput(node.inputs.length - 1);
  }
  if (!isFree(node.inputs.at(-1))) {
    node.addInput(`segs${node.inputs.length + 1}`, "SEGS");
  }
}

app.registerExtension({
  name: "redetail.concat",
  async beforeRegisterNodeDef(nodeType, nodeData) {
    if (!IDS.has(nodeData.name) || nodeData.python_module !== `custom_nodes.${FOLDER}`) {
      return;
    }
    const before = nodeType.prototype.onConnectionsChange;
    nodeType.prototype.onConnectionsChange = function (...change) {
      const result = before?.apply(this, change);
      keepOneFreeInput(this);
      return result;
    };
  },
});
