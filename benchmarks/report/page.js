// Two conveniences on pages that are complete without them: hiding series, and figures under the pointer.
"use strict";

const words = (value, unit) => {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return value;
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 || size === 0 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return `${value.toLocaleString("en", { maximumFractionDigits: digits })} ${unit}`;
};

const element = (name, className, text) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
};

const nearest = (places, at) => {
  let best = 0;
  for (let i = 1; i < places.length; i++) if (Math.abs(places[i] - at) < Math.abs(places[best] - at)) best = i;
  return best;
};

function hideAndShow(figure) {
  for (const button of figure.querySelectorAll(".legend button")) {
    button.addEventListener("click", () => {
      const isShown = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(isShown));
      figure.querySelector(`g[data-series="${button.dataset.series}"]`).classList.toggle("off", !isShown);
    });
  }
}

function pointAt(figure) {
  const block = figure.querySelector("script.hover");
  if (!block) return;
  const data = JSON.parse(block.textContent);
  const area = figure.querySelector(".area");
  const cross = element("div", "cross");
  const tip = element("div", "tip");
  const isOff = (n) => figure.querySelector(`g[data-series="${n}"]`).classList.contains("off");

  const show = (index) => {
    const place = data.at[index];
    cross.style.left = `${place * 100}%`;
    tip.replaceChildren(element("b", "", data.words[index]));
    for (const series of data.series) {
      if (isOff(series.n)) continue;
      const group = figure.querySelector(`g[data-series="${series.n}"]`);
      const row = element("div", group.getAttribute("class"));
      row.append(element("i", "key"), element("span", "", series.name || figure.querySelector("h3").textContent));
      row.append(element("em", "", words(series.ys[index], data.unit)));
      tip.append(row);
    }
    tip.style.left = place < 0.55 ? `calc(${place * 100}% + 12px)` : "auto";
    tip.style.right = place < 0.55 ? "auto" : `calc(${(1 - place) * 100}% + 12px)`;
    area.append(cross, tip);
  };
  const hide = () => { cross.remove(); tip.remove(); };

  area.addEventListener("pointermove", (event) => {
    const box = area.getBoundingClientRect();
    show(nearest(data.at, (event.clientX - box.left) / box.width));
  });
  area.addEventListener("pointerleave", hide);
}

function copy(box) {
  const button = element("button", "", "Copy");
  button.type = "button";
  button.addEventListener("click", () => {
    const selection = getSelection();
    selection.selectAllChildren(box.querySelector("pre"));
    button.textContent = document.execCommand("copy") ? "Copied" : "Press Ctrl-C";
  });
  box.append(button);
}

// A link to a closed scenario opens it; paper shows all of them.
function openTarget() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = target && target.closest("details");
  if (folded) folded.open = true;
}

document.querySelectorAll("figure.chart").forEach((figure) => { hideAndShow(figure); pointAt(figure); });
document.querySelectorAll(".copyable").forEach(copy);
addEventListener("hashchange", openTarget);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
openTarget();
