// @ts-check
/** A kept study for the study page: its report, its files, and what readers wrote in it. */

import { checked } from "./api.js";
import { call } from "./kept.js";

/** @typedef {import("./api.js").Sent} Sent */
/** @typedef {import("./kept.js").Kept} Kept */

/**
 * @param {string} id
 * @returns {Promise<Kept>} with the images' previews
 */
export async function fetchKept(id) {
  const kept = await call(`v1/studies/${id}?pixels=true`);
  return { ...kept, report: checked(kept.report) };
}

/**
 * The study's files as if they had been sent, for the stored values and for questions.
 *
 * @param {Kept} study
 * @returns {Promise<Sent>}
 */
export async function filesOf(study) {
  const { images } = study.report;
  const blobs = await Promise.all(study.files.map(async ({ number, kept, media_type: type }) => {
    const name = `${study.accession ?? study.name}${study.files.length > 1 ? ` (${number})` : ""}`;
    const response = kept ? await fetch(`v1/studies/${study.id}/images/${number}`) : null;
    return new File(response?.ok ? [await response.blob()] : [], name, { type });
  }));
  const own = blobs.filter((_, index) => !images[index].prior);
  study.sent = {
    files: own,
    views: own.map((_, index) => images[index].view ?? ""),
    priors: blobs.filter((_, index) => images[index].prior),
    indication: study.report.indication,
  };
  return study.sent;
}

/**
 * Mark what readers wrote; the draft's words are elements of their own already.
 *
 * @param {HTMLElement} container
 * @param {Kept} study
 */
export function markReaders(container, { marked }) {
  if (!marked.by_reader.length) return;
  const walker = document.createTreeWalker(container, NodeFilter.SHOW_TEXT);
  /** @type {Text[]} */
  const loose = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const text = /** @type {Text} */ (node);
    const word = text.parentElement?.closest(".word, h2");
    if (!word && /\w/.test(text.data)) loose.push(text);
  }
  for (const text of loose) {
    const [, before, words, behind] = /** @type {RegExpExecArray} */ (/^(\s*)(.*?)(\s*)$/s.exec(text.data));
    const mark = document.createElement("mark");
    mark.className = "by-reader";
    mark.title = "Written by a reader";
    mark.textContent = words;
    text.replaceWith(before, mark, behind);
  }
}
