// @ts-check
/** Mouse, touch, wheel and keys on the canvas, turned into calls to the viewer. Knows no image. */

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {{x: number, y: number}} Point */
/** @typedef {"window" | "pan" | "region"} Mode what a plain drag does */
/**
 * @typedef {object} Page what the gestures are for, in CSS pixels of the canvas
 * @property {() => Mode} dragging
 * @property {(at: Point | null) => void} pointed
 * @property {(from: Point, to: Point) => void} drawn a rectangle, while it is being drawn
 * @property {() => void} drawnOut it is as large as it will be
 * @property {() => void} letGo no rectangle any more
 * @property {(dx: number, dy: number, sizing: boolean) => void} nudged by a key, in steps
 * @property {() => void} regionWanted
 */

/** Gray levels per CSS pixel of dragging. */
const WINDOW_SPEED = 1;
const KEY_STEP = 40; // CSS pixels that an arrow key moves the image

/** CSS pixels below which a drag draws no rectangle: a hand is never quite still. */
const STILL = 4;

/**
 * @param {Viewer} viewer
 * @param {Page} page
 */
export function connectGestures(viewer, page) {
  connectPointers(viewer, page);
  viewer.canvas.addEventListener("keydown", (event) => pressed(viewer, page, event));
  viewer.canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      viewer.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), position(event));
    },
    { passive: false },
  );
}

/**
 * @param {Viewer} viewer
 * @param {Page} page
 */
function connectPointers(viewer, page) {
  const { canvas } = viewer;
  /** @type {Map<number, Point>} */
  const down = new Map();
  /** @type {Point | null} where a rectangle was begun */
  let corner = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const draws = page.dragging() === "region" || event.ctrlKey || event.metaKey;
    corner = draws && down.size === 0 && event.button === 0 ? position(event) : null; // a second finger zooms
    down.set(event.pointerId, position(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = position(event);
    page.pointed(now);
    const before = down.get(event.pointerId);
    if (!before) return;
    if (down.size === 2) pinched(viewer, down, event.pointerId, now);
    else if (corner && !event.shiftKey) page.drawn(corner, now);
    else dragged(viewer, before, now, event.shiftKey || event.buttons === 4 ? "pan" : page.dragging());
    down.set(event.pointerId, now);
  });
  for (const ending of /** @type {const} */ (["pointerup", "pointercancel"])) {
    canvas.addEventListener(ending, (event) => {
      down.delete(event.pointerId);
      if (!corner) return;
      const end = position(event);
      if (Math.max(Math.abs(end.x - corner.x), Math.abs(end.y - corner.y)) < STILL) page.letGo();
      else page.drawnOut();
      corner = null;
    });
  }
  canvas.addEventListener("pointerleave", () => page.pointed(null));
}

/**
 * @param {Viewer} viewer
 * @param {Point} before
 * @param {Point} now
 * @param {Mode} action a rectangle is drawn elsewhere
 */
function dragged(viewer, before, now, action) {
  const [dx, dy] = [now.x - before.x, now.y - before.y];
  if (action === "pan") {
    viewer.panBy(dx, dy);
    return;
  }
  if (action !== "window") return;
  // To the right widens the window, up brightens, as on reading workstations.
  const { width, level } = viewer.window;
  viewer.setWindow(width + dx * WINDOW_SPEED, level + dy * WINDOW_SPEED);
}

/**
 * @param {Viewer} viewer
 * @param {Map<number, Point>} down both fingers before the move
 * @param {number} moving
 * @param {Point} now
 */
function pinched(viewer, down, moving, now) {
  const before = /** @type {Point} */ (down.get(moving));
  const [, other] = /** @type {[number, Point]} */ ([...down].find(([id]) => id !== moving));
  const apart = (/** @type {Point} */ a) => Math.hypot(a.x - other.x, a.y - other.y);
  const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
  viewer.panBy((now.x - before.x) / 2, (now.y - before.y) / 2);
  viewer.zoomBy(apart(now) / Math.max(1, apart(before)), middle);
}

/**
 * @param {Viewer} viewer
 * @param {Page} page
 * @param {KeyboardEvent} event
 */
function pressed(viewer, page, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, level } = viewer.window;
  const arrow = (/** @type {number} */ x, /** @type {number} */ y) => {
    if (page.dragging() === "region") page.nudged(x, y, event.shiftKey);
    else viewer.panBy(-x * KEY_STEP, -y * KEY_STEP);
  };
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => arrow(-1, 0),
    ArrowRight: () => arrow(1, 0),
    ArrowUp: () => arrow(0, -1),
    ArrowDown: () => arrow(0, 1),
    r: () => page.regionWanted(),
    R: () => page.regionWanted(),
    "+": () => viewer.zoomBy(1.25),
    "=": () => viewer.zoomBy(1.25),
    "-": () => viewer.zoomBy(0.8),
    0: () => viewer.reset(),
    i: () => viewer.setInverted(!viewer.inverted),
    I: () => viewer.setInverted(!viewer.inverted),
    "[": () => viewer.setWindow(width, level - 8),
    "]": () => viewer.setWindow(width, level + 8),
    "{": () => viewer.setWindow(width - 16, level),
    "}": () => viewer.setWindow(width + 16, level),
  };
  const action = actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

/**
 * @param {MouseEvent} event
 * @returns {Point} CSS pixels of the canvas
 */
function position(event) {
  return { x: event.offsetX, y: event.offsetY };
}
