// @ts-check
/** A word's values in words: its probability, its evidence, why it is not grounded. */

import { peak, placeInWords } from "./heatmap.js";
import { percent, times } from "./legend.js";
import { viewName } from "./images.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Carried} Carried */
/** @typedef {import("./api.js").Image} Image */
/** @typedef {import("./api.js").Word} Word */

/** Nats below which the image hardly changed a word: the text alone suggests it. */
const SUGGESTED = Math.log(1.5);
const LARGEST_RATIO = 1000;
/** @type {[string, string]} of an imported model's words */
const UNKNOWN_STATE = ["Grounded", "Unknown: never measured for this model"];
const WITHHELD = "withheld";

const NEGATIONS = new Set(["no", "not", "without", "neither", "nor", "never", "none", "absent"]);
const FUNCTION_WORDS = new Set(
  ("a an the this that these those there here it its is are was were be been being has have had do does " +
    "of in on at to from by with within for and or but as than then over under into through both may can " +
    "could findings impression").split(" "),
);

/**
 * @param {Carried} word
 * @returns {boolean} whether it is grounded, but the text alone would have suggested it
 */
export function isSuggested(word) {
  return word.state === "grounded" && word.evidence < SUGGESTED;
}

/**
 * @param {number} evidence in nats
 * @param {"it" | "them"} [what]
 * @returns {string} such as "the image made it 12 times as likely"
 */
export function evidenceInWords(evidence, what = "it") {
  if (Math.abs(evidence) < SUGGESTED) return `the image hardly changed ${what === "it" ? "its" : "their"} probability`;
  const ratio = Math.exp(Math.abs(evidence));
  const rounded = ratio < 9.5 ? Number(ratio.toFixed(1)) : Math.round(ratio);
  const factor = ratio > LARGEST_RATIO ? `over ${LARGEST_RATIO}` : String(rounded);
  return `the image made ${what} ${factor} times ${evidence > 0 ? "as" : "less"} likely`;
}

/**
 * @param {Word} word
 * @param {Pick<Answer, "words" | "sentences">} answer
 * @returns {string} why it is not grounded
 */
export function whyNowhere(word, answer) {
  const text = word.text.toLowerCase();
  if (NEGATIONS.has(text)) return "a negation";
  if (FUNCTION_WORDS.has(text)) return "a function word";
  const sentence = answer.sentences.find(({ start, end }) => start <= word.start && word.start < end);
  const before = answer.words.filter(({ start }) => sentence && sentence.start <= start && start < word.start);
  if (before.some((other) => NEGATIONS.has(other.text.toLowerCase()))) return "part of a negation";
  return sentence?.state === "not grounded" ? "part of a normal statement" : "names no finding";
}

/**
 * @param {number} attention share that fell on the images
 * @returns {string}
 */
export function attentionInWords(attention) {
  return `${percent(attention)} of its attention fell on the image`;
}

/**
 * What a map of words without a place is worth.
 *
 * @param {Word[]} chosen
 * @param {Answer} answer
 * @returns {string}
 */
export function rawInWords(chosen, answer) {
  const mean = chosen.reduce((sum, word) => sum + word.attention, 0) / chosen.length;
  const why = chosen.length === 1 ? whyNowhere(chosen[0], answer) : "none of these words has one";
  return `None: ${why}. ${attentionInWords(mean)}, ${percent(1 - mean)} on the sink; the map shows that little, not where a finding is`;
}

/**
 * What the word's button says of itself to screen readers.
 *
 * @param {Word} word
 * @returns {string}
 */
export function described(word) {
  if (word.state === "withheld") return WITHHELD;
  const parts = [`probability ${Math.round(word.probability * 100)} percent`, evidenceInWords(word.evidence)];
  if (word.state === "not grounded") parts.push("no place on the image");
  if (word.state === "unknown") parts.push("whether it has a place on the image is unknown");
  return parts.join(", ");
}

/**
 * @param {(Carried | import("./api.js").Asked)[]} parts one word, several, or an asked phrase
 * @returns {[string, string][]} terms and values
 */
export function worth(parts) {
  if (parts.some(({ state }) => state === "withheld")) return [["Probability", WITHHELD]];
  const known = parts.every((part) => part.probability !== null);
  const probability = parts.reduce((product, part) => product * Number(part.probability), 1);
  const evidence = parts.reduce((sum, part) => sum + part.evidence, 0);
  const effect = evidenceInWords(evidence, parts.length === 1 ? "it" : "them");
  return [
    [parts.length === 1 ? "Probability" : "Probability of all", known ? percent(probability) : "not calibrated for this finding"],
    ["Evidence", `${effect.charAt(0).toUpperCase()}${effect.slice(1)}`],
    ...(parts.some(({ state }) => state === "unknown") ? [UNKNOWN_STATE] : []),
  ];
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @returns {[string, string][]} terms and values
 */
export function placeOf(map, images) {
  const best = peak(map, images);
  const view = viewName(images[best.image]).toLowerCase();
  const name = images.length > 1 ? `image ${best.image + 1} (${view})` : "the image";
  return [
    ["Most attention", placeInWords(best, images[best.image], name)],
    ["On that patch", `${percent(best.share)} (${times(best.share, map.length)})`],
  ];
}
