// @ts-check
/**
 * The images of a study as tabs: each small under its part of the shown map, with its view and the
 * share of attention that fell there.
 */

import { percent } from "./legend.js";
import { context } from "./viewer/viewer.js";

/** @typedef {import("./api.js").Image} Image */
/** @typedef {import("./viewer/heat.js").HeatOfImage} HeatOfImage */
/** @typedef {import("./viewer/pixels.js").PixelImage} PixelImage */
/** @typedef {{canvas: HTMLCanvasElement, plain: HTMLCanvasElement, scale: number, left: number, top: number}} Small
 *   scale: pixels of the thumbnail per original pixel; left and top: of the image in it */

const SIDE = 176; // pixels of a thumbnail, twice its CSS size

export class ImageTabs {
  /**
   * @param {HTMLElement} list
   * @param {(index: number) => void} selected
   */
  constructor(list, selected) {
    this.list = list;
    this.selected = selected;
    /** @type {HTMLButtonElement[]} */
    this.tabs = [];
    /** @type {Small[]} */
    this.smalls = [];
    list.addEventListener("keydown", (event) => this.pressed(event));
  }

  /**
   * @param {Image[]} images
   * @param {PixelImage[]} previews
   */
  render(images, previews) {
    this.smalls = previews.map(thumbnail);
    this.tabs = images.map((image, index) => this.tab(image, index));
    this.list.replaceChildren(...this.tabs);
    this.list.hidden = images.length < 2; // one image needs no choosing
  }

  /**
   * @param {Image} image
   * @param {number} index
   * @returns {HTMLButtonElement}
   */
  tab(image, index) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.id = `image-${index}`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "stage");
    const [name, share] = [document.createElement("b"), document.createElement("span")];
    name.textContent = `${index + 1}. ${viewName(image)}`;
    share.className = "share";
    tab.append(this.smalls[index].canvas, name, share);
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

  /** Lay each image's part of the shown map over it. @param {(HeatOfImage | null)[]} heats */
  showHeat(heats) {
    this.smalls.forEach(({ canvas, plain, scale, left, top }, index) => {
      const pen = context(canvas);
      pen.drawImage(plain, 0, 0);
      pen.save();
      pen.translate(left, top);
      pen.scale(scale, scale);
      heats[index]?.draw(pen, scale);
      pen.restore();
    });
  }

  /** @param {number[] | null} shares of attention per image; null takes the numbers away */
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
 * @param {Image} image
 * @returns {string}
 */
export function viewName({ view, prior }) {
  const name = view === "LATERAL" ? "Lateral" : view;
  if (prior) return name ? `Prior (${name})` : "Prior";
  return name ?? "View not stated";
}

/**
 * @param {PixelImage} preview
 * @returns {Small}
 */
function thumbnail({ description: { width, height }, levels: [{ samples, columns, rows }] }) {
  const rgba = new Uint8ClampedArray(samples.length * 4).fill(255);
  samples.forEach((gray, at) => rgba.fill(gray, at * 4, at * 4 + 3));
  const [full, plain, canvas] = ["canvas", "canvas", "canvas"].map((tag) => /** @type {HTMLCanvasElement} */ (document.createElement(tag)));
  [full.width, full.height] = [columns, rows];
  context(full).putImageData(new ImageData(rgba, columns), 0, 0);
  for (const small of [plain, canvas]) small.width = small.height = SIDE;
  const scale = SIDE / Math.max(width, height);
  const [left, top] = [(SIDE - width * scale) / 2, (SIDE - height * scale) / 2];
  const pen = context(plain);
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(full, left, top, width * scale, height * scale);
  context(canvas).drawImage(plain, 0, 0);
  return { canvas, plain, scale, left, top };
}
