// @ts-check
/** The pictures of a study as tabs: a thumbnail, the view, and the share of attention that fell there. */

import { percent } from "./legend.js";
import { context } from "./viewer.js";

/** @typedef {import("./api.js").Picture} Picture */
/** @typedef {import("./viewer.js").Radiograph} Radiograph */

const SIDE = 96; // pixels of a thumbnail, twice its CSS size

export class PictureTabs {
  /**
   * @param {HTMLElement} list
   * @param {(index: number) => void} selected
   */
  constructor(list, selected) {
    this.list = list;
    this.selected = selected;
    /** @type {HTMLButtonElement[]} */
    this.tabs = [];
    list.addEventListener("keydown", (event) => this.pressed(event));
  }

  /**
   * @param {Picture[]} pictures
   * @param {Radiograph[]} radiographs
   */
  render(pictures, radiographs) {
    this.tabs = pictures.map((picture, index) => this.tab(picture, radiographs[index], index));
    this.list.replaceChildren(...this.tabs);
    this.list.hidden = pictures.length < 2; // one picture needs no choosing
  }

  /**
   * @param {Picture} picture
   * @param {Radiograph} radiograph
   * @param {number} index
   * @returns {HTMLButtonElement}
   */
  tab(picture, radiograph, index) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `picture-${index}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "stage");
    const [name, share] = [document.createElement("b"), document.createElement("span")];
    name.textContent = `${index + 1}. ${viewName(picture)}`;
    share.className = "share";
    tab.append(thumbnail(radiograph), name, share);
    tab.addEventListener("click", () => this.selected(index));
    return tab;
  }

  /** @param {number} index */
  select(index) {
    this.tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === index));
      tab.tabIndex = at === index ? 0 : -1;
    });
  }

  /** @param {number[] | null} shares of attention per picture; null takes the numbers away */
  showShares(shares) {
    this.tabs.forEach((tab, index) => {
      const label = /** @type {HTMLElement} */ (tab.querySelector(".share"));
      label.textContent = shares ? percent(shares[index]) : "";
      tab.style.setProperty("--share", String(shares ? shares[index] : 0));
    });
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = this.tabs.findIndex((tab) => tab.getAttribute("aria-selected") === "true");
    const index = (from + step + this.tabs.length) % this.tabs.length;
    this.selected(index);
    this.tabs[index].focus();
  }
}

/**
 * @param {Picture} picture
 * @returns {string}
 */
export function viewName(picture) {
  if (!picture.view) return "View not stated";
  return picture.view === "LATERAL" ? "Lateral" : picture.view;
}

/**
 * @param {Radiograph} radiograph
 * @returns {HTMLCanvasElement}
 */
function thumbnail({ pixels, columns, rows }) {
  const full = document.createElement("canvas");
  full.width = columns;
  full.height = rows;
  const rgba = new Uint8ClampedArray(pixels.length * 4).fill(255);
  pixels.forEach((grey, at) => rgba.fill(grey, at * 4, at * 4 + 3));
  context(full).putImageData(new ImageData(rgba, columns), 0, 0);
  const small = document.createElement("canvas");
  small.width = small.height = SIDE;
  const scale = SIDE / Math.max(columns, rows);
  const [width, height] = [columns * scale, rows * scale];
  const pen = context(small);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(full, (SIDE - width) / 2, (SIDE - height) / 2, width, height);
  return small;
}
