// @ts-check
/** The service as the page sees it: one study in, one checked answer or one problem in words out. */

import { changed, EVENTS, eventsOf, isStream } from "./stream.js";

/**
 * @typedef {{left: number, top: number, width: number, height: number}} Extent
 *   rectangle in original image pixels, such as the one which the whole grid of patches covers
 * @typedef {{code: string, message: string}} ImageWarning
 * @typedef {{width: number, height: number, view: string | null, prior: boolean, rows: number, columns: number,
 *   extent: Extent, warnings: ImageWarning[], png: string | null}} Image
 * @typedef {{scale: number, data: string}} Heatmap
 * @typedef {{probability: number, evidence: number, state: "grounded" | "not grounded" | "unknown" | "withheld",
 *   attention: number, heatmap: Heatmap | null}} Carried
 *   evidence in nats; attention: share of it that fell on the images; not grounded: the map is no
 *   place; all but the state null where withheld
 * @typedef {Carried & {text: string, start: number, end: number}} Word
 * @typedef {Word & {words: number[]}} Span
 * @typedef {Span & {name: string, sides: string[], zone: string | null, certainty: string,
 *   presence_probability: number | null}} Finding
 * @typedef {Omit<Span, "state"> & {name: string, sides: string[], state: "inspected" | "not inspected" | "unknown" | "withheld"}} Denial
 * @typedef {{code: string, message: string, start: number, end: number}} Flag
 * @typedef {{name: string, text: string, start: number, end: number}} Section
 * @typedef {{text: string, sections: Section[], words: Word[], sentences: Span[], findings: Finding[],
 *   denials?: Denial[], study?: string | null, review: Flag[], indication: string, images: Image[], warnings: ImageWarning[],
 *   probability_withheld: string | null, model: {name: string, sha256: string}, notice: string}} Answer
 * @typedef {Omit<Carried, "probability"> & {phrase: string, text: string, probability: number | null,
 *   matches: number | null, samples: number | null, images: Image[], probability_withheld: string | null}} Asked
 *   no probability where it is not calibrated; no samples where the model answers questions
 * @typedef {Span & {name: string, present: boolean, sides: string[], zone: string | null, severity: string | null,
 *   presence_probability: number | null}} Statement
 * @typedef {{code: string, message: string, name: string | null, places: {start: number, end: number}[],
 *   probability: number | null, evidence: number | null, suggestion: string, state: Carried["state"], heatmap: Heatmap | null}} Issue
 *   places: where the report states it; none of what it does not mention
 * @typedef {Pick<Answer, "text" | "sections" | "words" | "sentences" | "images" | "probability_withheld">
 *   & {statements: Statement[], issues: Issue[]}} CheckedReport
 * @typedef {{views: string[], prompt_tokens: number, notice: string}} Model
 *   views: "frontal", and "lateral" and "prior" where it reads those; prompt_tokens: 0 reads no indication
 * @typedef {{files: File[], views: string[], priors: File[], indication: string}} Sent
 *   a study as it is sent; views: per file "PA", "AP", "LATERAL" or empty for what the file says
 * @typedef {"input_check" | "identity_check"} Check
 * @typedef {{file: string, title: string}} Sample
 */

/** Something went wrong: what, in the service's words, and the way out. */
export class Problem extends Error {
  /**
   * @param {string} title
   * @param {string} detail
   * @param {string} advice
   * @param {{passing?: boolean, check?: Check | null}} [kind] passing: the same files may succeed
   *   later; check: what refuses them, which a reader may switch off
   */
  constructor(title, detail, advice, { passing = false, check = null } = {}) {
    super(`${title}: ${detail}`);
    this.name = "Problem";
    this.title = title;
    this.detail = detail;
    this.advice = advice;
    this.passing = passing;
    this.check = check;
  }
}

/** Of the session of who is signed in; null where nobody needs to be. @type {string | null} */
let token = null;

/** @param {string | null} csrf what the service wants back with every change */
export function setToken(csrf) {
  token = csrf;
}

/** @returns {Record<string, string>} headers that say that a change comes from this page */
export function pageHeaders() {
  return token ? { "X-CSRF-Token": token } : {};
}

/** @type {Record<number, string>} */
const ADVICE = {
  413: "Send a smaller file, or fewer views at a time.",
  415: "CrossRay reads DICOM, PNG and JPEG files. Export the radiograph as one of these and send it again.",
  422: "Check that the file opens in another viewer and holds one grayscale chest radiograph, then send it again.",
  429: "Wait a moment, then try again.",
  503: "The server is at work on other studies. Wait a moment, then try again.",
};

/**
 * What a check refused can be sent with other images only, or with the check off.
 *
 * @type {Record<string, Check>}
 */
const CHECKS = { "/problems/refused": "input_check", "/problems/identity-mismatch": "identity_check" };
/** @type {Record<Check, string>} */
const CHECK_ADVICE = {
  input_check: "Choose another image, or have the report written anyway.",
  identity_check: "Choose the files of one study, or, if you are sure that they are, have the report written anyway.",
};
const INVALID = "/problems/invalid-request";

/**
 * Send one study and wait for the report.
 *
 * @param {Sent} sent
 * @param {AbortSignal} signal aborting it rejects with an AbortError
 * @param {Set<Check>} off checks that are switched off
 * @param {(text: string) => void} written receives the text so far, as it is written
 * @returns {Promise<Answer>}
 * @throws {Problem} the service refused, could not be reached, or answered nonsense
 */
export async function requestReport(sent, signal, off, written) {
  const address = `v1/reports?pixels=true&maps=all${queryOf(off)}`;
  const response = await post(address, formOf(sent), signal, { Accept: `${EVENTS}, application/json` });
  if (!isStream(response)) return checked(await response.json());
  return reached(async () => {
    let text = "";
    for await (const { name, data } of eventsOf(response)) {
      if (name === "text") written((text = changed(text, data)));
      if (name === "problem") throw problemOf(data, data.status);
      if (name === "report") return checked(data);
    }
    throw lost();
  }, signal);
}

/**
 * Ask the images of a study for a phrase.
 *
 * @param {Sent} sent as for the study's report
 * @param {string} phrase
 * @param {AbortSignal} signal
 * @param {Set<Check>} [off] checks that are switched off
 * @returns {Promise<Asked>}
 * @throws {Problem}
 */
export async function requestAnswer(sent, phrase, signal, off = new Set()) {
  const form = formOf(sent);
  form.append("phrase", phrase);
  const asked = await send(`v1/questions?pixels=false${queryOf(off)}`, form, signal);
  if (!Array.isArray(asked?.images)) throw unexpected("it holds no images");
  checkMap(asked, patchesOf(asked.images));
  return asked;
}

/**
 * Have somebody's report checked against the images of a study.
 *
 * @param {Sent} sent as for the study's report
 * @param {string} text
 * @param {AbortSignal} signal
 * @param {Set<Check>} [off] checks that are switched off
 * @returns {Promise<CheckedReport>}
 * @throws {Problem}
 */
export async function requestCheck(sent, text, signal, off = new Set()) {
  const form = formOf(sent);
  form.append("report", text);
  const found = await send(`v1/checks?pixels=false${queryOf(off)}`, form, signal);
  for (const list of ["images", "words", "sentences", "statements", "issues"]) {
    if (!Array.isArray(found?.[list])) throw unexpected(`it holds no ${list}`);
  }
  for (const part of [...found.words, ...found.issues]) checkMap(part, patchesOf(found.images));
  const moved = mover(found.text);
  const parts = Object.fromEntries(["words", "sections", "sentences", "statements"].map((list) => [list, found[list].map(moved)]));
  const issues = found.issues.map((/** @type {Issue} */ issue) => ({ ...issue, places: issue.places.map(moved) }));
  return { ...found, ...parts, issues };
}

/**
 * @param {Set<Check>} off
 * @returns {string} more of a query
 */
function queryOf(off) {
  return [...off].map((check) => `&${check}=false`).join("");
}

/**
 * @param {Sent} sent
 * @returns {FormData}
 */
function formOf({ files, views, priors, indication }) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  for (const view of views) form.append("views", view);
  for (const file of priors) form.append("priors", file, file.name);
  if (indication) form.append("indication", indication);
  if (files.length) form.append("name", files[0].name.slice(0, 200)); // for the worklist, where studies are kept
  return form;
}

/**
 * @param {string} address
 * @param {FormData} form
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
async function send(address, form, signal) {
  return (await post(address, form, signal, {})).json();
}

/**
 * @param {string} address
 * @param {FormData} body
 * @param {AbortSignal} signal
 * @param {Record<string, string>} more headers
 * @returns {Promise<Response>} one that is no problem
 */
async function post(address, body, signal, more) {
  const headers = { ...pageHeaders(), ...more };
  const response = await reached(() => fetch(address, { method: "POST", body, signal, headers }), signal);
  if (!response.ok) throw await problemFrom(response);
  return response;
}

/**
 * @template T
 * @param {() => Promise<T>} ask what needs the connection
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
async function reached(ask, signal) {
  try {
    return await ask();
  } catch (error) {
    if (signal.aborted || error instanceof Problem) throw error;
    throw lost();
  }
}

/** @returns {Problem} */
function lost() {
  return new Problem(
    "The server did not answer",
    "The connection failed before an answer came back.",
    "Check that CrossRay is still running and that the file can still be read, then try again.",
    { passing: true },
  );
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
export async function problemFrom(response) {
  /** @type {{type?: unknown, title?: unknown, detail?: unknown}} */
  let body = {};
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    body = await response.json();
  }
  return problemOf(body, response.status, Number(response.headers.get("retry-after")));
}

/**
 * @param {{type?: unknown, title?: unknown, detail?: unknown}} body
 * @param {number} status
 * @param {number} [seconds] after which to try again
 * @returns {Problem}
 */
function problemOf(body, status, seconds = 0) {
  const title = typeof body.title === "string" ? body.title : `The server answered ${status}`;
  const detail = typeof body.detail === "string" ? body.detail : "It gave no further reason.";
  const check = (typeof body.type === "string" && CHECKS[body.type]) || null;
  const advice = check
    ? CHECK_ADVICE[check]
    : body.type === INVALID
      ? "Change what it names, then send it again."
      : adviceFor(status, seconds);
  return new Problem(title, detail, advice, { passing: status === 429 || status >= 500, check });
}

/**
 * @param {number} status
 * @param {number} seconds
 * @returns {string}
 */
function adviceFor(status, seconds) {
  if (seconds > 0) return `Try again in ${seconds} seconds.`;
  return ADVICE[status] ?? "Try again. If it happens again, tell whoever runs this server the words above.";
}

/**
 * Hold an answer to what the page builds on, so that a wrong one says so instead of drawing nonsense.
 *
 * @param {any} answer
 * @returns {Answer}
 */
export function checked(answer) {
  const images = answer?.images;
  if (!Array.isArray(images) || images.length === 0) throw unexpected("it holds no images");
  if (!Array.isArray(answer.words)) throw unexpected("it holds no words");
  for (const list of ["sentences", "findings", "review"]) {
    if (!Array.isArray(answer[list])) throw unexpected(`it holds no ${list}`);
  }
  for (const word of answer.words) checkMap(word, patchesOf(images));
  if (images.some((image) => !image.png)) throw unexpected("an image has no pixels");
  return inUtf16(answer);
}

/**
 * @param {Image[]} images
 * @returns {number} of the whole study
 */
function patchesOf(images) {
  return images.reduce((sum, image) => sum + image.rows * image.columns, 0);
}

/**
 * @param {Carried} carried
 * @param {number} patches
 */
function checkMap({ heatmap }, patches) {
  const bytes = heatmap ? atob(heatmap.data).length : patches;
  if (bytes !== patches) {
    throw unexpected(`a heatmap holds ${bytes} patches where the images have ${patches}`);
  }
}

/**
 * The service counts characters, JavaScript counts UTF-16 units: they differ after a character beyond
 * the basic plane.
 *
 * @param {string} text
 * @returns {(span: any) => any} the span as `slice` understands it
 */
function mover(text) {
  const units = [0];
  for (const character of text) units.push(units[units.length - 1] + character.length);
  return (span) => ({ ...span, start: units[span.start], end: units[span.end] });
}

/**
 * @param {Answer} answer
 * @returns {Answer} with spans that `slice` understands
 */
function inUtf16(answer) {
  const moved = mover(answer.text);
  return {
    ...answer,
    words: answer.words.map(moved),
    sections: answer.sections.map(moved),
    sentences: answer.sentences.map(moved),
    findings: answer.findings.map(moved),
    denials: (answer.denials ?? []).map(moved), // drafts kept before there were any
    review: answer.review.map(moved),
  };
}

/**
 * @param {string} reason
 * @returns {Problem}
 */
function unexpected(reason) {
  return new Problem(
    "The answer cannot be shown",
    `The server's answer is not a report this page knows: ${reason}.`,
    "Reload the page, so that page and server are of the same version.",
  );
}

/** @returns {Promise<Model | null>} the model in use; null while it is still being loaded */
export async function describeModel() {
  const response = await fetch("v1/model");
  return response.ok ? response.json() : null;
}

/** @returns {Promise<Sample[]>} the studies that ship with the page; none where the list is absent */
export async function listSamples() {
  const response = await fetch(new URL("samples/index.json", import.meta.url));
  return response.ok ? response.json() : [];
}

/**
 * @param {Sample} sample
 * @returns {URL}
 */
export function sampleAddress(sample) {
  return new URL(sample.file, import.meta.url);
}

/**
 * @param {Sample} sample
 * @returns {Promise<File>}
 * @throws {Problem} the sample cannot be fetched
 */
export async function fetchSample(sample) {
  const response = await fetch(sampleAddress(sample));
  if (!response.ok) {
    throw new Problem(
      "The sample is missing",
      `The server has no file ${sample.file}.`,
      "Pick another sample, or drop a file of your own.",
    );
  }
  return new File([await response.blob()], sample.file.split("/").pop() ?? "sample");
}
