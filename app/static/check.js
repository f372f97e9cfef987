// @ts-check
/**
 * Somebody's report beside the images: its words with their evidence, what the images contradict, and
 * what is seen and not mentioned. Knows no image; it says which map is to be shown.
 */

import { Problem } from "./api.js";
import { attentionInWords, whyNowhere, worth } from "./evidence.js";
import { average, decode } from "./heatmap.js";
import { percent } from "./legend.js";
import { ReportView } from "./report.js";
import { titled } from "./summary.js";

/** @typedef {import("./api.js").CheckedReport} CheckedReport */
/** @typedef {import("./api.js").Issue} Issue */
/** @typedef {import("./api.js").Statement} Statement */
/** @typedef {import("./study.js").Region} Region */
/** @typedef {(text: string, signal: AbortSignal) => Promise<CheckedReport>} Check */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @returns {T}
 */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** Odds that are not stated more exactly. */
const MOST = 1000;
/** Whether there is such a finding, by what the report says of it and whether its words have a place. */
const FOUND = ["found, its place is shown", "found, without a place"];
const DENIED = ["inspected", "not inspected"];

export class CheckPanel {
  /** @param {{check: Check, show: (region: Region) => void, announce: (message: string) => void}} page */
  constructor(page) {
    this.page = page;
    this.text = /** @type {HTMLTextAreaElement} */ (element("check-text"));
    this.lists = element("check-lists");
    /** @type {CheckedReport | null} */
    this.found = null;
    /** @type {AbortController | null} */
    this.running = null;
    this.words = new ReportView(element("check-words"), (choice) => this.showWords(choice.kind, choice.words), "checked-word");
    element("check-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.text.value.trim();
      if (text && !this.running) this.submit(text);
    });
    this.connectFile(element("check-file"));
  }

  /** @param {HTMLInputElement} input */
  connectFile(input) {
    element("check-open").addEventListener("click", () => input.click());
    input.addEventListener("change", async () => {
      const [file] = input.files ?? [];
      input.value = ""; // so that choosing the same file again counts as a change
      if (!file) return;
      this.text.value = (await file.text()).slice(0, this.text.maxLength);
      this.text.focus();
    });
  }

  /** Forget the report of the study before. */
  clear() {
    this.running?.abort();
    this.found = null;
    this.text.value = "";
    element("checked").hidden = true;
    element("check-problem").hidden = true;
  }

  /** @param {string} text */
  async submit(text) {
    const mine = new AbortController();
    this.setRunning(mine);
    element("check-problem").hidden = true;
    try {
      const found = await this.page.check(text, mine.signal);
      if (!mine.signal.aborted) this.show(found);
    } catch (error) {
      if (mine.signal.aborted) return;
      element("check-problem").textContent =
        error instanceof Problem ? `${error.title}. ${error.detail} ${error.advice}` : String(error);
      element("check-problem").hidden = false;
    } finally {
      if (this.running === mine) this.setRunning(null);
    }
  }

  /** @param {AbortController | null} running */
  setRunning(running) {
    this.running = running;
    element("check-send").setAttribute("aria-disabled", String(running !== null));
    element("check-send").textContent = running ? "Checking" : "Check";
  }

  /** @param {CheckedReport} found */
  show(found) {
    this.found = null; // drawing its words chooses none of them
    this.words.render(found);
    this.found = found;
    element("check-withheld").textContent = found.probability_withheld ?? "";
    element("check-withheld").hidden = found.probability_withheld === null;
    const missing = found.issues.filter(({ code }) => code === "missing");
    const wrong = found.issues.filter(({ code }) => code !== "missing");
    const asserted = found.statements.filter(({ present }) => present);
    const denied = found.statements.filter(({ present }) => !present);
    const none = found.issues.length ? [] : [emptyGroup("Nothing to correct was found")];
    this.lists.replaceChildren(
      ...none,
      ...group("To correct", "ask-answers", wrong.map((issue) => this.issueItem(issue))),
      ...group("Seen and not mentioned", "ask-answers", missing.map((issue) => this.issueItem(issue))),
      ...group("Asserts", "chips", asserted.map((statement) => this.statementItem(statement))),
      ...group("Denies", "chips", denied.map((statement) => this.statementItem(statement))),
    );
    element("checked").hidden = false;
    element("checked-title").focus({ preventScroll: true }); // which would move the page, not the column
    element("checked-title").scrollIntoView({ block: "nearest" });
    const seen = missing.length ? `, ${missing.length} seen and not mentioned` : "";
    this.page.announce(`The report is checked: ${wrong.length} to correct${seen}.`);
  }

  /**
   * @param {Issue} issue
   * @returns {HTMLElement} a button that shows the region of what is suggested
   */
  issueItem(issue) {
    const parts = [filled("span", issue.message, "asked-phrase")];
    for (const { start, end } of issue.places) parts.push(filled("q", this.textOf(start, end)));
    if (issue.suggestion) parts.push(filled("ins", `Suggestion: ${issue.suggestion}`));
    parts.push(filled("span", sureness(issue), "small"));
    return pressable("asked", parts, (button) => {
      const map = issue.state === "not grounded" ? null : decode(issue.heatmap);
      /** @type {[string, string][]} */
      const facts = [["Error", sureness(issue)]];
      if (!map) facts.push(["Place", "None on the images"]);
      this.choose(button, { kind: "Check of a report", words: issue.suggestion || issue.message, map, facts });
    });
  }

  /**
   * @param {Statement} statement
   * @returns {HTMLElement} a chip: what is asserted is found, what is denied at most inspected
   */
  statementItem(statement) {
    const [placed, placeless] = statement.present ? FOUND : DENIED;
    const isPlaced = statement.state === "grounded";
    const state = { grounded: placed, "not grounded": placeless, unknown: "unknown", withheld: "withheld" }[statement.state];
    const classes = statement.present ? "chip" : `chip denied${isPlaced ? " inspected" : ""}`;
    const parts = [filled("span", titled(statement)), filled("b", state)];
    return pressable(classes, parts, (button) => {
      const map = isPlaced || statement.state === "unknown" ? decode(statement.heatmap) : null;
      const facts = worth([statement]);
      if (statement.presence_probability !== null) facts.unshift(["Present", `${percent(statement.presence_probability)} probable`]);
      if (!map && statement.state === "not grounded") facts.push(["Place", `None: ${attentionInWords(statement.attention)}`]);
      this.choose(button, { kind: `Checked report: ${state}`, words: statement.text, map, facts });
    });
  }

  /**
   * @param {string} kind
   * @param {number[]} places of words
   */
  showWords(kind, places) {
    const { found } = this;
    if (!found || kind === "none") return;
    this.unpress();
    const chosen = places.map((place) => found.words[place]);
    const maps = chosen.filter(({ state }) => state !== "not grounded").map(({ heatmap }) => decode(heatmap)).filter((map) => map !== null);
    const facts = worth(chosen);
    if (!maps.length && found.probability_withheld === null) {
      const why = chosen.length === 1 ? whyNowhere(chosen[0], found) : "none of these words has one";
      facts.push(["Place", `None: ${why}`]);
    }
    const words = chosen.map(({ text }) => text.trim()).join(" ");
    this.page.show({ kind: "Checked report", words, map: maps.length ? average(maps) : null, facts });
  }

  /**
   * @param {HTMLElement} button
   * @param {Region} region
   */
  choose(button, region) {
    this.leave();
    this.page.show(region);
    button.setAttribute("aria-pressed", "true");
  }

  /** Something else is shown. */
  leave() {
    this.unpress();
    const { found } = this;
    this.found = null; // letting its words go chooses nothing
    this.words.leave();
    this.found = found;
  }

  unpress() {
    for (const button of this.lists.querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
  }

  /**
   * @param {number} start
   * @param {number} end
   * @returns {string}
   */
  textOf(start, end) {
    return this.found?.text.slice(start, end) ?? "";
  }
}

/**
 * @param {Issue} issue
 * @returns {string}
 */
function sureness({ probability, evidence }) {
  if (evidence === null) return "needs no image";
  const ratio = Math.exp(Math.min(Math.abs(evidence), Math.log(MOST)));
  const odds = `${ratio > 0.999 * MOST ? `over ${MOST}` : ratio.toFixed(ratio < 9.5 ? 1 : 0)} to 1 ${evidence > 0 ? "for" : "against"} it`;
  return probability === null ? `no probability: not calibrated; the images speak ${odds}` : `${percent(probability)} probable`;
}

/**
 * @param {string} title
 * @param {string} className of the list
 * @param {HTMLElement[]} items
 * @returns {HTMLElement[]} a titled list; nothing where it is empty
 */
function group(title, className, items) {
  if (!items.length) return [];
  const made = document.createElement("section");
  const list = document.createElement("ul");
  made.className = "check-group";
  made.setAttribute("aria-label", title);
  list.className = className;
  list.append(...items);
  made.append(filled("h3", title), list);
  return [made];
}

/**
 * @param {string} text
 * @returns {HTMLElement}
 */
function emptyGroup(text) {
  return filled("p", text, "small");
}

/**
 * @param {string} className
 * @param {HTMLElement[]} parts
 * @param {(button: HTMLElement) => void} pressed
 * @returns {HTMLElement} a list item
 */
function pressable(className, parts, pressed) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.className = className;
  button.setAttribute("aria-pressed", "false");
  button.append(...parts.flatMap((part) => [part, " "]));
  button.addEventListener("click", () => pressed(button));
  item.append(button);
  return item;
}

/**
 * @param {"span" | "q" | "ins" | "b" | "h3" | "p"} tag
 * @param {string} text
 * @param {string} [className]
 * @returns {HTMLElement}
 */
function filled(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}
