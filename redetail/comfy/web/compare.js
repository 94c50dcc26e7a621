// "Redetail Compare" shows before and after under one divider: drag it, or move it with the arrow keys; step through frames below.

import { app } from "../../scripts/app.js";
import { addPanel, addStyle, element, isOurs, pictureUrl } from "./shared.js";

const RULES = `
.redetail-compare { display: flex; flex-direction: column; gap: 6px; height: 100%; box-sizing: border-box;
  font: 12px sans-serif; color: var(--input-text, #ddd); }
.redetail-compare-view { position: relative; flex: 1; min-height: 0; overflow: hidden; border-radius: 6px;
  background: var(--comfy-input-bg, #222); cursor: ew-resize; touch-action: none; user-select: none; }
.redetail-compare-view:focus-visible { outline: 2px solid #78aaff; outline-offset: -2px; }
.redetail-compare-view img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.redetail-compare-line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none; }
.redetail-compare-view span { position: absolute; bottom: 6px; padding: 1px 6px; border-radius: 8px;
  background: #000a; color: #fff; pointer-events: none; }
.redetail-compare-before { left: 6px; }
.redetail-compare-after { right: 6px; }
.redetail-compare-frames { display: flex; gap: 8px; align-items: center; }
.redetail-compare-frames input { flex: 1; min-width: 0; }
.redetail-compare-empty .redetail-compare-view, .redetail-compare-empty input { visibility: hidden; }
`;
const STEP = 0.02;

/** Where the divider is after a key: 0 is the left edge, 1 the right one. Undefined for a key that does not move it. */
export function moved(share, key) {
  const places = { ArrowLeft: share - STEP, ArrowRight: share + STEP, Home: 0, End: 1 };
  return places[key] === undefined ? undefined : Math.min(1, Math.max(0, places[key]));
}

/** The index of the frame after a key; undefined for a key that does not step. */
export function stepped(index, key, count) {
  const step = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 }[key];
  return step === undefined ? undefined : Math.min(count - 1, Math.max(0, index + step));
}

class Comparison {
  constructor() {
    this.pairs = [];
    this.share = 0.5;
    this.after = element("img", "", { alt: "after", draggable: false });
    this.before = element("img", "", { alt: "before", draggable: false });
    this.line = element("div", "redetail-compare-line");
    this.view = element("div", "redetail-compare-view", { tabIndex: 0, title: "Drag the divider, or press the arrow keys" }, [
      this.after,
      this.before,
      this.line,
      element("span", "redetail-compare-before", { textContent: "before" }),
      element("span", "redetail-compare-after", { textContent: "after" }),
    ]);
    this.view.setAttribute("role", "slider");
    this.view.setAttribute("aria-label", "Divider between before and after");
    this.slider = element("input", "", { type: "range", min: 0, max: 0, value: 0 });
    this.slider.setAttribute("aria-label", "Frame");
    this.note = element("div", "", { textContent: "Run the workflow to compare." });
    const frames = element("div", "redetail-compare-frames", {}, [this.slider, this.note]);
    this.element = element("div", "redetail-compare redetail-compare-empty", {}, [this.view, frames]);
    this.listen();
    this.divide(this.share);
  }

  listen() {
    const follow = (event) => {
      const { left, width } = this.view.getBoundingClientRect();
      this.divide(Math.min(1, Math.max(0, (event.clientX - left) / width)));
    };
    this.view.addEventListener("pointerdown", (event) => {
      this.view.setPointerCapture(event.pointerId);
      follow(event);
    });
    this.view.addEventListener("pointermove", (event) => this.view.hasPointerCapture(event.pointerId) && follow(event));
    this.view.addEventListener("keydown", (event) => this.press(event));
    this.slider.addEventListener("input", () => this.step(Number(this.slider.value)));
  }

  press(event) {
    const share = moved(this.share, event.key);
    const index = stepped(Number(this.slider.value), event.key, this.pairs.length);
    if (share !== undefined) {
      this.divide(share);
    } else if (index !== undefined) {
      this.step(index);
    } else {
      return;
    }
    // The keys would move the selected node.
    event.preventDefault();
    event.stopPropagation();
  }

  show({ pairs }) {
    this.pairs = pairs ?? [];
    this.element.classList.toggle("redetail-compare-empty", this.pairs.length === 0);
    this.slider.max = Math.max(0, this.pairs.length - 1);
    this.step(Math.min(Number(this.slider.value), this.pairs.length - 1));
    // So that stepping does not flicker.
    this.loaded = this.pairs.flatMap((pair) =>
      [pair.before, pair.after].map((file) => element("img", "", { src: pictureUrl(file) })),
    );
  }

  step(index) {
    const pair = this.pairs[index];
    if (pair) {
      this.slider.value = index;
      this.before.src = pictureUrl(pair.before);
      this.after.src = pictureUrl(pair.after);
      this.note.textContent = `frame ${pair.frame + 1} of ${pair.frames}`;
    }
  }

  divide(share) {
    this.share = share;
    this.before.style.clipPath = `inset(0 ${(1 - share) * 100}% 0 0)`;
    this.line.style.left = `${share * 100}%`;
    this.view.setAttribute("aria-valuenow", String(Math.round(share * 100)));
  }
}

app.registerExtension({
  name: "redetail.compare",
  async beforeRegisterNodeDef(nodeType, nodeData) {
    if (!isOurs(nodeData, "RedetailCompare")) {
      return;
    }
    addStyle("redetail-compare-style", RULES);
    addPanel(nodeType, 240, () => new Comparison());
  },
});
