// @ts-check
/** One image on the page: its canvas, what stands in its corners and at its edges. */

import { connectGestures, windowOf } from "./gestures.js";
import { Viewer } from "./viewer.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./heat.js").HeatOfImage} HeatOfImage */
/** @typedef {import("./pixels.js").PixelImage} PixelImage */
/** @typedef {{name: string, number: number, count: number}} Label of an image: its view, which it is, of how many */

export class Pane {
  /**
   * @param {HTMLElement} stage
   * @param {(pane: Pane) => void} changed the view has
   */
  constructor(stage, changed) {
    this.stage = stage;
    this.canvas = /** @type {HTMLCanvasElement} */ (stage.querySelector("canvas"));
    this.image = 0;
    /** @type {HeatOfImage | null} */
    this.heat = null;
    this.overlay = true;
    /** Whether the lens follows the pointer. */
    this.magnifies = false;
    /** @type {(x: number, y: number) => string} what the shown map has at a place */
    this.shareAt = () => "";
    this.viewer = new Viewer(this.canvas, () => {
      this.label();
      changed(this);
    });
    /** @type {Point | null} where the pointer is in the other pane, in original pixels */
    this.marked = null;
    this.viewer.layers.push((pen) => this.drawHeat(pen), (pen, frame) => this.drawMark(pen, frame));
  }

  /** @param {import("./gestures.js").Page} page */
  connect(page) {
    connectGestures(this.viewer, {
      ...page,
      pointed: (at) => {
        page.pointed(at);
        this.showPointer(at);
        this.viewer.setLens(this.magnifies ? at : null);
      },
    });
  }

  /**
   * @param {number} index
   * @param {PixelImage} image
   * @param {Label} label
   */
  show(index, image, label) {
    this.image = index;
    this.name = label;
    // What was already on the screen while the report was written stays as its reader has set it.
    if (this.viewer.raster?.image !== image) this.viewer.setImage(image);
    this.labelImage();
  }

  /** @param {PixelImage} image more of it, or in place of a preview */
  grow(image) {
    this.viewer.growImage(image);
    this.labelImage();
  }

  /** @param {HeatOfImage | null} heat */
  setHeat(heat) {
    this.heat = heat;
    this.viewer.redraw();
  }

  /** @param {CanvasRenderingContext2D} pen in original pixels */
  drawHeat(pen) {
    if (this.heat && this.overlay) this.heat.draw(pen, this.viewer.scale() / this.viewer.ratio);
  }

  /** @param {Point | null} place in original pixels: its value is shown as under the pointer */
  mark(place) {
    if (!place && !this.marked) return;
    this.marked = place;
    this.tellPlace(place);
    this.viewer.redraw();
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {import("./geometry.js").Frame} frame
   */
  drawMark(pen, frame) {
    if (!this.marked) return;
    frame.onScreen(pen);
    const { x, y } = frame.toScreen(this.marked);
    for (const [style, width] of /** @type {const} */ ([["#05070a", 4], ["#a9e2f3", 1.5]])) {
      pen.strokeStyle = style;
      pen.lineWidth = width;
      pen.beginPath();
      for (const [dx, dy] of [[-12, 0], [12, 0], [0, -12], [0, 12]]) {
        pen.moveTo(x + dx / 3, y + dy / 3);
        pen.lineTo(x + dx, y + dy);
      }
      pen.stroke();
    }
  }

  labelImage() {
    const { description, raster } = this.viewer;
    if (!description || !this.name) return;
    const { name, number, count } = this.name;
    const depth = raster?.image.preview ? "8-bit preview" : `${description.bits} bit${raster?.isWhole ? "" : ", loading"}`;
    const size = `${description.width} × ${description.height}`;
    this.corner("image").textContent = `${count > 1 ? `${number}. ` : ""}${name}, ${size}, ${depth}`;
    this.stage.setAttribute("aria-label", `Image ${number}, ${name}`);
    this.canvas.setAttribute("aria-label", `Radiograph ${number} of ${count}, ${name}, ${size} pixels`);
  }

  /** Window and orientation, as they now are. */
  label() {
    const { viewer } = this;
    const { width, level } = windowOf(viewer);
    const { name, function: kind } = viewer.view.voi;
    const special = kind === "LUT" ? ["LUT", name] : [kind === "SIGMOID" ? "sigmoid" : "", name];
    const extra = [...special, viewer.view.inverted ? "inverted" : ""].filter(Boolean).join(" ").toLowerCase();
    this.corner("window").textContent = `W ${shortened(width)}  L ${shortened(level)}${extra ? `  ${extra}` : ""}`;
    const letters = viewer.letters();
    for (const edge of /** @type {const} */ (["left", "right", "top", "bottom"])) {
      const mark = /** @type {HTMLElement} */ (this.stage.querySelector(`[data-edge=${edge}]`));
      mark.textContent = letters ? letters[edge] : "";
    }
  }

  /** @param {Point | null} at CSS pixels of the canvas */
  showPointer(at) {
    this.tellPlace(at && this.viewer.toImage(at));
  }

  /** @param {Point | null} place in original pixels */
  tellPlace(place) {
    const { viewer } = this;
    const value = place && viewer.raster?.valueAt(place.x, place.y);
    const share = place ? this.shareAt(place.x, place.y) : "";
    if (!place) this.corner("pointer").textContent = "";
    else if (!value) this.corner("pointer").textContent = share.trim();
    else this.corner("pointer").textContent = `x ${value.column}  y ${value.row}  ${this.valueInWords(value)}${share}`;
  }

  /**
   * @param {{stored: number, modality: number}} value
   * @returns {string}
   */
  valueInWords({ stored, modality }) {
    const { raster, description } = this.viewer;
    if (raster?.image.preview) return `gray ${stored}`;
    const converted = modality === stored ? "" : ` = ${shortened(modality)}${description?.unit ? ` ${description.unit}` : ""}`;
    return `value ${stored}${converted}`;
  }

  /**
   * @param {string} name
   * @returns {HTMLElement}
   */
  corner(name) {
    return /** @type {HTMLElement} */ (this.stage.querySelector(`[data-corner=${name}]`));
  }
}

/**
 * @param {number} value
 * @returns {string} whole where it is large
 */
function shortened(value) {
  return Math.abs(value) >= 10 || Number.isInteger(value) ? String(Math.round(value)) : value.toPrecision(3);
}
