// @ts-check
/** The color scale with its numbers: shares of attention and multiples of an even spread. */

import { opacityOf } from "./heatmap.js";
import { context } from "./viewer.js";

const STEPS = 4;

/**
 * @param {{bar: HTMLCanvasElement, ticks: HTMLElement, caption: HTMLElement}} parts
 * @param {{table: Uint8Array, top: number, patches: number, opacity: number, perWord: boolean}} scale
 *   top: share of attention at the upper end; patches: of the whole study
 */
export function drawLegend({ bar, ticks, caption }, { table, top, patches, opacity, perWord }) {
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
  ticks.replaceChildren(
    ...Array.from({ length: STEPS + 1 }, (_, step) => tick((top * step) / STEPS, patches, step === STEPS)),
  );
  const range = perWord ? "stretched to what is shown: not to be compared" : "the same for every word and report";
  caption.textContent = `Share of attention per patch, ${range}. 1× = spread evenly.`;
  bar.setAttribute(
    "aria-label",
    `Color scale from 0 to ${percent(top)} of the attention per patch, ${times(top, patches)} an even spread, ${range}`,
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
