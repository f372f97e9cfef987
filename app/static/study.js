// @ts-check
/** One study on the page: the report's words, the radiograph, and the map of what is now chosen. */

import { AskBox } from "./ask.js";

import { COLOR_MAPS, colorTable } from "./colormaps.js";
import { attentionInWords, placeOf, whyNowhere, worth } from "./evidence.js";
import { connectGestures } from "./gestures.js";
import {
  absoluteTop, average, decode, ofImage, painted, shareAt, sharePerImage, topOfOne,
} from "./heatmap.js";
import { drawLegend, percent, times } from "./legend.js";
import { ImageTabs, viewName } from "./images.js";
import { RegionView } from "./region.js";
import { ReportView } from "./report.js";
import { showFindings, showReview, showWarnings, studyWarnings } from "./summary.js";
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
  /**
   * @param {(message: string) => void} announce says a line to screen readers
   * @param {import("./ask.js").Ask} ask asks the shown study's images
   */
  constructor(announce, ask) {
    this.announce = announce;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {(Float32Array | null)[]} null of words that have no place on the images */
    this.maps = [];
    /** @type {import("./viewer.js").Radiograph[]} */
    this.radiographs = [];
    /** @type {Float32Array | null} */
    this.shownMap = null;
    this.image = 0;
    /** @type {import("./gestures.js").Mode} */
    this.dragging = "window";
    this.table = colorTable(COLOR_MAPS[0].name);
    this.viewer = new Viewer(element("canvas"), () => this.showView());
    this.tabs = new ImageTabs(element("images"), (index) => this.selectImage(index));
    this.report = new ReportView(element("words"), (choice) => this.showChoice(choice));
    this.region = new RegionView(this.viewer, this.report, announce);
    this.asking = new AskBox(
      {
        form: element("ask"), phrase: element("ask-phrase"), button: element("ask-send"),
        problem: element("ask-problem"), list: element("ask-answers"),
      },
      { ask, show: (asked) => this.showAsked(asked) },
    );
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
      answer.images.map((image) => decodePng(/** @type {string} */ (image.png), image)),
    );
    this.answer = answer;
    this.maps = answer.words.map(({ heatmap }) => decode(heatmap));
    this.asking.clear();
    this.region.clear();
    this.tabs.render(answer.images, this.radiographs);
    element("plain-text").textContent = answer.text;
    element("given").hidden = !answer.indication;
    element("given-text").textContent = answer.indication;
    showWarnings(element("study-warnings"), studyWarnings(answer));
    element("marks").hidden = answer.probability_withheld !== null;
    this.report.render(answer);
    /** @type {import("./summary.js").Choose} */
    const choose = (words, kind) => {
      this.report.pinTogether(words, kind);
      this.report.goTo(words[0]);
    };
    showReview({ section: element("review"), list: element("review-list") }, answer, choose);
    showFindings({ section: element("named"), list: element("finding-list") }, answer, choose);
    this.selectImage(0);
  }

  connectView() {
    const { viewer } = this;
    connectGestures(viewer, {
      dragging: () => this.dragging,
      pointed: (at) => this.showPointer(at),
      regionWanted: () => this.setDragging("region"),
      drawn: (from, to) => this.region.draw(from, to),
      drawnOut: () => this.region.say(),
      letGo: () => this.region.clear(),
      nudged: (dx, dy, sizing) => this.region.nudge(dx, dy, sizing),
    });
    for (const mode of /** @type {const} */ (["window", "pan", "region"])) {
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
    const colors = /** @type {HTMLSelectElement} */ (element("colors"));
    colors.replaceChildren(...COLOR_MAPS.map(({ name, title }) => new Option(title, name)));
    colors.addEventListener("change", () => {
      this.table = colorTable(colors.value);
      this.paint();
    });
    input("opacity").addEventListener("input", () => this.paint());
    input("smooth").addEventListener("change", () => this.paint());
    element("scale-mode").addEventListener("change", () => this.paint());
  }

  /** @param {import("./gestures.js").Mode} mode */
  setDragging(mode) {
    this.dragging = mode;
    for (const other of ["window", "pan", "region"]) {
      element(`drag-${other}`).setAttribute("aria-pressed", String(other === mode));
    }
    element("stage").dataset.dragging = mode;
    if (mode === "region") this.announce("Draw a rectangle on the image, or use the arrow keys on it.");
  }

  /** @param {number} index */
  selectImage(index) {
    if (!this.answer) return;
    this.image = index;
    const image = this.answer.images[index];
    this.tabs.select(index);
    this.viewer.setRadiograph(this.radiographs[index]);
    const name = `${viewName(image)}, ${image.width} × ${image.height}`;
    element("corner-image").textContent = name;
    element("stage").setAttribute("aria-label", `Image ${index + 1}, ${viewName(image)}`);
    showWarnings(element("warnings"), image.warnings.map(({ message }) => message));
    this.region.setImage(this.answer, this.maps, index);
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
    const { x, y } = this.viewer.toImage(at);
    const map = this.shownMap;
    const share = map && shareAt(map, this.answer.images, this.image, x, y);
    const value = share === null || !map ? "" : `  ${percent(share)}  ${times(share, map.length)}`;
    label.textContent = `x ${Math.floor(x)}  y ${Math.floor(y)}${value}`;
  }

  /** @param {Choice} choice */
  showChoice(choice) {
    if (!this.answer) return;
    this.asking.leave();
    const maps = choice.words.map((word) => this.maps[word]).filter((map) => map !== null);
    this.setMap(maps.length ? average(maps) : null);
    this.describe(choice, maps.length);
    element("hint").hidden = choice.kind !== "none" || this.answer.probability_withheld !== null;
    element("sentence").setAttribute("aria-disabled", String(choice.kind === "none"));
    element("clear").setAttribute("aria-disabled", String(this.report.pins.size === 0));
  }

  /** @param {import("./api.js").Asked} asked */
  showAsked(asked) {
    if (!this.answer) return;
    this.report.leave();
    this.setMap(decode(asked.heatmap));
    element("hint").hidden = true;
    element("shown-kind").textContent = "Asked for";
    element("shown-words").textContent = asked.phrase;
    /** @type {[string, string][]} */
    const nowhere = [["Place", `None: ${attentionInWords(asked.attention)}`]];
    const place = this.shownMap ? placeOf(this.shownMap, this.answer.images) : nowhere;
    const facts = asked.state === "withheld" ? worth([asked]) : [...worth([asked]), ...place];
    listFacts(facts);
    this.announce(`${asked.phrase}. ${inOneLine(facts)}`);
  }

  /** @param {Float32Array | null} map */
  setMap(map) {
    this.shownMap = map;
    this.tabs.showShares(map && this.answer && sharePerImage(map, this.answer.images));
    this.paint();
  }

  /** Draw the shown map and its scale as the controls now say. */
  paint() {
    if (!this.answer) return;
    const image = this.answer.images[this.image];
    const perWord = /** @type {HTMLSelectElement} */ (element("scale-mode")).value === "word";
    const opacity = Number(input("opacity").value) / 100;
    const smooth = input("smooth").checked;
    const top = perWord && this.shownMap ? topOfOne(this.shownMap) : absoluteTop(image);
    element("opacity-value").textContent = `${input("opacity").value}\u202f%`;
    input("opacity").setAttribute("aria-valuetext", `${input("opacity").value} percent`);
    this.viewer.opacity = opacity;
    this.viewer.smooth = smooth;
    const paint = { table: this.table, top, smooth };
    this.viewer.setHeat(this.paintingOf(this.image, paint), image.extent);
    if (this.answer.images.length > 1) {
      // Unsmoothed: so small, the canvas' own scaling is smooth enough.
      const small = this.answer.images.map((_, index) => this.paintingOf(index, { ...paint, smooth: false }));
      this.tabs.showHeat(small, this.answer.images, { opacity, smooth });
    }
    const all = this.answer.images.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
    drawLegend(
      { bar: element("legend"), ticks: element("ticks"), caption: element("scale-caption") },
      { table: this.table, top, patches: all, opacity, perWord },
    );
  }

  /**
   * @param {number} index of an image
   * @param {{table: Uint8Array, top: number, smooth: boolean}} paint
   * @returns {import("./viewer.js").Painting | null} its part of the shown map; null where none is shown
   */
  paintingOf(index, paint) {
    if (!this.answer || !this.shownMap) return null;
    const { rows, columns } = this.answer.images[index];
    return painted(ofImage(this.shownMap, this.answer.images, index), rows, columns, paint);
  }

  /**
   * What is shown, in words and numbers.
   *
   * @param {Choice} choice
   * @param {number} grounded how many of its words have a map
   */
  describe({ kind, words, byKeyboard }, grounded) {
    const { answer } = this;
    if (!answer) return;
    const chosen = words.map((word) => answer.words[word]);
    const title = titleOf(kind, chosen.length, grounded);
    element("shown-kind").textContent = title;
    const gap = kind === "pins" ? " · " : " ";
    element("shown-words").textContent = chosen.map((word) => word.text.trim()).join(gap);
    const facts = this.factsOf(chosen);
    listFacts(facts);
    if (byKeyboard) this.announce(kind === "word" ? inOneLine(facts) : `${title}. ${inOneLine(facts)}`);
  }

  /**
   * @param {import("./api.js").Word[]} chosen
   * @returns {[string, string][]} terms and values
   */
  factsOf(chosen) {
    const { answer, shownMap } = this;
    if (!answer || chosen.length === 0) return [];
    const facts = worth(chosen);
    if (answer.probability_withheld !== null) return facts;
    if (shownMap) return [...facts, ...placeOf(shownMap, answer.images)];
    const [word] = chosen;
    const why =
      chosen.length === 1
        ? `${whyNowhere(word, answer)}; ${attentionInWords(word.attention)}`
        : "none of these words has one on the image";
    return [...facts, ["Place", `None: ${why}`]];
  }
}

/**
 * @param {import("./report.js").Kind} kind
 * @param {number} count of words
 * @param {number} grounded how many of them have a map
 * @returns {string}
 */
function titleOf(kind, count, grounded) {
  const titles = {
    none: "No word selected",
    word: "Word",
    pins: count === 1 ? "Pinned word" : `${count} pinned words`,
    sentence: `Sentence of ${count === 1 ? "1 word" : `${count} words`}`,
    finding: "Finding",
    flag: "To check",
  };
  if (kind === "none" || count === 1) return titles[kind];
  const average = grounded === count ? "average of their maps" : `average of the ${grounded} with a place`;
  return grounded === 0 ? `${titles[kind]}, no map` : `${titles[kind]}, ${average}`;
}

/** @param {[string, string][]} facts terms and values */
function listFacts(facts) {
  element("shown-facts").replaceChildren(
    ...facts.flatMap(([term, value]) => [filled("dt", term), filled("dd", value)]),
  );
}

/**
 * @param {[string, string][]} facts
 * @returns {string}
 */
function inOneLine(facts) {
  return facts.map(([term, value]) => `${term}: ${value}`).join("; ");
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
