// @ts-check
/** Rulers and angles on an image, in millimeters where the file says how large a pixel is. */

/** @typedef {import("./geometry.js").Frame} Frame */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./pixels.js").Description} Description */
/** @typedef {"ruler" | "angle"} Kind */
/** @typedef {{kind: Kind, points: Point[]}} Shape points in original pixels: two of a ruler, three of an angle */

const LEAST = 4; // CSS pixels below which a drag measures nothing: a hand is never quite still
const TITLES = { ruler: "Ruler", angle: "Angle" };
const WORTH = {
  calibrated: "calibrated spacing",
  imager: "imager spacing: on the detector, not in the patient",
  scanned: "spacing of the scanned film",
  unstated: "spacing whose calibration is not stated",
};

export class Measurements {
  /**
   * @param {import("./viewer.js").Viewer} viewer
   * @param {HTMLElement} list of what is measured, in words
   * @param {(message: string) => void} announce
   * @param {Map<number, Shape[]>} [all] by image, where another pane may show the same image
   */
  constructor(viewer, list, announce, all = new Map()) {
    this.viewer = viewer;
    this.list = list;
    this.announce = announce;
    this.all = all;
    this.image = 0;
    /** @type {Shape | null} the one being drawn */
    this.open = null;
    viewer.layers.push((pen, frame) => this.draw(pen, frame));
  }

  /** @returns {Shape[]} of the image now shown */
  get shapes() {
    return this.all.get(this.image) ?? [];
  }

  /** Of another study. */
  clear() {
    this.all.clear();
    this.setImage(0);
  }

  /** @param {number} index */
  setImage(index) {
    this.image = index;
    this.open = null;
    this.render();
  }

  /**
   * A press at a point: the start of a ruler, or of an angle's first or second leg.
   *
   * @param {Kind} kind
   * @param {Point} at CSS pixels of the canvas, as everywhere below
   */
  press(kind, at) {
    if (this.open?.kind === "angle" && kind === "angle") return this.close(at);
    const point = this.viewer.toImage(at);
    this.open = { kind, points: [point, point] };
    this.all.set(this.image, [...this.shapes, this.open]);
  }

  /** @param {Point} at */
  move(at) {
    if (!this.open) return;
    this.open.points[this.open.points.length - 1] = this.viewer.toImage(at);
    this.render();
  }

  /** The button is let go. @param {Point} at */
  release(at) {
    if (!this.open || this.open.points.length === 3) return;
    const { points, kind } = this.open;
    const from = this.viewer.frame().toScreen(points[0]);
    if (Math.hypot(at.x - from.x, at.y - from.y) < LEAST) return this.remove();
    if (kind === "ruler") return this.close(at);
    points.push(points[1]); // the second leg follows the pointer until it is pressed again
  }

  /** @param {Point} at */
  close(at) {
    this.move(at);
    if (this.open) this.say(this.open);
    this.open = null;
  }

  /** Take the last one away. @returns {boolean} whether there was one */
  remove() {
    const any = this.shapes.length > 0;
    this.open = null;
    this.all.set(this.image, this.shapes.slice(0, -1));
    this.render();
    return any;
  }

  /**
   * Move the last point by keys, of the last shape of this kind; without one, begin one in the middle.
   *
   * @param {Kind} kind
   * @param {number} dx CSS pixels
   * @param {number} dy
   */
  nudge(kind, dx, dy) {
    const last = this.shapes[this.shapes.length - 1];
    if (!last || last.kind !== kind) {
      this.all.set(this.image, [...this.shapes, this.inTheMiddle(kind)]);
    } else {
      const end = last.points.length - 1;
      const at = this.viewer.frame().toScreen(last.points[end]);
      last.points[end] = this.viewer.toImage({ x: at.x + dx, y: at.y + dy });
    }
    this.render();
    this.say(this.shapes[this.shapes.length - 1]);
  }

  /**
   * @param {Kind} kind
   * @returns {Shape}
   */
  inTheMiddle(kind) {
    const { clientWidth: width, clientHeight: height } = this.viewer.canvas;
    const places = [[0.4, 0.5], [0.6, 0.5], [0.5, 0.35]].slice(0, kind === "ruler" ? 2 : 3);
    return { kind, points: places.map(([x, y]) => this.viewer.toImage({ x: x * width, y: y * height })) };
  }

  /** @param {Shape} shape */
  say(shape) {
    const { description } = this.viewer;
    if (description) this.announce(`${TITLES[shape.kind]}: ${inWords(shape, description, true)}.`);
  }

  render() {
    const { description } = this.viewer;
    this.list.replaceChildren(...(description ? this.shapes : []).map((shape) => {
      const item = document.createElement("li");
      item.textContent = `${TITLES[shape.kind]} ${inWords(shape, /** @type {Description} */ (description), true)}`;
      return item;
    }));
    this.list.hidden = this.shapes.length === 0;
    this.viewer.redraw();
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {Frame} frame
   */
  draw(pen, frame) {
    const { description } = this.viewer;
    if (!description) return;
    frame.onScreen(pen);
    for (const shape of this.shapes) {
      const points = shape.points.map((point) => frame.toScreen(point));
      drawLine(pen, points);
      drawLabel(pen, inWords(shape, description, false), points);
    }
  }
}

/**
 * @param {Shape} shape
 * @param {Description} description
 * @param {boolean} whole with what its unit is worth
 * @returns {string} such as "123.4 mm"
 */
export function inWords({ kind, points }, description, whole) {
  const [across, down] = sizes(description);
  const vectors = points.slice(1).map((point, index) => ({
    x: (point.x - points[index].x) * across,
    y: (point.y - points[index].y) * down,
  }));
  if (kind === "angle") return vectors.length < 2 ? "" : `${angleBetween(vectors[0], vectors[1]).toFixed(1)}°`;
  const length = Math.hypot(vectors[0].x, vectors[0].y);
  if (!description.spacing) return `${length.toFixed(1)} px${whole ? " (the file states no spacing)" : ""}`;
  return `${length.toFixed(1)} mm${whole ? ` (${WORTH[description.spacing.kind]})` : ""}`;
}

/**
 * @param {Description} description
 * @returns {[number, number]} millimeters, or pixels, per original pixel across and down
 */
function sizes({ spacing, rows, columns, width, height }) {
  return spacing ? [(spacing.columns * columns) / width, (spacing.rows * rows) / height] : [1, 1];
}

/**
 * @param {Point} one leg, towards the corner
 * @param {Point} other leg, away from it
 * @returns {number} degrees between both legs, in [0, 180]
 */
function angleBetween(one, other) {
  const turn = Math.atan2(-one.y, -one.x) - Math.atan2(other.y, other.x);
  const degrees = Math.abs((turn * 180) / Math.PI) % 360;
  return degrees > 180 ? 360 - degrees : degrees;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {Point[]} points
 */
function drawLine(pen, points) {
  for (const [style, width] of /** @type {const} */ ([["#05070a", 4], ["#8df0b0", 1.5]])) {
    pen.strokeStyle = style;
    pen.lineWidth = width;
    pen.beginPath();
    points.forEach(({ x, y }) => pen.lineTo(x, y));
    for (const { x, y } of points) {
      pen.moveTo(x - 5, y);
      pen.lineTo(x + 5, y);
      pen.moveTo(x, y - 5);
      pen.lineTo(x, y + 5);
    }
    pen.stroke();
  }
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {Point[]} points beside the second of which it stands
 */
function drawLabel(pen, text, points) {
  const { x, y } = points[1];
  pen.font = "600 13px system-ui, sans-serif";
  pen.lineWidth = 4;
  pen.strokeStyle = "#05070a";
  pen.fillStyle = "#8df0b0";
  pen.strokeText(text, x + 10, y - 8);
  pen.fillText(text, x + 10, y - 8);
}
