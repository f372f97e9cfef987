// @ts-check
/** Mouse, touch, wheel and keys on the canvas, turned into calls to the viewer. Knows no picture. */

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {{x: number, y: number}} Point */

/** Grey levels per CSS pixel of dragging. */
const WINDOW_SPEED = 1;
const KEY_STEP = 40; // CSS pixels that an arrow key moves the picture

/**
 * @param {Viewer} viewer
 * @param {{dragging: () => "window" | "pan", pointed: (at: Point | null) => void}} page
 *   what a plain drag does now; told where the pointer is, in CSS pixels of the canvas
 */
export function connectGestures(viewer, page) {
  connectPointers(viewer, page);
  viewer.canvas.addEventListener("keydown", (event) => pressed(viewer, event));
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
 * @param {{dragging: () => "window" | "pan", pointed: (at: Point | null) => void}} page
 */
function connectPointers(viewer, page) {
  const { canvas } = viewer;
  /** @type {Map<number, Point>} */
  const down = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, position(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = position(event);
    page.pointed(now);
    const before = down.get(event.pointerId);
    if (!before) return;
    if (down.size === 2) pinched(viewer, down, event.pointerId, now);
    else dragged(viewer, before, now, event.shiftKey || event.buttons === 4 ? "pan" : page.dragging());
    down.set(event.pointerId, now);
  });
  for (const ending of /** @type {const} */ (["pointerup", "pointercancel"])) {
    canvas.addEventListener(ending, (event) => down.delete(event.pointerId));
  }
  canvas.addEventListener("pointerleave", () => page.pointed(null));
}

/**
 * @param {Viewer} viewer
 * @param {Point} before
 * @param {Point} now
 * @param {"window" | "pan"} action
 */
function dragged(viewer, before, now, action) {
  const [dx, dy] = [now.x - before.x, now.y - before.y];
  if (action === "pan") {
    viewer.panBy(dx, dy);
    return;
  }
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
 * @param {KeyboardEvent} event
 */
function pressed(viewer, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { width, level } = viewer.window;
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => viewer.panBy(KEY_STEP, 0),
    ArrowRight: () => viewer.panBy(-KEY_STEP, 0),
    ArrowUp: () => viewer.panBy(0, KEY_STEP),
    ArrowDown: () => viewer.panBy(0, -KEY_STEP),
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
