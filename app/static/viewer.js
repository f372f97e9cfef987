// @ts-check
/**
 * The radiograph on a canvas: window and level, inversion, zoom and pan, and a heatmap laid over it.
 *
 * Positions on the image are original pixels; positions on the canvas are CSS pixels. Knows no words
 * and no gestures.
 */

/** @typedef {import("./api.js").Extent} Extent */
/**
 * @typedef {{pixels: Uint8Array, columns: number, rows: number, width: number, height: number}} Radiograph
 *   gray pixels (rows x columns, bone white) which stand for width x height original pixels
 * @typedef {{width: number, height: number, rgba: Uint8ClampedArray<ArrayBuffer>}} Painting
 */

const SMALLEST_ZOOM = 0.5;
const LARGEST_ZOOM = 24;
const MARGIN = 10; // CSS pixels kept free around the fitted image
const FULL = { width: 255, level: 127.5 };

export class Viewer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} changed called after zoom, place, window or inversion changed
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {Radiograph | null} */
    this.radiograph = null;
    this.window = { ...FULL };
    this.inverted = false;
    this.zoom = 1;
    this.center = { x: 0, y: 0 };
    this.opacity = 0.7;
    this.smooth = true;
    /** @type {Extent | null} */
    this.extent = null;
    /** @type {Extent | null} */
    this.region = null;
    this.gray = document.createElement("canvas");
    this.heat = document.createElement("canvas");
    this.grayIsStale = true;
    this.frame = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  /** @param {Radiograph} radiograph shown whole, in its full window */
  setRadiograph(radiograph) {
    this.radiograph = radiograph;
    this.extent = null;
    this.region = null;
    this.reset();
  }

  /**
   * @param {Painting | null} painting null takes the heatmap away
   * @param {Extent} extent rectangle in original pixels which the painting covers
   */
  setHeat(painting, extent) {
    this.extent = painting && extent;
    if (painting) {
      this.heat.width = painting.width;
      this.heat.height = painting.height;
      context(this.heat).putImageData(new ImageData(painting.rgba, painting.width), 0, 0);
    }
    this.redraw();
  }

  /** @param {Extent | null} region a rectangle in original pixels to be outlined */
  setRegion(region) {
    this.region = region;
    this.redraw();
  }

  /** Whole image, full window, not inverted. */
  reset() {
    if (!this.radiograph) return;
    this.zoom = 1;
    this.center = { x: this.radiograph.width / 2, y: this.radiograph.height / 2 };
    this.inverted = false;
    this.setWindow(FULL.width, FULL.level);
  }

  /**
   * @param {number} width in gray levels of the 8-bit image, held to [1, 510]
   * @param {number} level the gray level in the middle of the window, held to [0, 255]
   */
  setWindow(width, level) {
    this.window = { width: clamp(width, 1, 510), level: clamp(level, 0, 255) };
    this.grayIsStale = true;
    this.moved();
  }

  /** @param {boolean} inverted */
  setInverted(inverted) {
    this.inverted = inverted;
    this.grayIsStale = true;
    this.moved();
  }

  /** @param {number} opacity in [0, 1] */
  setOpacity(opacity) {
    this.opacity = opacity;
    this.redraw();
  }

  /**
   * @param {number} factor
   * @param {{x: number, y: number}} [fixed] canvas position whose image point stays put; the middle
   */
  zoomBy(factor, fixed = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const before = this.toImage(fixed);
    this.zoom = clamp(this.zoom * factor, SMALLEST_ZOOM, LARGEST_ZOOM);
    const after = this.toImage(fixed);
    this.centerOn(this.center.x + before.x - after.x, this.center.y + before.y - after.y);
  }

  /**
   * @param {number} dx CSS pixels to the right
   * @param {number} dy CSS pixels down
   */
  panBy(dx, dy) {
    const scale = this.scale();
    this.centerOn(this.center.x - dx / scale, this.center.y - dy / scale);
  }

  /**
   * @param {number} x original pixels, held inside the image so that it cannot be lost
   * @param {number} y
   */
  centerOn(x, y) {
    if (!this.radiograph) return;
    this.center = {
      x: clamp(x, 0, this.radiograph.width),
      y: clamp(y, 0, this.radiograph.height),
    };
    this.moved();
  }

  /** @returns {number} CSS pixels per original pixel */
  scale() {
    if (!this.radiograph) return 1;
    const width = Math.max(1, this.canvas.clientWidth - 2 * MARGIN);
    const height = Math.max(1, this.canvas.clientHeight - 2 * MARGIN);
    return this.zoom * Math.min(width / this.radiograph.width, height / this.radiograph.height);
  }

  /**
   * @param {{x: number, y: number}} at canvas position in CSS pixels
   * @returns {{x: number, y: number}} original pixels
   */
  toImage({ x, y }) {
    const scale = this.scale();
    return {
      x: this.center.x + (x - this.canvas.clientWidth / 2) / scale,
      y: this.center.y + (y - this.canvas.clientHeight / 2) / scale,
    };
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.draw(); // at once: a resized canvas is blank, and a frame later would flicker
  }

  moved() {
    this.changed();
    this.redraw();
  }

  /** Draw once in the next frame, however often this is called before it. */
  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const pen = context(this.canvas);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.radiograph) return;
    if (this.grayIsStale) this.renderGray(this.radiograph);
    const scale = this.scale() * (this.canvas.width / this.canvas.clientWidth);
    pen.translate(this.canvas.width / 2, this.canvas.height / 2);
    pen.scale(scale, scale);
    pen.translate(-this.center.x, -this.center.y);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.gray, 0, 0, this.radiograph.width, this.radiograph.height);
    if (this.extent) {
      const { left, top, width, height } = this.extent;
      pen.globalAlpha = this.opacity;
      pen.imageSmoothingEnabled = this.smooth;
      pen.drawImage(this.heat, left, top, width, height);
      pen.globalAlpha = 1;
    }
    if (this.region) outline(pen, this.region, this.scale());
  }

  /** @param {Radiograph} radiograph */
  renderGray({ pixels, columns, rows }) {
    const shades = shadeTable(this.window, this.inverted);
    const rgba = new Uint32Array(pixels.length);
    for (let i = 0; i < pixels.length; i++) rgba[i] = shades[pixels[i]];
    this.gray.width = columns;
    this.gray.height = rows;
    context(this.gray).putImageData(new ImageData(new Uint8ClampedArray(rgba.buffer), columns), 0, 0);
    this.grayIsStale = false;
  }
}

/**
 * A light line between two dark ones, seen on any image and under any color.
 *
 * @param {CanvasRenderingContext2D} pen
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
 * @param {{width: number, level: number}} window
 * @param {boolean} inverted
 * @returns {Uint32Array} for each of 256 gray levels the opaque RGBA it is drawn in
 */
function shadeTable({ width, level }, inverted) {
  const bytes = new Uint8ClampedArray(256 * 4);
  for (let gray = 0; gray < 256; gray++) {
    const share = clamp((gray - (level - width / 2)) / width, 0, 1);
    bytes.fill(255 * (inverted ? 1 - share : share), gray * 4, gray * 4 + 3);
    bytes[gray * 4 + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}

/**
 * @param {string} png base64 of an 8-bit gray PNG
 * @param {{width: number, height: number}} original size in original pixels
 * @returns {Promise<Radiograph>}
 */
export async function decodePng(png, { width, height }) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), {
    colorSpaceConversion: "none", // gray levels are numbers here, not colors to be managed
  });
  const canvas = document.createElement("canvas");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  const pen = context(canvas, { willReadFrequently: true });
  pen.drawImage(bitmap, 0, 0);
  const rgba = pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const pixels = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < pixels.length; i++) pixels[i] = rgba[i * 4];
  return { pixels, columns: bitmap.width, rows: bitmap.height, width, height };
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {CanvasRenderingContext2D}
 */
export function context(canvas, settings) {
  const pen = canvas.getContext("2d", settings);
  if (!pen) throw new Error("this browser cannot draw on a 2D canvas");
  return pen;
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
