// @ts-check
/** The color scale with its numbers: shares of attention and multiples of an even spread. */

import { opacityOf, shareOfLevel } from "./heatmap.js";
import { context } from "./viewer/viewer.js";

/** @typedef {import("./heatmap.js").Scale} Scale */

/** Levels of the scale that have numbers. */
const LINEAR = [0, 0.25, 0.5, 0.75, 1];
const LOGARITHMIC = [0, 1 / 3, 2 / 3, 1];

/**
 * @param {{bar: HTMLCanvasElement, ticks: HTMLElement, caption: HTMLElement}} parts
 * @param {{table: Uint8Array, scale: Scale, patches: number, opacity: number}} shown patches: of the whole study
 */
export function drawLegend({ bar, ticks, caption }, { table, scale, patches, opacity }) {
  const pen = context(bar);
  pen.fillStyle = "#6b7278"; // a mid gray stands for the radiograph under the colors
  pen.fillRect(0, 0, bar.width, bar.height);
  for (let x = 0; x < bar.width; x++) {
    const level = x / (bar.width - 1);
    const at = Math.round(level * 255) * 3;
    const alpha = opacity * opacityOf(level);
    pen.fillStyle = `rgb(${table[at]} ${table[at + 1]} ${table[at + 2]} / ${alpha})`;
    pen.fillRect(x, 0, 1, bar.height);
  }
  const levels = scale.log ? LOGARITHMIC : LINEAR;
  ticks.replaceChildren(...levels.map((level) => tick(shareOfLevel(level, scale), patches, level === 1)));
  const range = scale.perWord ? "stretched to what is shown: not to be compared" : "the same for every word and report";
  const below = scale.log ? "; less than the left end stays uncolored" : "";
  caption.textContent = `How much of the attention fell there, ${range}. 1× = spread evenly${below}.`;
  const from = percent(shareOfLevel(0, scale));
  bar.setAttribute(
    "aria-label",
    `Color scale from ${from === percent(0) ? "0" : from} to ${percent(scale.top)} of the attention per patch, ` +
      `${times(scale.top, patches)} an even spread, ${range}`,
  );
}

/**
 * @param {number} share
 * @param {number} patches
 * @param {boolean} last
 * @returns {HTMLLIElement}
 */
function tick(share, patches, last) {
  const item = document.createElement("li");
  const [value, ratio] = [document.createElement("b"), document.createElement("span")];
  value.textContent = `${last ? "≥ " : ""}${percent(share)}`;
  ratio.textContent = times(share, patches);
  item.append(value, ratio);
  return item;
}

/**
 * @param {number} share in [0, 1]
 * @returns {string} such as "3.2 %"
 */
export function percent(share) {
  const value = share * 100;
  const digits = value === 0 || value >= 9.95 ? 0 : value >= 0.995 ? 1 : 2;
  return `${value.toFixed(digits)}\u202f%`;
}

/**
 * @param {number} share
 * @param {number} patches
 * @returns {string} such as "8.2×", in units of an even spread
 */
export function times(share, patches) {
  const ratio = share * patches;
  return `${ratio.toFixed(ratio === 0 || ratio >= 9.95 ? 0 : 1)}×`;
}
