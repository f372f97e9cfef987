// @ts-check
/** One study on the page: the report's words, the radiograph, and the map of the words now chosen. */

import { COLOUR_MAPS, colourTable } from "./colormaps.js";
import { connectGestures } from "./gestures.js";
import {
  average, decode, ofPicture, painted, peak, placeInWords, shareAt, sharePerPicture, topOfAll, topOfOne,
} from "./heatmap.js";
import { drawLegend, percent, times } from "./legend.js";
import { PictureTabs, viewName } from "./pictures.js";
import { ReportView } from "./report.js";
import { decodePng, Viewer } from "./viewer.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./report.js").Choice} Choice */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

const input = (/** @type {string} */ id) => /** @type {HTMLInputElement} */ (element(id));

export class StudyView {
  /** @param {(message: string) => void} announce says a line to screen readers */
  constructor(announce) {
    this.announce = announce;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {Float32Array[]} */
    this.maps = [];
    /** @type {import("./viewer.js").Radiograph[]} */
    this.radiographs = [];
    /** @type {Float32Array | null} */
    this.shownMap = null;
    this.studyTop = 1;
    this.picture = 0;
    /** @type {"window" | "pan"} */
    this.dragging = "window";
    this.table = colourTable(COLOUR_MAPS[0].name);
    this.viewer = new Viewer(element("canvas"), () => this.showView());
    this.tabs = new PictureTabs(element("pictures"), (index) => this.selectPicture(index));
    this.report = new ReportView(element("words"), (choice) => this.showChoice(choice));
    this.connectView();
    keepOpenWhereWide(element("settings"));
    this.connectHeatmap();
    element("sentence").addEventListener("click", () => {
      if (this.shownMap) this.report.pinSentence();
    });
    element("clear").addEventListener("click", () => this.report.clearPins());
  }

  /** @param {Answer} answer */
  async show(answer) {
    this.radiographs = await Promise.all(
      answer.images.map((picture) => decodePng(/** @type {string} */ (picture.png), picture)),
    );
    this.answer = answer;
    this.maps = answer.words.map(decode);
    this.studyTop = topOfAll(this.maps);
    this.tabs.render(answer.images, this.radiographs);
    element("plain-text").textContent = answer.text;
    this.report.render(answer);
    this.selectPicture(0);
  }

  connectView() {
    const { viewer } = this;
    connectGestures(viewer, {
      dragging: () => this.dragging,
      pointed: (at) => this.showPointer(at),
    });
    for (const mode of /** @type {const} */ (["window", "pan"])) {
      element(`drag-${mode}`).addEventListener("click", () => this.setDragging(mode));
    }
    element("invert").addEventListener("click", () => viewer.setInverted(!viewer.inverted));
    element("zoom-in").addEventListener("click", () => viewer.zoomBy(1.25));
    element("zoom-out").addEventListener("click", () => viewer.zoomBy(0.8));
    element("reset").addEventListener("click", () => viewer.reset());
    const [width, level] = [input("window-width"), input("window-level")];
    for (const slider of [width, level]) {
      slider.addEventListener("input", () => viewer.setWindow(Number(width.value), Number(level.value)));
    }
  }

  connectHeatmap() {
    const colours = /** @type {HTMLSelectElement} */ (element("colours"));
    colours.replaceChildren(...COLOUR_MAPS.map(({ name, title }) => new Option(title, name)));
    colours.addEventListener("change", () => {
      this.table = colourTable(colours.value);
      this.paint();
    });
    input("opacity").addEventListener("input", () => this.paint());
    input("smooth").addEventListener("change", () => this.paint());
    element("scale-mode").addEventListener("change", () => this.paint());
  }

  /** @param {"window" | "pan"} mode */
  setDragging(mode) {
    this.dragging = mode;
    element("drag-window").setAttribute("aria-pressed", String(mode === "window"));
    element("drag-pan").setAttribute("aria-pressed", String(mode === "pan"));
    element("stage").dataset.dragging = mode;
  }

  /** @param {number} index */
  selectPicture(index) {
    if (!this.answer) return;
    this.picture = index;
    const picture = this.answer.images[index];
    this.tabs.select(index);
    this.viewer.setRadiograph(this.radiographs[index]);
    const name = `${viewName(picture)}, ${picture.width} × ${picture.height}`;
    element("corner-picture").textContent = name;
    element("stage").setAttribute("aria-label", `Picture ${index + 1}, ${viewName(picture)}`);
    element("canvas").setAttribute("aria-label", `Radiograph ${index + 1} of ${this.answer.images.length}, ${name} pixels`);
    this.paint();
  }

  /** Window, zoom and inversion as numbers and states of the controls. */
  showView() {
    const { window, zoom, inverted } = this.viewer;
    const [width, level] = [Math.round(window.width), Math.round(window.level)];
    element("corner-window").textContent = `W ${width}  L ${level}`;
    element("window-value").textContent = String(width);
    element("level-value").textContent = String(level);
    input("window-width").value = String(width);
    input("window-level").value = String(level);
    element("zoom").textContent = `${Math.round(zoom * 100)}\u202f%`;
    element("invert").setAttribute("aria-pressed", String(inverted));
  }

  /** @param {{x: number, y: number} | null} at CSS pixels of the canvas */
  showPointer(at) {
    const label = element("corner-pointer");
    if (!at || !this.answer) {
      label.textContent = "";
      return;
    }
    const { x, y } = this.viewer.toPicture(at);
    const map = this.shownMap;
    const share = map && shareAt(map, this.answer.images, this.picture, x, y);
    const value = share === null || !map ? "" : `  ${percent(share)}  ${times(share, map.length)}`;
    label.textContent = `x ${Math.floor(x)}  y ${Math.floor(y)}${value}`;
  }

  /** @param {Choice} choice */
  showChoice(choice) {
    if (!this.answer) return;
    this.shownMap = choice.words.length ? average(choice.words.map((word) => this.maps[word])) : null;
    this.tabs.showShares(this.shownMap && sharePerPicture(this.shownMap, this.answer.images));
    this.paint();
    this.describe(choice);
    element("hint").hidden = choice.kind !== "none";
    element("sentence").setAttribute("aria-disabled", String(choice.kind === "none"));
    element("clear").setAttribute("aria-disabled", String(this.report.pins.size === 0));
  }

  /** Draw the shown map and its scale as the controls now say. */
  paint() {
    if (!this.answer) return;
    const picture = this.answer.images[this.picture];
    const perWord = /** @type {HTMLSelectElement} */ (element("scale-mode")).value === "word";
    const opacity = Number(input("opacity").value) / 100;
    const smooth = input("smooth").checked;
    const top = perWord && this.shownMap ? topOfOne(this.shownMap) : this.studyTop;
    element("opacity-value").textContent = `${input("opacity").value}\u202f%`;
    input("opacity").setAttribute("aria-valuetext", `${input("opacity").value} percent`);
    this.viewer.opacity = opacity;
    this.viewer.smooth = smooth;
    const patches = this.shownMap && ofPicture(this.shownMap, this.answer.images, this.picture);
    this.viewer.setHeat(
      patches && painted(patches, picture.rows, picture.columns, { table: this.table, top, smooth }),
      picture.extent,
    );
    drawLegend(
      { bar: element("legend"), ticks: element("ticks"), caption: element("scale-caption") },
      { table: this.table, top, patches: this.maps[0]?.length ?? 1, opacity, perWord },
    );
  }

  /**
   * What is shown, in words and numbers.
   *
   * @param {Choice} choice
   */
  describe({ kind, words, byKeyboard }) {
    const { answer, shownMap } = this;
    if (!answer) return;
    const chosen = words.map((word) => answer.words[word]);
    const titles = {
      none: "No word chosen",
      word: "Shown word",
      pins: chosen.length === 1 ? "Pinned word" : `Average of ${chosen.length} pinned words`,
      sentence: `Sentence, average of ${chosen.length} words`,
    };
    element("shown-kind").textContent = titles[kind];
    const gap = kind === "pins" ? " · " : " ";
    element("shown-words").textContent = chosen.map((word) => word.text.trim()).join(gap);
    const facts = shownMap ? factsOf(shownMap, answer, chosen.map((word) => word.probability)) : [];
    element("shown-facts").replaceChildren(...facts.flatMap(([term, value]) => [
      filled("dt", term), filled("dd", value),
    ]));
    if (byKeyboard) {
      const said = facts.map(([term, value]) => `${term} ${value}`).join("; ");
      this.announce(kind === "word" ? said : `${titles[kind]}. ${said}`);
    }
  }
}

/**
 * @param {Float32Array} map
 * @param {Answer} answer
 * @param {number[]} probabilities
 * @returns {[string, string][]}
 */
function factsOf(map, answer, probabilities) {
  const best = peak(map, answer.images);
  const name = answer.images.length > 1 ? `picture ${best.picture + 1}` : "the picture";
  const mean = probabilities.reduce((a, b) => a + b, 0) / probabilities.length;
  return [
    [probabilities.length === 1 ? "Probability" : "Mean probability", percent(mean)],
    ["Most attention", placeInWords(best, answer.images[best.picture], name)],
    ["On that patch", `${percent(best.share)} (${times(best.share, map.length)})`],
  ];
}

/**
 * The settings stand open beside the report, and fold away where they would push it off the screen.
 *
 * @param {HTMLDetailsElement} details
 */
function keepOpenWhereWide(details) {
  const wide = matchMedia("(min-width: 861px)");
  const adapt = () => (details.open = wide.matches);
  wide.addEventListener("change", adapt);
  adapt();
}

/**
 * @param {"dt" | "dd"} tag
 * @param {string} text
 * @returns {HTMLElement}
 */
function filled(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
