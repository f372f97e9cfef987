// @ts-check
/** Mouse, touch and wheel on a canvas, turned into calls to its viewer. Knows no image. */

/** @typedef {import("./viewer.js").Viewer} Viewer */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {"window" | "pan" | "zoom" | "ruler" | "angle" | "region"} Mode what a plain drag does */
/**
 * @typedef {object} Page what the gestures are for, in CSS pixels of the canvas
 * @property {() => Mode} dragging
 * @property {(at: Point | null) => void} pointed
 * @property {(from: Point, to: Point) => void} drawn a rectangle, while it is being drawn
 * @property {() => void} drawnOut it is as large as it will be
 * @property {() => void} letGo no rectangle any more
 * @property {(at: Point) => void} clicked with the left button, outside every tool that draws
 * @property {import("./measure.js").Measurements} measuring
 */

const STILL = 4; // CSS pixels below which a drag draws no rectangle: a hand is never quite still
const ZOOM_SPEED = 0.008; // of dragging: e-folds per CSS pixel
const WHEEL_PAUSE = 400; // milliseconds after which turning the wheel is another step to be undone
const RIGHT = 2; // in PointerEvent.buttons
const MIDDLE = 4;

/**
 * @param {Viewer} viewer
 * @param {Page} page
 */
export function connectGestures(viewer, page) {
  const { canvas } = viewer;
  connectPointers(viewer, page);
  let turned = -Infinity;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      if (event.timeStamp - turned > WHEEL_PAUSE) viewer.remember();
      turned = event.timeStamp;
      viewer.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0016)), position(event));
    },
    { passive: false },
  );
  canvas.addEventListener("contextmenu", (event) => event.preventDefault()); // the right button zooms
  canvas.addEventListener("dblclick", () => {
    if (isMeasuring(page.dragging())) return;
    viewer.remember();
    viewer.fit();
  });
}

/**
 * @param {Mode} mode
 * @returns {mode is "ruler" | "angle"}
 */
function isMeasuring(mode) {
  return mode === "ruler" || mode === "angle";
}

/**
 * @param {PointerEvent} event
 * @param {Mode} plain
 * @returns {Mode} what this drag does
 */
function modeOf(event, plain) {
  if (event.buttons & RIGHT) return "zoom";
  if (event.buttons & MIDDLE || event.shiftKey) return "pan";
  return event.ctrlKey || event.metaKey ? "region" : plain;
}

/**
 * @param {Viewer} viewer
 * @param {Page} page
 */
function connectPointers(viewer, page) {
  const { canvas } = viewer;
  /** @type {Map<number, Point>} */
  const down = new Map();
  /** @type {Mode} */
  let mode = "window";
  /** @type {Point} where the drag began */
  let start = { x: 0, y: 0 };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (event.buttons & MIDDLE) event.preventDefault(); // else some browsers scroll
    down.set(event.pointerId, position(event));
    if (down.size > 1) return; // a second finger zooms
    start = position(event);
    mode = modeOf(event, page.dragging());
    if (isMeasuring(mode)) page.measuring.press(mode, start);
    else if (mode !== "region") viewer.remember();
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = position(event);
    page.pointed(now);
    const before = down.get(event.pointerId);
    if (isMeasuring(page.dragging())) page.measuring.move(now);
    if (!before) return;
    if (down.size === 2) pinched(viewer, down, event.pointerId, now);
    else if (mode === "region") page.drawn(start, now);
    else if (!isMeasuring(mode)) dragged(viewer, before, now, mode, start);
    down.set(event.pointerId, now);
  });
  for (const ending of /** @type {const} */ (["pointerup", "pointercancel"])) {
    canvas.addEventListener(ending, (event) => {
      if (!down.delete(event.pointerId) || down.size > 0) return;
      const end = position(event);
      if (isMeasuring(mode)) return page.measuring.release(end);
      const isClick = Math.max(Math.abs(end.x - start.x), Math.abs(end.y - start.y)) < STILL;
      if (mode !== "region") {
        if (isClick && ending === "pointerup" && event.button === 0) page.clicked(end);
      } else if (isClick) page.letGo();
      else page.drawnOut();
    });
  }
  canvas.addEventListener("pointerleave", () => page.pointed(null));
}

/**
 * @param {Viewer} viewer
 * @param {Point} before
 * @param {Point} now
 * @param {Mode} mode
 * @param {Point} start stays where it is while zooming
 */
function dragged(viewer, before, now, mode, start) {
  const [dx, dy] = [now.x - before.x, now.y - before.y];
  if (mode === "pan") viewer.panBy(dx, dy);
  if (mode === "zoom") viewer.zoomBy(Math.exp(dy * ZOOM_SPEED), start);
  if (mode !== "window") return;
  // To the right widens the window, up brightens, as on reading workstations.
  const { width, level } = windowOf(viewer);
  const brightens = viewer.description?.inverted !== viewer.view.inverted ? -1 : 1;
  viewer.setWindow(width + dx * viewer.windowStep, level + dy * viewer.windowStep * brightens);
}

/**
 * @param {Viewer} viewer
 * @returns {{width: number, level: number}}
 */
export function windowOf(viewer) {
  const { width, center } = viewer.window;
  return { width: Number(width), level: Number(center) };
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
 * @param {MouseEvent} event
 * @returns {Point} CSS pixels of the canvas
 */
function position(event) {
  return { x: event.offsetX, y: event.offsetY };
}
