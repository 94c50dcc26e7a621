// What the panels of Redetail Pick and Redetail Compare share.

import { api } from "../../scripts/api.js";

// /extensions/<folder>/shared.js; another pack's node of the same id is left to its own script.
const FOLDER = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2));

export function isOurs(nodeData, id) {
  return nodeData.name === id && nodeData.python_module === `custom_nodes.${FOLDER}`;
}

/** Where the server shows a picture: { filename, subfolder, type }. */
export function pictureUrl({ filename, subfolder, type }) {
  return api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);
}

/** An element with a class, properties and children. */
export function element(tag, className, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), { className }, properties);
  made.append(...children);
  return made;
}

/** Adds the rules of a panel to the page, once. */
export function addStyle(id, rules) {
  if (!document.getElementById(id)) {
    document.head.append(element("style", "", { id, textContent: rules }));
  }
}

/**
 * Gives every node of a class a panel below its widgets. `makePanel(node)` returns { element, show(output) }; `show` gets
 * what the node sends to the page when it has run. Nothing of a panel is saved with the workflow.
 */
export function addPanel(nodeType, height, makePanel) {
  const created = nodeType.prototype.onNodeCreated;
  nodeType.prototype.onNodeCreated = function (...given) {
    const result = created?.apply(this, given);
    const panel = makePanel(this);
    const widget = this.addDOMWidget("panel", "redetail.panel", panel.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => height,
    });
    widget.serialize = false;
    this.redetailPanel = panel;
    return result;
  };
  const executed = nodeType.prototype.onExecuted;
  nodeType.prototype.onExecuted = function (output, ...rest) {
    const result = executed?.call(this, output, ...rest);
    this.redetailPanel?.show(output);
    const [width, least] = this.computeSize();
    this.setSize([Math.max(this.size[0], width, 300), Math.max(this.size[1], least)]);
    return result;
  };
}
