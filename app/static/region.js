// @ts-check
/** A rectangle on the image, and the words that attended to it. */

import { shareInside } from "./heatmap.js";
import { percent } from "./legend.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Extent} Extent */
/** @typedef {import("./api.js").Image} Image */
/** @typedef {{word: number, share: number}} Looker a word, and its share of attention in the region */

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const LISTED = 8;
const LEAST = 0.01; // share of its attention below which a word did not look there
const CLICKED = 1 / 6; // of the image's sides: a region that is only clicked
const STEPS = 32; // of the image's side, by which keys move and size a region

export class RegionView {
  /**
   * @param {import("./viewer/viewer.js").Viewer} viewer
   * @param {import("./report.js").ReportView} report highlights the words
   * @param {(message: string) => void} announce
   */
  constructor(viewer, report, announce) {
    this.viewer = viewer;
    this.report = report;
    this.announce = announce;
    this.panel = element("region");
    this.list = element("region-words");
    /** @type {{answer: Answer, maps: (Float32Array | null)[], image: number} | null} */
    this.study = null;
    /** @type {Extent | null} */
    this.box = null;
    /** @type {(box: Extent | null) => void} */
    this.changed = () => undefined;
    viewer.layers.push((pen, frame) => {
      if (this.box) outline(pen, this.box, frame.scale / frame.ratio);
    });
    element("region-clear").addEventListener("click", () => this.clear());
    this.connectList();
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !event.defaultPrevented && this.box) this.clear();
    });
  }

  connectList() {
    const { list, report } = this;
    const wordOf = (/** @type {Event} */ event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      return button ? Number(button.dataset.index) : null;
    };
    for (const kind of ["pointerover", "focusin"]) {
      list.addEventListener(kind, (event) => {
        const word = wordOf(event);
        if (word !== null) report.show(word);
      });
    }
    for (const kind of ["pointerleave", "focusout"]) list.addEventListener(kind, () => report.show(null));
    list.addEventListener("click", (event) => {
      const word = wordOf(event);
      if (word !== null) report.togglePin(word);
    });
  }

  /**
   * @param {Answer} answer
   * @param {(Float32Array | null)[]} maps of its words
   * @param {number} image the one now shown; a region of another is let go
   */
  setImage(answer, maps, image) {
    this.study = { answer, maps, image };
    this.clear();
  }

  /**
   * @param {{x: number, y: number}} from CSS pixels of the canvas
   * @param {{x: number, y: number}} to
   */
  draw(from, to) {
    if (!this.study) return;
    const image = this.study.answer.images[this.study.image];
    this.set(boxBetween(this.viewer.toImage(from), this.viewer.toImage(to), image));
  }

  /** @param {{x: number, y: number}} at CSS pixels of the canvas */
  around(at) {
    if (!this.study) return;
    const image = this.study.answer.images[this.study.image];
    const { x, y } = this.viewer.toImage(at);
    const [across, down] = [(image.width * CLICKED) / 2, (image.height * CLICKED) / 2];
    this.set(boxBetween({ x: x - across, y: y - down }, { x: x + across, y: y + down }, image));
    this.say();
  }

  /**
   * @param {number} dx steps to the right
   * @param {number} dy steps down
   * @param {boolean} sizing
   */
  nudge(dx, dy, sizing) {
    if (!this.study) return;
    const image = this.study.answer.images[this.study.image];
    this.set(this.box ? nudged(this.box, dx, dy, sizing, image) : boxInTheMiddle(image));
    this.say();
  }

  clear() {
    if (this.box) this.announce("Region cleared.");
    this.set(null);
  }

  /** @param {Extent | null} box */
  set(box) {
    this.box = box;
    this.viewer.redraw();
    const lookers = this.lookers();
    this.report.markInside(new Map(lookers.map(({ word, share }) => [word, share])));
    this.panel.hidden = box === null;
    element("region-none").hidden = lookers.length > 0;
    if (this.study) listLookers(this.list, lookers, this.study.answer.words);
    this.changed(box);
  }

  /** Say what the region holds. */
  say() {
    if (this.box && this.study) this.announce(lookersInWords(this.lookers(), this.study.answer.words));
  }

  /** @returns {Looker[]} */
  lookers() {
    const { box, study } = this;
    return box && study ? lookersAt(study.maps, study.answer.images, study.image, box) : [];
  }
}

/**
 * A light line between two dark ones, seen on any image and under any color.
 *
 * @param {CanvasRenderingContext2D} pen in original pixels
 * @param {Extent} box
 * @param {number} scale CSS pixels per original pixel
 */
function outline(pen, { left, top, width, height }, scale) {
  for (const [style, line] of /** @type {const} */ ([["#05070a", 4], ["#f2fbff", 1.5]])) {
    pen.strokeStyle = style;
    pen.lineWidth = line / scale;
    pen.strokeRect(left, top, width, height);
  }
}

/**
 * @param {{x: number, y: number}} from original pixels
 * @param {{x: number, y: number}} to
 * @param {{width: number, height: number}} image
 * @returns {Extent | null} the rectangle between two corners, held to the image; null where none is left
 */
export function boxBetween(from, to, { width, height }) {
  const left = Math.max(0, Math.min(from.x, to.x));
  const top = Math.max(0, Math.min(from.y, to.y));
  const right = Math.min(width, Math.max(from.x, to.x));
  const bottom = Math.min(height, Math.max(from.y, to.y));
  return right > left && bottom > top ? { left, top, width: right - left, height: bottom - top } : null;
}

/**
 * @param {{width: number, height: number}} image
 * @returns {Extent} a quarter of the image, in its middle
 */
export function boxInTheMiddle({ width, height }) {
  return { left: width / 4, top: height / 4, width: width / 2, height: height / 2 };
}

/**
 * @param {Extent} box
 * @param {number} dx steps to the right
 * @param {number} dy steps down
 * @param {boolean} sizing moves the lower right corner only
 * @param {{width: number, height: number}} image
 * @returns {Extent} held to the image and to the size of one step
 */
export function nudged(box, dx, dy, sizing, image) {
  const [x, y] = [image.width / STEPS, image.height / STEPS];
  if (sizing) {
    return {
      ...box,
      width: held(box.width + dx * x, x, image.width - box.left),
      height: held(box.height + dy * y, y, image.height - box.top),
    };
  }
  return {
    ...box,
    left: held(box.left + dx * x, 0, image.width - box.width),
    top: held(box.top + dy * y, 0, image.height - box.height),
  };
}

/**
 * @param {(Float32Array | null)[]} maps of every word; null where it has none
 * @param {Image[]} images
 * @param {number} index of the image with the region
 * @param {Extent} box
 * @returns {Looker[]} the words that looked there, largest share first
 */
export function lookersAt(maps, images, index, box) {
  return maps
    .map((map, word) => ({ word, share: map ? shareInside(map, images, index, box) : 0 }))
    .filter(({ share }) => share >= LEAST)
    .sort((a, b) => b.share - a.share);
}

/**
 * List the words that looked into a region, each a button.
 *
 * @param {HTMLElement} list
 * @param {Looker[]} lookers
 * @param {import("./api.js").Word[]} words
 */
export function listLookers(list, lookers, words) {
  list.replaceChildren(...lookers.slice(0, LISTED).map(({ word, share }) => {
    const [item, button, value] = ["li", "button", "b"].map((tag) => document.createElement(tag));
    button.setAttribute("type", "button");
    button.className = "looker";
    button.dataset.index = String(word);
    value.textContent = percent(share);
    button.append(words[word].text, " ", value);
    item.append(button);
    return item;
  }));
}

/**
 * @param {Looker[]} lookers
 * @param {import("./api.js").Word[]} words
 * @returns {string} the first three, for the screen reader
 */
export function lookersInWords(lookers, words) {
  if (lookers.length === 0) return "No word attended to this region.";
  const shares = lookers.slice(0, 3).map(({ word, share }) => `${words[word].text} ${percent(share)}`);
  const count = lookers.length === 1 ? "1 word" : `${lookers.length} words`;
  return `${count} attended to it: ${shares.join(", ")}${lookers.length > 3 ? ", and others" : ""}.`;
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
function held(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
