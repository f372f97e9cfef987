// @ts-check
/**
 * The radiograph on a canvas: window, inversion, turns, zoom and pan, a lens, and what lies over it.
 *
 * Positions on the image are original pixels; positions on the canvas are CSS pixels. Knows no words
 * and no gestures.
 */

import { asWindow, clamp, sameVoi } from "./grayscale.js";
import { flipped, Frame, lettersOf, onImage, turned, UPRIGHT } from "./geometry.js";
import { Raster } from "./raster.js";

/** @typedef {import("../api.js").Extent} Extent */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./pixels.js").PixelImage} PixelImage */
/** @typedef {import("./pixels.js").Voi} Voi */
/** @typedef {{zoom: number, center: Point, pose: import("./geometry.js").Pose, voi: Voi, inverted: boolean}} View
 *   zoom: 1 fits the image; inverted: on top of what the file says */
/** @typedef {(pen: CanvasRenderingContext2D, frame: Frame) => void} Layer draws over the image */

const SMALLEST_ZOOM = 0.5;
const LARGEST_SCALE = 16; // screen pixels per original pixel
const LARGEST_ZOOM = 24;
const MARGIN = 10; // CSS pixels kept free around the fitted image
const PRINTED = 2400; // pixels of the longer side on paper: some 300 to the inch
const REMEMBERED = 100; // steps that can be undone
const LENS = { radius: 110, power: 2.5 }; // CSS pixels; times as large
/** @type {Voi} */
const NO_VOI = { function: "LINEAR_EXACT", name: "", center: 127.5, width: 255, table: null };

export class Viewer {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} changed called after anything of the view changed
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {Raster | null} */
    this.raster = null;
    /** @type {View} */
    this.view = { zoom: 1, center: { x: 0, y: 0 }, pose: UPRIGHT, voi: NO_VOI, inverted: false };
    /** @type {View[]} */
    this.history = [];
    /** @type {Layer[]} from below */
    this.layers = [];
    /** @type {Point | null} the middle of the lens, in CSS pixels */
    this.lens = null;
    this.range = { low: 0, high: 255 };
    this.frameRequest = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    addEventListener("beforeprint", () => this.enlarge());
    addEventListener("afterprint", () => this.resize());
  }

  /** @param {PixelImage} image shown whole, as its file says */
  setImage(image) {
    this.raster = new Raster(image);
    const { modality } = this.raster;
    this.range = { low: modality.reduce((a, b) => Math.min(a, b)), high: modality.reduce((a, b) => Math.max(a, b)) };
    this.view = this.first();
    this.history = [];
    this.applyShades();
  }

  /** More of the image, or the values in place of a preview: the view stays where it is. @param {PixelImage} image */
  growImage(image) {
    if (!this.raster || this.raster.image !== image) {
      const { zoom, center, pose } = this.view;
      this.setImage(image);
      this.view = { ...this.view, zoom, center, pose };
    } else this.raster.grow();
    this.moved();
  }

  /** @returns {View} how the image is shown at first */
  first() {
    const { width, height, shown } = this.description ?? { width: 0, height: 0, shown: NO_VOI };
    return { zoom: 1, center: { x: width / 2, y: height / 2 }, pose: UPRIGHT, voi: shown, inverted: false };
  }

  get description() {
    return this.raster?.image.description ?? null;
  }

  /** What is changed next can be undone. */
  remember() {
    const last = this.history[this.history.length - 1];
    if (last && sameView(last, this.view)) return;
    this.history = [...this.history.slice(1 - REMEMBERED), this.view];
  }

  /** @returns {boolean} whether there was anything to undo */
  undo() {
    let before = this.history.pop();
    while (before && sameView(before, this.view)) before = this.history.pop();
    if (!before) return false;
    this.view = before;
    this.applyShades();
    return true;
  }

  /** @param {Partial<View>} changes */
  set(changes) {
    const shades = "voi" in changes || "inverted" in changes;
    this.view = { ...this.view, ...changes };
    if (shades) this.applyShades();
    else this.moved();
  }

  applyShades() {
    this.raster?.setShades(this.view.voi, this.view.inverted);
    this.moved();
  }

  reset() {
    this.set(this.first());
  }

  fit() {
    const { zoom, center } = this.first();
    this.set({ zoom, center });
  }

  /** One pixel of the image on one of the screen. */
  actual() {
    this.zoomTo(1 / this.fitScale());
  }

  /**
   * @param {number} width in modality values, held to what the image has
   * @param {number} level the value in the middle of the window
   */
  setWindow(width, level) {
    const { low, high } = this.range;
    const least = Math.min(1, (high - low) / 255);
    const center = clamp(level, low, high);
    this.set({ voi: { ...asWindow(this.view.voi), name: "", width: clamp(width, least, 2 * (high - low)), center } });
  }

  /** @returns {Voi} what is shown, as a window that can be moved */
  get window() {
    return asWindow(this.view.voi);
  }

  /** Modality values by which a window moves for one CSS pixel of dragging. */
  get windowStep() {
    const { width } = asWindow(this.description?.shown ?? NO_VOI);
    return Number(width) / 255;
  }

  /** @param {1 | -1} quarters clockwise */
  turn(quarters) {
    this.set({ pose: turned(this.view.pose, quarters) });
  }

  /** @param {"across" | "down"} axis */
  flip(axis) {
    this.set({ pose: flipped(this.view.pose, axis) });
  }

  /** @returns {import("./geometry.js").Letters | null} */
  letters() {
    return lettersOf(this.description?.directions ?? null, this.view.pose);
  }

  /**
   * @param {number} factor
   * @param {Point} [fixed] canvas position whose image point stays put; the middle
   */
  zoomBy(factor, fixed) {
    this.zoomTo(this.view.zoom * factor, fixed);
  }

  /**
   * @param {number} zoom
   * @param {Point} [fixed]
   */
  zoomTo(zoom, fixed = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const most = Math.max(LARGEST_ZOOM, LARGEST_SCALE / this.fitScale());
    const { clientWidth, clientHeight } = this.canvas;
    const away = { x: (fixed.x - clientWidth / 2) * this.ratio, y: (fixed.y - clientHeight / 2) * this.ratio };
    const { x, y } = onImage(this.view.pose, away);
    const before = this.scale();
    this.view = { ...this.view, zoom: clamp(zoom, SMALLEST_ZOOM, most) };
    const shift = 1 / before - 1 / this.scale();
    this.centerOn(this.view.center.x + x * shift, this.view.center.y + y * shift);
  }

  /**
   * @param {number} dx CSS pixels to the right
   * @param {number} dy CSS pixels down
   */
  panBy(dx, dy) {
    const [from, to] = [this.toImage({ x: dx, y: dy }), this.toImage({ x: 0, y: 0 })];
    this.centerOn(this.view.center.x + to.x - from.x, this.view.center.y + to.y - from.y);
  }

  /**
   * @param {number} x original pixels, held inside the image so that it cannot be lost
   * @param {number} y
   */
  centerOn(x, y) {
    if (!this.description) return;
    const { width, height } = this.description;
    this.set({ center: { x: clamp(x, 0, width), y: clamp(y, 0, height) } });
  }

  get ratio() {
    return this.canvas.width / Math.max(1, this.canvas.clientWidth);
  }

  /** @returns {number} screen pixels per original pixel of the image that fits */
  fitScale() {
    if (!this.description) return 1;
    const { width, height } = this.description;
    const [across, down] = this.view.pose.quarter % 2 ? [height, width] : [width, height];
    const room = (/** @type {number} */ side) => Math.max(1, side - 2 * MARGIN) * this.ratio;
    return Math.min(room(this.canvas.clientWidth) / across, room(this.canvas.clientHeight) / down);
  }

  /** @returns {number} screen pixels per original pixel: 1 is pixel on pixel */
  scale() {
    return this.view.zoom * this.fitScale();
  }

  /**
   * @param {number} [power] times as large as the view
   * @param {Point} [center] original pixels in the middle of the canvas
   * @returns {Frame}
   */
  frame(power = 1, center = this.view.center) {
    return new Frame(this.view.pose, this.scale() * power, center, this.canvas, this.ratio);
  }

  /**
   * @param {Point} at canvas position in CSS pixels
   * @returns {Point} original pixels
   */
  toImage(at) {
    return this.frame().toImage(at);
  }

  /** @param {Point | null} lens in CSS pixels */
  setLens(lens) {
    if (!lens && !this.lens) return;
    this.lens = lens;
    this.redraw();
  }

  /** The same view in more pixels: paper shows more of them than a screen. */
  enlarge() {
    const { canvas } = this;
    if (!canvas.clientWidth || !canvas.clientHeight) return;
    this.sizeTo(Math.max(this.ratio, PRINTED / Math.max(canvas.clientWidth, canvas.clientHeight)));
  }

  resize() {
    this.sizeTo(window.devicePixelRatio || 1);
  }

  /** @param {number} ratio pixels of the canvas per CSS pixel */
  sizeTo(ratio) {
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    this.changed();
    this.draw(); // at once: a resized canvas is blank, and a frame later would flicker
  }

  moved() {
    this.changed();
    this.redraw();
  }

  /** Draw once in the next frame, however often this is called before it. */
  redraw() {
    if (this.frameRequest) return;
    this.frameRequest = requestAnimationFrame(() => {
      this.frameRequest = 0;
      this.draw();
    });
  }

  draw() {
    const pen = context(this.canvas);
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.raster) return;
    this.drawScene(pen, this.frame());
    if (this.lens) this.drawLens(pen, this.lens);
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {Frame} frame
   */
  drawScene(pen, frame) {
    frame.onImage(pen);
    this.raster?.draw(pen, frame.visible(), frame.scale);
    for (const layer of this.layers) {
      frame.onImage(pen);
      layer(pen, frame);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {Point} at
   */
  drawLens(pen, at) {
    const under = this.toImage(at);
    const straight = this.frame(LENS.power, under);
    // The point under the pointer stays under it: the frame's middle moves there.
    straight.origin.x += at.x * this.ratio - this.canvas.width / 2;
    straight.origin.y += at.y * this.ratio - this.canvas.height / 2;
    const edge = new Path2D();
    edge.arc(at.x, at.y, LENS.radius, 0, 2 * Math.PI);
    pen.save();
    straight.onScreen(pen);
    pen.fillStyle = "#050709";
    pen.fill(edge);
    pen.clip(edge);
    this.drawScene(pen, straight);
    pen.restore();
    straight.onScreen(pen);
    pen.strokeStyle = "#a9e2f3";
    pen.lineWidth = 2;
    pen.stroke(edge);
  }
}

/**
 * @param {View} one
 * @param {View} other
 * @returns {boolean}
 */
function sameView(one, other) {
  return one.zoom === other.zoom && one.center.x === other.center.x && one.center.y === other.center.y
    && one.pose.quarter === other.pose.quarter && one.pose.mirrored === other.pose.mirrored
    && one.inverted === other.inverted && sameVoi(one.voi, other.voi);
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
