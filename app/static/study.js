// @ts-check
/** One study on the page: the report's words, the radiograph, and the map of what is now chosen. */

import { AskBox } from "./ask.js";
import { CheckPanel } from "./check.js";
import { attentionInWords, placeOf, rawInWords, whyNowhere, worth } from "./evidence.js";
import { average, decode, shareAt } from "./heatmap.js";
import { percent, times } from "./legend.js";
import { RegionView } from "./region.js";
import { ReportView } from "./report.js";
import { Suggestions } from "./suggest.js";
import { showDenials, showFindings, showReview, showWarnings, studyWarnings } from "./summary.js";
import { previewOf } from "./viewer/pixels.js";
import { ViewingRoom } from "./viewer/viewing.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./report.js").Choice} Choice */
/**
 * @typedef {{kind: string, words: string, map: Float32Array | null, facts: [string, string][]}} Region
 *   kind: what it is; facts: terms and values
 */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

export class StudyView {
  /**
   * @param {(message: string) => void} announce says a line to screen readers
   * @param {{ask: import("./ask.js").Ask, check: import("./check.js").Check}} service about the shown study
   */
  constructor(announce, service) {
    this.announce = announce;
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {(Float32Array | null)[]} of every word, what it attended to; null where the answer has none */
    this.raw = [];
    /** @type {(Float32Array | null)[]} the same, null of words that have no place on the images */
    this.maps = [];
    /** @type {Float32Array | null} */
    this.shownMap = null;
    /** @type {Choice} */
    this.choice = { kind: "none", words: [], byKeyboard: false };
    this.viewing = new ViewingRoom(announce, {
      selected: (index) => this.imageSelected(index),
      shareAt: (x, y, image) => this.shareInWords(x, y, image),
      drawn: (from, to) => this.region.draw(from, to),
      drawnOut: () => this.region.say(),
      letGo: () => this.region.clear(),
      clicked: (at) => {
        if (this.suggestions.editor) this.region.around(at);
      },
      nudged: (dx, dy, sizing) => this.region.nudge(dx, dy, sizing),
    });
    this.report = new ReportView(element("words"), (choice) => this.showChoice(choice));
    this.region = new RegionView(this.viewing.main.viewer, this.report, announce);
    this.suggestions = new Suggestions(service.check, announce);
    this.region.changed = () => this.suggest();
    this.asking = new AskBox(
      {
        form: element("ask"), phrase: element("ask-phrase"), button: element("ask-send"),
        problem: element("ask-problem"), list: element("ask-answers"),
      },
      { ask: service.ask, show: (asked) => this.showAsked(asked) },
    );
    this.checking = new CheckPanel({ check: service.check, show: (region) => this.showChecked(region), announce });
    keepOpenWhereWide(element("settings"));
    element("sentence").addEventListener("click", () => {
      if (this.choice.kind !== "none") this.report.pinSentence();
    });
    element("clear").addEventListener("click", () => this.report.clearPins());
    element("raw").addEventListener("click", () => this.toggleRaw());
  }

  /**
   * @param {Answer} answer
   * @param {import("./viewer/loader.js").PixelLoader | null} loader of its images' values
   */
  async show(answer, loader) {
    const previews = await Promise.all(
      answer.images.map((image) => previewOf(/** @type {string} */ (image.png), image)),
    );
    this.answer = answer;
    this.raw = answer.words.map(({ heatmap }) => decode(heatmap));
    this.maps = this.raw.map((map, index) => (answer.words[index].state === "not grounded" ? null : map));
    this.loader = loader;
    this.asking.clear();
    this.checking.clear();
    this.region.clear();
    element("plain-text").textContent = answer.text;
    element("given").hidden = !answer.indication;
    element("given-text").textContent = answer.indication;
    showWarnings(element("study-warnings"), studyWarnings(answer));
    element("marks").hidden = answer.probability_withheld !== null;
    this.viewing.show(answer.images, previews, loader?.images ?? []);
    this.report.render(answer);
    /** @type {import("./summary.js").Choose} */
    const choose = (words, kind) => {
      this.report.pinTogether(words, kind);
      this.report.goTo(words[0]);
    };
    showReview({ section: element("review"), list: element("review-list") }, answer, choose);
    showFindings({ section: element("named"), list: element("finding-list") }, answer, choose);
    showDenials({ section: element("denied"), list: element("denial-list") }, answer, choose);
    loader?.done.then(() => {
      if (this.answer === answer) this.showImageWarnings();
    });
  }

  /** Nothing of the study before is left. */
  clear() {
    this.answer = null;
    this.shownMap = null;
    this.viewing.clear();
  }

  /** @param {number} index of the image now shown large */
  imageSelected(index) {
    if (!this.answer) return;
    this.region.setImage(this.answer, this.maps, index);
    this.showImageWarnings();
  }

  showImageWarnings() {
    if (!this.answer) return;
    const { image } = this.viewing.main;
    const problem = this.loader?.problems[image];
    const messages = this.answer.images[image].warnings.map(({ message }) => message);
    if (problem) messages.push(`The stored values could not be loaded, so an 8-bit preview is shown: ${problem}`);
    showWarnings(element("warnings"), messages);
  }

  /**
   * @param {number} x original pixels
   * @param {number} y
   * @param {number} image
   * @returns {string} share of the shown map at a place; empty where there is none
   */
  shareInWords(x, y, image) {
    const { answer, shownMap } = this;
    const share = answer && shownMap && shareAt(shownMap, answer.images, image, x, y);
    return typeof share === "number" && shownMap ? `  ${percent(share)}  ${times(share, shownMap.length)}` : "";
  }

  /**
   * The report is being edited: a region then offers sentences.
   *
   * @param {import("./editor.js").Editor | null} editor null: no more
   * @param {import("./editor.js").Sentence[]} templates
   */
  edit(editor, templates) {
    this.suggestions.edit(editor, templates);
    this.suggest();
  }

  suggest() {
    const { image, viewer } = this.viewing.main;
    const shown = this.answer && { answer: this.answer, image, directions: viewer.description?.directions ?? null };
    this.suggestions.show(shown, this.region.box);
  }

  toggleRaw() {
    const on = element("raw").getAttribute("aria-pressed") !== "true";
    element("raw").setAttribute("aria-pressed", String(on));
    this.showChoice({ ...this.choice, byKeyboard: true });
  }

  /** @param {Choice} choice */
  showChoice(choice) {
    this.choice = choice;
    if (!this.answer) return;
    this.asking.leave();
    if (choice.kind !== "none") this.checking.leave();
    const grounded = choice.words.map((word) => this.maps[word]).filter((map) => map !== null);
    const raw = choice.words.map((word) => this.raw[word]).filter((map) => map !== null);
    const wantsRaw = element("raw").getAttribute("aria-pressed") === "true";
    const shown = grounded.length || !wantsRaw ? grounded : raw;
    this.setMap(shown.length ? average(shown) : null);
    this.isRaw = grounded.length === 0 && shown.length > 0;
    this.describe(choice, grounded.length);
    element("raw").setAttribute("aria-disabled", String(choice.kind === "none" || grounded.length > 0 || raw.length === 0));
    element("hint").hidden = choice.kind !== "none" || this.answer.probability_withheld !== null;
    element("sentence").setAttribute("aria-disabled", String(choice.kind === "none"));
    element("clear").setAttribute("aria-disabled", String(this.report.pins.size === 0));
  }

  /** @param {import("./api.js").Asked} asked */
  showAsked(asked) {
    if (!this.answer) return;
    this.checking.leave();
    const map = asked.state === "not grounded" ? null : decode(asked.heatmap);
    /** @type {[string, string][]} */
    const nowhere = [["Place", `None: ${attentionInWords(asked.attention)}`]];
    const place = map ? placeOf(map, this.answer.images) : nowhere;
    const facts = asked.state === "withheld" ? worth([asked]) : [...worth([asked]), ...place];
    this.showBeside({ kind: "Asked for", words: asked.phrase, map, facts });
  }

  /** @param {Region} region of a report that is checked */
  showChecked(region) {
    if (!this.answer) return;
    const place = region.map ? placeOf(region.map, this.answer.images) : [];
    this.showBeside({ ...region, facts: [...region.facts, ...place] });
  }

  /** Show what is no part of the draft. @param {Region} region */
  showBeside({ kind, words, map, facts }) {
    this.report.leave();
    this.choice = { kind: "none", words: [], byKeyboard: false };
    this.setMap(map);
    element("hint").hidden = true;
    element("shown-kind").textContent = kind;
    element("shown-words").textContent = words;
    listFacts(facts);
    this.announce(`${words}. ${inOneLine(facts)}`);
  }

  /** @param {Float32Array | null} map */
  setMap(map) {
    this.shownMap = map;
    this.isRaw = false;
    this.viewing.setMap(map);
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
    const title = this.isRaw ? `${titleOf(kind, chosen.length, grounded)}: raw attention, not grounded` : titleOf(kind, chosen.length, grounded);
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
    const inspected = (answer.denials ?? []).filter(({ state }) => state === "inspected");
    if (shownMap && chosen.every((word) => inspected.some(({ start, end }) => start <= word.start && word.end <= end))) {
      facts.unshift(["Denied", "This place was inspected; it is no finding"]);
    }
    if (shownMap && this.isRaw) return [...facts, ["Place", rawInWords(chosen, answer)], ...placeOf(shownMap, answer.images)];
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
    denial: "Denied",
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
