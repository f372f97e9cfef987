// @ts-check
/** What stands around the report: warnings, what to check first, the findings it names. */

import { percent } from "./legend.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./report.js").Kind} Kind */
/** @typedef {(words: number[], kind: Kind) => void} Choose */

/**
 * @param {HTMLElement} banner
 * @param {string[]} messages
 */
export function showWarnings(banner, messages) {
  banner.hidden = messages.length === 0;
  banner.replaceChildren(...messages.map((message) => filled("p", message)));
}

/**
 * @param {Answer} answer
 * @returns {string[]} what holds for the report as a whole
 */
export function studyWarnings({ probability_withheld: withheld, warnings }) {
  return [...(withheld === null ? [] : [withheld]), ...warnings.map(({ message }) => message)];
}

/**
 * @param {{section: HTMLElement, list: HTMLElement}} parts
 * @param {Answer} answer
 * @param {Choose} choose called with a flag's words
 */
export function showReview({ section, list }, answer, choose) {
  section.hidden = answer.review.length === 0;
  list.replaceChildren(...answer.review.map((flag) => {
    const words = wordsWithin(answer, flag.start, flag.end);
    return words.length ? linked(flag.message, words, () => choose(words, "flag")) : filled("li", flag.message);
  }));
}

/**
 * @param {{section: HTMLElement, list: HTMLElement}} parts
 * @param {Answer} answer
 * @param {Choose} choose called with a finding's words
 */
export function showFindings({ section, list }, answer, choose) {
  section.hidden = answer.findings.length === 0;
  list.replaceChildren(...[...byTitle(answer.findings)].map(([title, same]) => {
    const [item, button, value] = ["li", "button", "b"].map((tag) => document.createElement(tag));
    button.setAttribute("type", "button");
    button.className = "chip";
    button.append(title);
    if (same.every((finding) => finding.presence_probability !== null)) {
      value.textContent = percent(Math.max(...same.map((finding) => Number(finding.presence_probability))));
      button.append(" ", value);
    }
    button.addEventListener("click", () => choose(same.flatMap(({ words }) => words), "finding"));
    item.append(button);
    return item;
  }));
}

/**
 * What the report says is not there: inspected where its words attended to a place, which is no finding.
 *
 * @param {{section: HTMLElement, list: HTMLElement}} parts
 * @param {Answer} answer
 * @param {Choose} choose called with a denial's words
 */
export function showDenials({ section, list }, answer, choose) {
  const denials = answer.denials ?? [];
  section.hidden = denials.length === 0;
  list.replaceChildren(...[...byTitle(denials)].map(([title, same]) => {
    const inspected = same.some(({ state }) => state === "inspected");
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = inspected ? "chip denied inspected" : "chip denied";
    button.append(title, " ", filled("b", inspected ? "inspected" : same[0].state));
    button.addEventListener("click", () => choose(same.flatMap(({ words }) => words), "denial"));
    item.append(button);
    return item;
  }));
}

/**
 * @param {Answer} answer
 * @param {number} start
 * @param {number} end
 * @returns {number[]} indices of the words inside
 */
function wordsWithin(answer, start, end) {
  return answer.words.flatMap((word, index) => (word.start < end && word.end > start ? [index] : []));
}

/** @typedef {{name: string, sides: string[], zone?: string | null, certainty?: string}} Named */

/**
 * @template {Named} T
 * @param {T[]} findings
 * @returns {Map<string, T[]>} what findings and impression both name, together
 */
function byTitle(findings) {
  const named = new Map();
  for (const finding of findings) {
    const title = titled(finding);
    named.set(title, [...(named.get(title) ?? []), finding]);
  }
  return named;
}

/**
 * @param {Named} finding
 * @returns {string} such as "Possible opacity, left lower"
 */
export function titled({ name, sides, zone, certainty }) {
  const words = name.replaceAll("_", " ");
  const phrase = certainty === "possible" ? `possible ${words}` : words;
  const location = [sides.length === 2 ? "both sides" : sides[0], zone].filter(Boolean).join(" ");
  const title = phrase.charAt(0).toUpperCase() + phrase.slice(1);
  return location ? `${title}, ${location}` : title;
}

/**
 * @param {string} text
 * @param {number[]} words
 * @param {() => void} chosen
 * @returns {HTMLElement} an item whose text leads to its first word
 */
function linked(text, words, chosen) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = `#word-${words[0]}`;
  link.textContent = text;
  link.addEventListener("click", (event) => {
    event.preventDefault(); // the address stays the study's
    chosen();
  });
  item.append(link);
  return item;
}

/**
 * @param {"p" | "li" | "b"} tag
 * @param {string} text
 * @returns {HTMLElement}
 */
function filled(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
