// "Redetail Pick" shows the subjects that it was given. A click chooses one or lets it go; the widget holds the names.

import { app } from "../../scripts/app.js";
import { addPanel, addStyle, element, isOurs, pictureUrl } from "./shared.js";

const RULES = `
.redetail-pick { display: flex; flex-direction: column; gap: 6px; height: 100%; overflow: auto; box-sizing: border-box;
  font: 12px sans-serif; color: var(--input-text, #ddd); }
.redetail-pick-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(88px, 1fr)); gap: 6px; }
.redetail-pick-card { position: relative; display: flex; flex-direction: column; padding: 0; overflow: hidden;
  border: 2px solid transparent; border-radius: 6px; background: var(--comfy-input-bg, #222); color: inherit;
  font: inherit; cursor: pointer; text-align: left; }
.redetail-pick-card:hover { border-color: var(--border-color, #666); }
.redetail-pick-card:focus-visible { outline: 2px solid #78aaff; outline-offset: -2px; }
.redetail-pick-card[aria-pressed="true"] { border-color: #78aaff; }
.redetail-pick-card[data-left-out] img { opacity: 0.35; filter: grayscale(1); }
.redetail-pick-card img { display: block; width: 100%; aspect-ratio: 1; object-fit: cover; }
.redetail-pick-card b { padding: 3px 6px 0; font-weight: 600; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.redetail-pick-card small { padding: 0 6px 4px; opacity: 0.7; }
.redetail-pick-order { position: absolute; top: 4px; left: 4px; min-width: 18px; padding: 1px 0; border-radius: 9px;
  background: #78aaff; color: #111; font-weight: 700; text-align: center; }
.redetail-pick-order:empty { display: none; }
.redetail-pick-note { opacity: 0.7; }
`;

export function namesIn(text) {
  return [...new Set((text ?? "").split(",").map((name) => name.trim().replace(/\s+/g, " ")))].filter(Boolean);
}

export function toggled(text, name) {
  const names = namesIn(text);
  return (names.includes(name) ? names.filter((other) => other !== name) : [...names, name]).join(", ");
}

function note(subjects, names) {
  if (subjects === undefined) {
    return "Run the workflow to see the subjects.";
  }
  if (subjects.length === 0) {
    return "No subjects were found.";
  }
  return names.length === 0 ? "All subjects are kept. Click the ones to keep." : `${names.length} of ${subjects.length} chosen.`;
}

class Picker {
  constructor(widget) {
    this.widget = widget;
    this.cards = element("div", "redetail-pick-cards");
    this.note = element("div", "redetail-pick-note");
    this.element = element("div", "redetail-pick", {}, [this.note, this.cards]);
    // Called when a person types; what a click writes is marked below.
    const typed = widget.callback;
    widget.callback = (...given) => {
      const result = typed?.apply(widget, given);
      this.mark();
      return result;
    };
    this.mark();
  }

  show({ subjects }) {
    this.subjects = subjects ?? [];
    this.cards.replaceChildren(...this.subjects.map((subject) => this.card(subject)));
    this.mark();
  }

  card(subject) {
    const seen = subject.frames < subject.clip_frames ? `${subject.frames} of ${subject.clip_frames} frames` : "all frames";
    const picture = element("img", "", { src: pictureUrl(subject), alt: subject.name, draggable: false });
    const card = element("button", "redetail-pick-card", { type: "button", title: `${subject.name}, ${seen}` }, [
      picture,
      element("span", "redetail-pick-order"),
      element("b", "", { textContent: subject.name }),
      element("small", "", { textContent: seen }),
    ]);
    card.addEventListener("click", () => {
      this.widget.value = toggled(this.widget.value, subject.name);
      this.mark();
      app.graph?.setDirtyCanvas(true, true);
    });
    return card;
  }

  mark() {
    const names = namesIn(this.widget.value);
    this.note.textContent = note(this.subjects, names);
    [...this.cards.children].forEach((card, index) => {
      const place = names.indexOf(this.subjects[index].name);
      const kept = names.length === 0 ? this.subjects[index].kept : place >= 0;
      card.setAttribute("aria-pressed", String(place >= 0));
      card.toggleAttribute("data-left-out", !kept);
      card.querySelector(".redetail-pick-order").textContent = place >= 0 ? String(place + 1) : "";
    });
  }
}

app.registerExtension({
  name: "redetail.pick",
  async beforeRegisterNodeDef(nodeType, nodeData) {
    if (!isOurs(nodeData, "RedetailPick")) {
      return;
    }
    addStyle("redetail-pick-style", RULES);
    addPanel(nodeType, 190, (node) => new Picker(node.widgets.find((widget) => widget.name === "choice")));
  },
});
