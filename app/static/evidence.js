// @ts-check
/** What a word is worth, in words: its probability, what the picture did for it, why it has no place. */

import { peak, placeInWords } from "./heatmap.js";
import { percent, times } from "./legend.js";
import { viewName } from "./pictures.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Carried} Carried */
/** @typedef {import("./api.js").Picture} Picture */
/** @typedef {import("./api.js").Word} Word */

/** Nats below which the picture hardly changed a word: the text alone suggests it. */
const SUGGESTED = Math.log(1.5);
const MOST_TOLD = 1000;

const NEGATIONS = new Set(["no", "not", "without", "neither", "nor", "never", "none", "absent"]);
const FUNCTION_WORDS = new Set(
  ("a an the this that these those there here it its is are was were be been being has have had do does " +
    "of in on at to from by with within for and or but as than then over under into through both may can " +
    "could findings impression").split(" "),
);

/**
 * @param {Carried} word
 * @returns {boolean} whether it has a place, but the text alone would have suggested it
 */
export function isSuggested(word) {
  return word.state === "grounded" && word.evidence < SUGGESTED;
}

/**
 * @param {number} evidence in nats
 * @param {"it" | "them"} [what]
 * @returns {string} such as "the picture made it 12 times as likely"
 */
export function evidenceInWords(evidence, what = "it") {
  if (Math.abs(evidence) < SUGGESTED) return `the picture hardly changed ${what === "it" ? "its" : "their"} chance`;
  const ratio = Math.exp(Math.abs(evidence));
  const rounded = ratio < 9.5 ? Number(ratio.toFixed(1)) : Math.round(ratio);
  const told = ratio > MOST_TOLD ? `over ${MOST_TOLD}` : String(rounded);
  return `the picture made ${what} ${told} times ${evidence > 0 ? "as" : "less"} likely`;
}

/**
 * @param {Word} word
 * @param {Answer} answer
 * @returns {string} why it has no place on the picture
 */
export function whyNowhere(word, answer) {
  const text = word.text.toLowerCase();
  if (NEGATIONS.has(text)) return "a negation";
  if (FUNCTION_WORDS.has(text)) return "a function word";
  const sentence = answer.sentences.find(({ start, end }) => start <= word.start && word.start < end);
  const before = answer.words.filter(({ start }) => sentence && sentence.start <= start && start < word.start);
  if (before.some((other) => NEGATIONS.has(other.text.toLowerCase()))) return "part of a negation";
  return sentence?.state === "not grounded" ? "part of a normal statement" : "it names no finding";
}

/**
 * @param {number} attention share that fell on the pictures
 * @returns {string}
 */
export function attentionInWords(attention) {
  return `${percent(attention)} of its attention fell on the picture`;
}

/**
 * What the word's button says of itself to screen readers.
 *
 * @param {Word} word
 * @returns {string}
 */
export function described(word) {
  const told = [`probability ${Math.round(word.probability * 100)} percent`, evidenceInWords(word.evidence)];
  if (word.state !== "grounded") told.push("no place on the picture");
  return told.join(", ");
}

/**
 * @param {Carried[]} parts one word, several, or an asked phrase
 * @returns {[string, string][]} terms and values
 */
export function worth(parts) {
  const probability = parts.reduce((product, part) => product * part.probability, 1);
  const evidence = parts.reduce((sum, part) => sum + part.evidence, 0);
  const told = evidenceInWords(evidence, parts.length === 1 ? "it" : "them");
  return [
    [parts.length === 1 ? "Probability" : "Probability of all", percent(probability)],
    ["Evidence", `${told.charAt(0).toUpperCase()}${told.slice(1)}`],
  ];
}

/**
 * @param {Float32Array} map
 * @param {Picture[]} pictures
 * @returns {[string, string][]} terms and values
 */
export function placeOf(map, pictures) {
  const best = peak(map, pictures);
  const view = viewName(pictures[best.picture]).toLowerCase();
  const name = pictures.length > 1 ? `picture ${best.picture + 1} (${view})` : "the picture";
  return [
    ["Most attention", placeInWords(best, pictures[best.picture], name)],
    ["On that patch", `${percent(best.share)} (${times(best.share, map.length)})`],
  ];
}
