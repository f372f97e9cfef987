// @ts-check
/**
 * An image's values as pixels of the screen: as fine as is shown, and only the part that is.
 *
 * Windows are applied here, on stored values. Knows no zoom and no page.
 */

import { modalityValues, shadeTable } from "./grayscale.js";

/** @typedef {import("./pixels.js").PixelImage} PixelImage */
/** @typedef {import("./pixels.js").Level} Level */
/** @typedef {import("./pixels.js").Voi} Voi */
/** @typedef {import("../api.js").Extent} Extent */
/** @typedef {Level & {across: number, down: number}} Fitted original pixels per sample */

const SMALLEST = 512; // longest side below which no smaller level is made
const WHOLE = 2 ** 21; // samples of a level that is drawn whole at once, so that panning is free
const MARGIN = 0.25; // of a part's side that is drawn beyond what is in view

export class Raster {
  /** @param {PixelImage} image may still be growing: `grow` says so */
  constructor(image) {
    this.image = image;
    this.modality = modalityValues(image.description);
    /** @type {Fitted[]} coarse first */
    this.levels = [];
    this.hasPyramid = false;
    /** @type {Uint32Array | null} */
    this.shades = null;
    this.canvas = document.createElement("canvas");
    /** @type {{level: Fitted, left: number, top: number} | null} what the canvas holds, in samples */
    this.drawn = null;
    this.grow();
  }

  get isWhole() {
    const finest = this.image.levels[this.image.levels.length - 1];
    return finest.ready === finest.rows;
  }

  /** More of the image has arrived. */
  grow() {
    const { width, height } = this.image.description;
    const finest = this.image.levels[this.image.levels.length - 1];
    if (this.hasPyramid) return;
    if (this.isWhole) {
      this.levels = pyramid(fitted(finest, width, height));
      this.hasPyramid = true;
      return;
    }
    this.levels = this.image.levels.filter(({ ready, rows }) => ready === rows).map((one) => fitted(one, width, height));
  }

  /**
   * @param {Voi} voi
   * @param {boolean} turned inverted on top of what the file says
   */
  setShades(voi, turned) {
    this.shades = shadeTable(this.image.description, this.modality, voi, turned);
    this.drawn = null;
  }

  /**
   * Draw a part, in original pixels.
   *
   * @param {CanvasRenderingContext2D} pen
   * @param {Extent} part what is in view
   * @param {number} scale screen pixels per original pixel
   */
  draw(pen, part, scale) {
    const level = this.levelFor(scale);
    if (!level || !this.shades) return;
    if (!this.holds(level, part)) this.render(level, part);
    const drawn = /** @type {NonNullable<Raster["drawn"]>} */ (this.drawn);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(
      this.canvas, drawn.left * level.across, drawn.top * level.down,
      this.canvas.width * level.across, this.canvas.height * level.down,
    );
  }

  /**
   * @param {number} scale
   * @returns {Fitted | undefined} the coarsest with a sample for every pixel of the screen
   */
  levelFor(scale) {
    return this.levels.find(({ across }) => across * scale <= 1) ?? this.levels[this.levels.length - 1];
  }

  /**
   * @param {Fitted} level
   * @param {Extent} part
   * @returns {boolean} whether the canvas has this part
   */
  holds(level, part) {
    const { drawn } = this;
    if (!drawn || drawn.level !== level) return false;
    const [left, top, right, bottom] = samplesOf(level, part, 0);
    return left >= drawn.left && top >= drawn.top
      && right <= drawn.left + this.canvas.width && bottom <= drawn.top + this.canvas.height;
  }

  /**
   * @param {Fitted} level
   * @param {Extent} part
   */
  render(level, part) {
    const small = level.columns * level.rows <= WHOLE;
    const [left, top, right, bottom] = small ? [0, 0, level.columns, level.rows] : samplesOf(level, part, MARGIN);
    const [width, height] = [Math.max(1, right - left), Math.max(1, bottom - top)];
    const rgba = new Uint32Array(width * height);
    const shades = /** @type {Uint32Array} */ (this.shades);
    for (let y = 0; y < height; y++) {
      const from = (top + y) * level.columns + left;
      for (let x = 0; x < width; x++) rgba[y * width + x] = shades[level.samples[from + x]];
    }
    this.canvas.width = width;
    this.canvas.height = height;
    const pen = this.canvas.getContext("2d");
    pen?.putImageData(new ImageData(new Uint8ClampedArray(rgba.buffer), width), 0, 0);
    this.drawn = { level, left, top };
  }

  /**
   * @param {number} x original pixels
   * @param {number} y
   * @returns {{column: number, row: number, stored: number, modality: number} | null} the value there; null
   *   off the image, and while it has not arrived
   */
  valueAt(x, y) {
    const { description, levels } = this.image;
    const finest = levels[levels.length - 1];
    const column = Math.floor((x / description.width) * finest.columns);
    const row = Math.floor((y / description.height) * finest.rows);
    if (column < 0 || row < 0 || column >= finest.columns || row >= finest.ready) return null;
    const sample = finest.samples[row * finest.columns + column];
    return { column, row, stored: sample + description.lowest, modality: this.modality[sample] };
  }
}

/**
 * @param {Fitted} level
 * @param {Extent} part in original pixels
 * @param {number} margin of its sides
 * @returns {[number, number, number, number]} left, top, right and bottom in samples, inside the level
 */
function samplesOf(level, { left, top, width, height }, margin) {
  const [x, y] = [margin * width, margin * height];
  return [
    Math.max(0, Math.floor((left - x) / level.across)),
    Math.max(0, Math.floor((top - y) / level.down)),
    Math.min(level.columns, Math.ceil((left + width + x) / level.across)),
    Math.min(level.rows, Math.ceil((top + height + y) / level.down)),
  ];
}

/**
 * @param {Level} level that covers the whole image
 * @param {number} width original pixels
 * @param {number} height
 * @returns {Fitted}
 */
function fitted(level, width, height) {
  return { ...level, across: width / level.columns, down: height / level.rows };
}

/**
 * @param {Fitted} finest
 * @returns {Fitted[]} it and its halves, coarse first
 */
function pyramid(finest) {
  const levels = [finest];
  while (Math.max(levels[0].columns, levels[0].rows) > SMALLEST) levels.unshift(halved(levels[0]));
  return levels;
}

/**
 * @param {Fitted} level
 * @returns {Fitted} means of 2 x 2 samples; at odd edges of those there are
 */
function halved({ samples, columns, rows, across, down }) {
  const [width, height] = [Math.ceil(columns / 2), Math.ceil(rows / 2)];
  const half = samples instanceof Uint8Array ? new Uint8Array(width * height) : new Uint16Array(width * height);
  for (let y = 0; y < height; y++) {
    const above = 2 * y * columns;
    const below = Math.min(2 * y + 1, rows - 1) * columns;
    for (let x = 0; x < width; x++) {
      const left = 2 * x;
      const right = Math.min(left + 1, columns - 1);
      const sum = samples[above + left] + samples[above + right] + samples[below + left] + samples[below + right];
      half[y * width + x] = (sum + 2) >> 2;
    }
  }
  return { samples: half, columns: width, rows: height, ready: height, across: across * 2, down: down * 2 };
}
