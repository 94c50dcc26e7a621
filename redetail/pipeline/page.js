"use strict";
for (const slider of document.querySelectorAll(".pair input")) {
  slider.addEventListener("input", () => slider.parentElement.style.setProperty("--split", slider.value + "%"));
}
