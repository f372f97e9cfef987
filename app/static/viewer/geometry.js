// @ts-check
/** How an image lies on the screen: quarter turns, mirroring, scale and place. Knows no canvas. */

/** @typedef {{x: number, y: number}} Point */
/** @typedef {{quarter: number, mirrored: boolean}} Pose mirrored left to right, then turned clockwise by quarters */
/** @typedef {{left: string, right: string, top: string, bottom: string}} Letters */

export const UPRIGHT = Object.freeze({ quarter: 0, mirrored: false });
const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };

/**
 * @param {Pose} pose
 * @param {1 | -1} quarters clockwise
 * @returns {Pose}
 */
export function turned({ quarter, mirrored }, quarters) {
  return { quarter: (quarter + quarters + 4) % 4, mirrored };
}

/**
 * @param {Pose} pose
 * @param {"across" | "down"} axis of the screen along which left and right, or top and bottom, change places
 * @returns {Pose}
 */
export function flipped({ quarter, mirrored }, axis) {
  const half = axis === "down" ? 2 : 0;
  return { quarter: (half - quarter + 4) % 4, mirrored: !mirrored };
}

/**
 * @param {Pose} pose
 * @param {Point} vector of the image
 * @returns {Point} of the screen
 */
function onScreen({ quarter, mirrored }, { x, y }) {
  const [cosine, sine] = [[1, 0], [0, 1], [-1, 0], [0, -1]][quarter];
  const across = mirrored ? -x : x;
  return { x: cosine * across - sine * y, y: sine * across + cosine * y };
}

/**
 * @param {Pose} pose
 * @param {Point} vector of the screen
 * @returns {Point} of the image
 */
export function onImage({ quarter, mirrored }, { x, y }) {
  const [cosine, sine] = [[1, 0], [0, 1], [-1, 0], [0, -1]][quarter];
  const across = cosine * x + sine * y;
  return { x: mirrored ? -across : across, y: cosine * y - sine * x };
}

/**
 * @param {[string, string] | null} directions where rows and columns of the image run to
 * @param {Pose} pose
 * @returns {Letters | null} what lies at each edge of the screen; null where it is not known
 */
export function lettersOf(directions, pose) {
  if (!directions) return null;
  const towards = (/** @type {Point} */ edge) => {
    const { x, y } = onImage(pose, edge);
    const [letter, sign] = Math.abs(x) > 0.5 ? [directions[0], x] : [directions[1], y];
    return sign > 0 ? letter : OPPOSITE[letter];
  };
  return {
    left: towards({ x: -1, y: 0 }), right: towards({ x: 1, y: 0 }),
    top: towards({ x: 0, y: -1 }), bottom: towards({ x: 0, y: 1 }),
  };
}

/** One way to lay the image on a canvas. */
export class Frame {
  /**
   * @param {Pose} pose
   * @param {number} scale pixels of the canvas per original pixel
   * @param {Point} center original pixels in the middle of the canvas
   * @param {{width: number, height: number}} canvas its pixels
   * @param {number} ratio its pixels per CSS pixel
   */
  constructor(pose, scale, center, { width, height }, ratio) {
    const middle = onScreen(pose, { x: center.x * scale, y: center.y * scale });
    const origin = { x: width / 2 - middle.x, y: height / 2 - middle.y };
    // Pixel on pixel nothing is interpolated, if the corners of pixels meet.
    const isExact = Math.abs(scale - 1) < 1e-9;
    this.origin = isExact ? { x: Math.round(origin.x), y: Math.round(origin.y) } : origin;
    this.pose = pose;
    this.scale = scale;
    this.ratio = ratio;
    this.canvas = { width, height };
  }

  /**
   * @param {Point} at original pixels
   * @returns {Point} CSS pixels of the canvas
   */
  toScreen({ x, y }) {
    const moved = onScreen(this.pose, { x: x * this.scale, y: y * this.scale });
    return { x: (moved.x + this.origin.x) / this.ratio, y: (moved.y + this.origin.y) / this.ratio };
  }

  /**
   * @param {Point} at CSS pixels of the canvas
   * @returns {Point} original pixels
   */
  toImage({ x, y }) {
    const moved = { x: x * this.ratio - this.origin.x, y: y * this.ratio - this.origin.y };
    const { x: across, y: down } = onImage(this.pose, moved);
    return { x: across / this.scale, y: down / this.scale };
  }

  /** @returns {import("../api.js").Extent} what of the image the canvas may show, in original pixels */
  visible() {
    const { width, height } = this.canvas;
    const one = this.toImage({ x: 0, y: 0 });
    const other = this.toImage({ x: width / this.ratio, y: height / this.ratio });
    const [left, top] = [Math.min(one.x, other.x), Math.min(one.y, other.y)];
    return { left, top, width: Math.abs(other.x - one.x), height: Math.abs(other.y - one.y) };
  }

  /** From here on the pen draws in original pixels. @param {CanvasRenderingContext2D} pen */
  onImage(pen) {
    const right = onScreen(this.pose, { x: this.scale, y: 0 });
    const down = onScreen(this.pose, { x: 0, y: this.scale });
    pen.setTransform(right.x, right.y, down.x, down.y, this.origin.x, this.origin.y);
  }

  /** From here on the pen draws in CSS pixels. @param {CanvasRenderingContext2D} pen */
  onScreen(pen) {
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
  }
}
