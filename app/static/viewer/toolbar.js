// @ts-check
/** The buttons over the image and the keys that do the same. One table of what can be done. */

import { presetsOf, sameVoi } from "./grayscale.js";
import { windowOf } from "./gestures.js";
import { Shortcuts } from "./keys.js";

/** @typedef {import("./gestures.js").Mode} Mode */
/** @typedef {import("./viewing.js").ViewingRoom} ViewingRoom */
/** @typedef {import("./keys.js").Shortcut} Shortcut */

const PAN = 40; // CSS pixels that an arrow key moves the image
const FAR = 10; // times as far with Shift, when it moves a point
const MODES = /** @type {const} */ ([
  ["window", "w", "Drag: window and level"],
  ["pan", "p", "Drag: move the image"],
  ["ruler", "d", "Drag: measure a distance"],
  ["angle", "n", "Drag, then click: measure an angle"],
  ["region", "b", "Drag: region, and the words that attended to it"],
]);

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (element(id));

export class Toolbar {
  /** @param {ViewingRoom} room */
  constructor(room) {
    this.room = room;
    this.presets = /** @type {HTMLSelectElement} */ (element("preset"));
    for (const [id, run] of Object.entries(this.buttons())) element(id).addEventListener("click", run);
    for (const [mode] of MODES) element(`drag-${mode}`).addEventListener("click", () => room.setDragging(mode));
    this.presets.addEventListener("change", () => this.choosePreset(Number(this.presets.value)));
    for (const id of ["window-width", "window-level"]) {
      input(id).addEventListener("input", () => {
        this.pane.viewer.setWindow(Number(input("window-width").value), Number(input("window-level").value));
      });
      input(id).addEventListener("pointerdown", () => this.pane.viewer.remember());
    }
    const sheet = /** @type {HTMLDialogElement} */ (element("help"));
    const parts = { list: element("help-keys"), toggle: input("single-keys") };
    this.shortcuts = new Shortcuts(this.keys(), parts, () => !element("study").hidden);
    element("help-close").addEventListener("click", () => sheet.close());
    document.addEventListener("fullscreenchange", () => pressed("full-screen", document.fullscreenElement !== null));
  }

  get pane() {
    return this.room.active;
  }

  /** @returns {Record<string, () => void>} what each button does */
  buttons() {
    const step = (/** @type {() => void} */ run) => () => this.step(run);
    return {
      invert: step(() => this.pane.viewer.set({ inverted: !this.pane.viewer.view.inverted })),
      "turn-left": step(() => this.pane.viewer.turn(-1)),
      "turn-right": step(() => this.pane.viewer.turn(1)),
      "flip-across": step(() => this.pane.viewer.flip("across")),
      "flip-down": step(() => this.pane.viewer.flip("down")),
      "zoom-in": step(() => this.pane.viewer.zoomBy(1.25)),
      "zoom-out": step(() => this.pane.viewer.zoomBy(0.8)),
      fit: step(() => this.pane.viewer.fit()),
      actual: step(() => this.pane.viewer.actual()),
      reset: step(() => this.pane.viewer.reset()),
      undo: () => this.undo(),
      overlay: () => this.room.toggleOverlay(),
      magnify: () => this.room.toggleLens(),
      "side-by-side": () => this.room.togglePair(),
      "full-screen": () => fullScreen(element("viewer")),
      "open-help": () => /** @type {HTMLDialogElement} */ (element("help")).showModal(),
    };
  }

  /** @param {() => void} run something that can be undone */
  step(run) {
    this.pane.viewer.remember();
    run();
  }

  undo() {
    if (!this.pane.viewer.undo()) this.room.announce("There is nothing to undo.");
  }

  /** @param {number} index */
  choosePreset(index) {
    const preset = this.list[index];
    if (!preset) return;
    this.step(() => this.pane.viewer.set({ voi: preset.voi }));
    this.room.announce(`Window: ${preset.title}.`);
  }

  /** Another image, or more of it. */
  listPresets() {
    const { raster } = this.pane.viewer;
    this.list = raster ? presetsOf(raster.image, raster.modality) : [];
    const options = this.list.map(({ title }, index) => new Option(`${title} (${index + 1})`, String(index)));
    this.presets.replaceChildren(new Option("Custom", "custom"), ...options);
    this.showView();
  }

  /** Window, zoom and the rest as numbers and states of the controls. */
  showView() {
    const { viewer } = this.pane;
    const { width, level } = windowOf(viewer);
    const { low, high } = viewer.range;
    const fine = high - low > 20 ? 1 : (high - low) / 1000;
    bounded("window-width", fine, 2 * (high - low), fine, width);
    bounded("window-level", low, high, fine, level);
    element("window-value").textContent = input("window-width").value;
    element("level-value").textContent = input("window-level").value;
    element("zoom").textContent = `${Math.round(viewer.scale() * 100)}\u202f%`;
    pressed("invert", viewer.view.inverted);
    pressed("flip-across", viewer.view.pose.mirrored);
    const chosen = (this.list ?? []).findIndex(({ voi }) => sameVoi(voi, viewer.view.voi));
    this.presets.value = chosen < 0 ? "custom" : String(chosen);
    element("undo").setAttribute("aria-disabled", String(viewer.history.length === 0));
  }

  /** @returns {Shortcut[]} */
  keys() {
    const buttons = this.buttons();
    const press = (/** @type {string} */ id) => () => buttons[id]();
    /** @type {(keys: string[], title: string, group: string, run: Shortcut["run"], onCanvas?: boolean) => Shortcut} */
    const key = (keys, title, group, run, onCanvas = false) => ({ keys, title, group, run, onCanvas });
    const [windows, views, tools] = ["Window", "View", "Tools"];
    return [
      key([..."1234567"], "Window of that number in the list", windows, (event) => this.choosePreset(Number(event.key) - 1)),
      key(["i"], "Invert", windows, press("invert")),
      key(["[", "]"], "Level down, up", windows, (event) => this.shiftWindow(0, event.key === "[" ? -8 : 8)),
      key(["{", "}"], "Window narrower, wider", windows, (event) => this.shiftWindow(event.key === "{" ? -16 : 16, 0)),
      key(["+", "="], "Zoom in", views, press("zoom-in")),
      key(["-"], "Zoom out", views, press("zoom-out")),
      key(["f"], "Fit the image", views, press("fit")),
      key(["a"], "Actual pixels, 1:1", views, press("actual")),
      key(["l"], "Turn left", views, press("turn-left")),
      key(["r"], "Turn right", views, press("turn-right")),
      key(["h"], "Flip left and right", views, press("flip-across")),
      key(["v"], "Flip top and bottom", views, press("flip-down")),
      key(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "Move the image, or the last point of a tool", views, (event) => this.arrow(event), true),
      key([",", "."], "Image before, after", views, (event) => this.room.stepImage(event.key === "," ? -1 : 1)),
      key(["s"], "Side by side: zoom, pan, window and pointer linked", views, press("side-by-side")),
      key(["e"], "Full screen", views, press("full-screen")),
      key(["0"], "Reset the view", views, press("reset")),
      key(["z", "Ctrl+Z"], "Undo a change of the view", views, press("undo")),
      ...MODES.map(([mode, letter, title]) => key([letter], title, tools, () => this.room.setDragging(mode))),
      key(["m"], "Magnifier", tools, press("magnify")),
      key(["Delete", "Backspace"], "Remove the last measurement", tools, () => this.room.measuring.remove()),
      key(["o"], "Attention map on or off", "Attention map", press("overlay")),
      key(["t"], "Raw attention of words without a place", "Attention map", () => element("raw").click()),
      key(["?"], "This sheet", "Help", press("open-help")),
    ];
  }

  /**
   * @param {number} wider in steps
   * @param {number} higher
   */
  shiftWindow(wider, higher) {
    const { viewer } = this.pane;
    const { width, level } = windowOf(viewer);
    this.step(() => viewer.setWindow(width + wider * viewer.windowStep, level + higher * viewer.windowStep));
  }

  /** @param {KeyboardEvent} event */
  arrow({ key, shiftKey }) {
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    const { dragging } = this.room;
    if (dragging === "region") this.room.hooks.nudged(x, y, shiftKey);
    else if (dragging === "ruler" || dragging === "angle") {
      this.room.measuring.nudge(dragging, x * (shiftKey ? FAR : 1), y * (shiftKey ? FAR : 1));
    } else this.pane.viewer.panBy(-x * PAN, -y * PAN);
  }
}

/**
 * @param {string} id of a slider
 * @param {number} min
 * @param {number} max
 * @param {number} step
 * @param {number} value
 */
function bounded(id, min, max, step, value) {
  Object.assign(input(id), { min, max, step });
  input(id).value = String(value);
}

/**
 * @param {string} id
 * @param {boolean} on
 */
export function pressed(id, on) {
  element(id).setAttribute("aria-pressed", String(on));
}

/** @param {HTMLElement} what */
function fullScreen(what) {
  if (document.fullscreenElement) document.exitFullscreen();
  else what.requestFullscreen().catch(() => undefined); // forbidden in some frames: nothing is lost
}
