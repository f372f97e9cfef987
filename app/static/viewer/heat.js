// @ts-check
/** The shown map as the controls want it: colors, scale, contours, opacity. Draws; knows no words. */

import { COLOR_MAPS, colorTable } from "../colormaps.js";
import { absoluteTop, fine, levelOf, ofImage, painted, topOfOne } from "../heatmap.js";
import { drawLegend } from "../legend.js";
import { contoursOf } from "./contours.js";
import { context } from "./viewer.js";

/** @typedef {import("../api.js").Image} Image */
/** @typedef {import("../heatmap.js").Scale} Scale */

const CONTOUR_LEVELS = [1 / 3, 2 / 3, 0.9];
const CONTOUR_FINE = 4; // values per patch and axis between which lines run

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const control = (/** @type {string} */ id) => /** @type {HTMLInputElement | HTMLSelectElement} */ (element(id));

/** One image's part of the shown map, ready to be drawn. */
export class HeatOfImage {
  /**
   * @param {Float32Array} patches
   * @param {Image} image
   * @param {{table: Uint8Array, scale: Scale, smooth: boolean, opacity: number, style: string}} look
   */
  constructor(patches, { rows, columns, extent }, look) {
    this.extent = extent;
    this.look = look;
    /** @type {import("../heatmap.js").Painting | null} */
    this.painting = null;
    /** @type {import("./contours.js").Contour[]} */
    this.contours = [];
    if (look.style !== "contours") this.painting = painted(patches, rows, columns, look);
    if (look.style !== "colors") {
      const factor = look.smooth ? CONTOUR_FINE : 1;
      const levels = fine(patches, rows, columns, factor).map((share) => levelOf(share, look.scale));
      this.contours = contoursOf(levels, rows * factor, columns * factor, CONTOUR_LEVELS, extent);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen in original pixels
   * @param {number} scale CSS pixels per original pixel
   */
  draw(pen, scale) {
    if (this.painting) {
      const { left, top, width, height } = this.extent;
      pen.globalAlpha = this.look.opacity;
      pen.imageSmoothingEnabled = this.look.smooth;
      pen.drawImage(this.canvas(), left, top, width, height);
      pen.globalAlpha = 1;
    }
    for (const { path, level } of this.contours) {
      const at = Math.round(level * 255) * 3;
      // Lighter than the map, so that both are seen together.
      const [red, green, blue] = [...this.look.table.subarray(at, at + 3)].map((part) => (part + 255) / 2);
      pen.strokeStyle = "rgb(5 7 9 / 0.8)";
      pen.lineWidth = 4 / scale;
      pen.stroke(path);
      pen.strokeStyle = `rgb(${red} ${green} ${blue})`;
      pen.lineWidth = 2 / scale;
      pen.stroke(path);
    }
  }

  /** @returns {HTMLCanvasElement} made when it is first drawn */
  canvas() {
    if (!this.drawn && this.painting) {
      this.drawn = document.createElement("canvas");
      this.drawn.width = this.painting.width;
      this.drawn.height = this.painting.height;
      context(this.drawn).putImageData(new ImageData(this.painting.rgba, this.painting.width), 0, 0);
    }
    return /** @type {HTMLCanvasElement} */ (this.drawn);
  }
}

/** The controls of the map, and the legend that says what its colors mean. */
export class HeatControls {
  /** @param {() => void} changed */
  constructor(changed) {
    element("colors").replaceChildren(...COLOR_MAPS.map(({ name, title }) => new Option(title, name)));
    for (const id of ["colors", "smooth", "scale-mode", "heat-style"]) element(id).addEventListener("change", changed);
    element("opacity").addEventListener("input", changed);
  }

  /** @returns {{table: Uint8Array, smooth: boolean, opacity: number, style: string}} */
  look() {
    const opacity = Number(control("opacity").value);
    element("opacity-value").textContent = `${opacity}\u202f%`;
    element("opacity").setAttribute("aria-valuetext", `${opacity} percent`);
    return {
      table: colorTable(control("colors").value),
      smooth: /** @type {HTMLInputElement} */ (element("smooth")).checked,
      opacity: opacity / 100,
      style: control("heat-style").value,
    };
  }

  /**
   * @param {Image} image
   * @param {Float32Array | null} map that is shown
   * @returns {Scale}
   */
  scale(image, map) {
    const mode = control("scale-mode").value;
    const even = 1 / (image.rows * image.columns);
    if (mode === "word" && map) return { even, top: topOfOne(map), log: false, perWord: true };
    return { even, top: absoluteTop(image), log: mode !== "linear", perWord: mode === "word" };
  }

  /**
   * @param {Image[]} images
   * @param {Float32Array | null} map
   * @returns {(HeatOfImage | null)[]} of each image
   */
  of(images, map) {
    const look = this.look();
    return images.map((image, index) =>
      map ? new HeatOfImage(ofImage(map, images, index), image, { ...look, scale: this.scale(image, map) }) : null,
    );
  }

  /**
   * @param {Image[]} images
   * @param {number} shown
   * @param {Float32Array | null} map
   */
  explain(images, shown, map) {
    const patches = images.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    const { table, opacity } = this.look();
    drawLegend(
      { bar: /** @type {HTMLCanvasElement} */ (element("legend")), ticks: element("ticks"), caption: element("scale-caption") },
      { table, scale: this.scale(images[shown], map), patches, opacity },
    );
  }
}
