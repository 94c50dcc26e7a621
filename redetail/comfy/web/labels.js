// "SEGS Filter (label)": choosing a preset adds it to the labels; "all" replaces them.

import { app } from "../../scripts/app.js";

const IDS = new Set(["ImpactSEGSLabelFilter", "RedetailImpactSEGSLabelFilter"]);
// /extensions/<folder>/labels.js; another pack's node of the same id is left to its own script.
const FOLDER = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2));

export function withLabel(text, label) {
  const labels = text.split(",").map((word) => word.trim()).filter((word) => word !== "" && word !== "all");
  if (label === "all") {
    return "all";
  }
  return (labels.includes(label) ? labels : [...labels, label]).join(", ");
}

function addPreset(node, label) {
  const labels = node.widgets?.find((widget) => widget.name === "labels");
  if (labels) {
    labels.value = withLabel(labels.value ?? "", label);
  }
}

app.registerExtension({
  name: "redetail.labels",
  async beforeRegisterNodeDef(nodeType, nodeData) {
    if (!IDS.has(nodeData.name) || nodeData.python_module !== `custom_nodes.${FOLDER}`) {
      return;
    }
    const before = nodeType.prototype.onNodeCreated;
    nodeType.prototype.onNodeCreated = function (...created) {
      const result = before?.apply(this, created);
      const preset = this.widgets?.find((widget) => widget.name === "preset");
      if (preset) {
        // Called when a person chooses, not when a workflow is loaded.
        const chosen = preset.callback;
        preset.callback = (value, ...rest) => {
          addPreset(this, value);
          return chosen?.call(preset, value, ...rest);
        };
      }
      return result;
    };
  },
});
