// @ts-check
/** The page's states: choosing a study, waiting for its report, reading it, or learning what went wrong. */

import { describeModel, Problem, requestAnswer, requestCheck, requestReport } from "./api.js";
import { Composer } from "./compose.js";
import { Drafts } from "./drafts.js";
import { connectIntake, offerSamples } from "./intake.js";
import { Room } from "./room.js";
import { StudyView } from "./study.js";
import { connectThemeButton } from "./theme.js";
import { PixelLoader } from "./viewer/loader.js";
import { Writing } from "./writing.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Check} Check */
/** @typedef {import("./api.js").Sent} Sent */

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

const study = new StudyView(announce, {
  ask: (phrase, signal) => requestAnswer(lastSent, phrase, signal, off),
  check: (text, signal) => requestCheck(lastSent, text, signal, off),
});
const composer = new Composer((sent) => submit(sent), announce);
/** @type {import("./api.js").Model | null} null until it is loaded */
let model = null;
/** @type {AbortController | null} */
let running = null;
/** @type {Sent} */
let lastSent = plain([]);
/** Checks that are off for the study at hand, because its sender insisted. @type {Set<Check>} */
let off = new Set();
/** What refused the study last. @type {Check | null} */
let refusing = null;
/** @type {Answer | null} */
let shown = null;
/** The draft that was on the page before. @type {import("./drafts.js").Draft | null} */
let previous = null;
/** @type {PixelLoader | null} */
let loader = null;
const drafts = new Drafts();
const writing = new Writing(element("writing"));

const room = new Room({
  open: openDraft,
  showAgain: showReport,
  showWord: (index) => (index === null ? study.report.leave() : study.report.show(index)),
  editing: (editor, templates) => study.edit(editor, templates),
  announce,
  failed: showProblem,
});

/** @param {string} message */
function announce(message) {
  element("status").textContent = message;
}

/** @param {"start" | "busy" | "report"} state */
function enter(state) {
  document.body.dataset.state = state;
  element("start").hidden = state !== "start";
  element("busy").hidden = state !== "busy";
  element("study").hidden = state !== "report";
  document.body.classList.remove("reading-first");
  element("previous").hidden = previous === null;
  element("main").setAttribute("aria-busy", String(state === "busy"));
}

/**
 * @param {File[]} files of which nothing else is known
 * @returns {Sent}
 */
function plain(files) {
  return { files, views: [], priors: [], indication: "" };
}

/**
 * Images have come in. Where the model reads frontal images only there is nothing more to say of
 * them; else they open a study, or are added to the one that is open.
 *
 * @param {File[]} files
 * @param {boolean} earlier they are of an earlier study
 */
async function receive(files, earlier) {
  await learnModel();
  if (!composer.needed) return submit(plain(files));
  if (document.body.dataset.state === "start" && composer.isOpen) return composer.add(files, earlier);
  leaveStudy();
  composer.open(files);
}

/** Back to the start; the draft that was shown stays at hand. */
function leaveStudy() {
  running?.abort();
  running = null;
  loader?.stop();
  if (shown) previous = { sent: lastSent, answer: shown };
  shown = null;
  room.follow(null);
  drafts.close();
  element("problem").hidden = true;
  nameStudy(null);
  enter("start");
}

/** @param {Sent | null} sent the study that is open */
function nameStudy(sent) {
  const files = sent ? [...sent.files, ...sent.priors] : [];
  element("open-name").textContent = files.length > 1 ? `${files[0].name} and ${files.length - 1} more` : (files[0]?.name ?? "");
  element("open-name").title = files.map(({ name }) => name).join("\n");
}

/** @param {Sent} sent whose values are fetched while its report is written */
function loadPixels(sent) {
  loader?.stop();
  study.clear();
  loader = new PixelLoader([...sent.files, ...sent.priors], (index, image) => {
    study.viewing.grow(index, image);
    if (document.body.dataset.state !== "busy" || index > 0) return;
    element("study").hidden = false;
    document.body.classList.add("reading-first");
  });
}

async function openPrevious() {
  if (!previous) return;
  running?.abort();
  running = null;
  const { sent, answer } = previous;
  previous = shown ? { sent: lastSent, answer: shown } : null;
  await openDraft(sent, answer);
}

/**
 * @param {Sent} sent
 * @param {Answer} answer that was written for it before
 */
async function openDraft(sent, answer) {
  lastSent = sent;
  off = new Set();
  element("problem").hidden = true;
  nameStudy(sent);
  loadPixels(sent);
  await showReport(answer);
}

/**
 * Ask for the report of one study. What was on the page goes away first, so that an old report is
 * never read beside a new file.
 *
 * @param {Sent} sent
 * @param {Set<Check>} [switchedOff] checks that are off
 */
async function submit(sent, switchedOff = new Set()) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  if (shown) previous = { sent: lastSent, answer: shown };
  lastSent = sent;
  off = switchedOff;
  shown = null;
  element("problem").hidden = true;
  nameStudy(sent);
  writing.show("");
  enter("busy");
  loadPixels(sent);
  const clock = startClock([...sent.files, ...sent.priors]);
  try {
    const answer = await requestReport(sent, mine.signal, off, (text) => {
      if (running === mine) writing.show(text);
    });
    if (running === mine) await showReport(answer);
  } catch (error) {
    if (running === mine) showProblem(error);
  } finally {
    clearInterval(clock);
    if (running === mine) running = null;
  }
}

/**
 * @param {File[]} files
 * @returns {number} the interval that counts the seconds
 */
function startClock(files) {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const what = `${files.length === 1 ? "1 file" : `${files.length} files`}, ${(bytes / 1e6).toFixed(1)} MB`;
  const began = performance.now();
  const tick = () => {
    const seconds = Math.round((performance.now() - began) / 1000);
    element("busy-detail").textContent = seconds < 1 ? what : `${what}, ${seconds} s`;
  };
  tick();
  announce(`Writing the report for ${what}.`);
  element("cancel").focus();
  return window.setInterval(tick, 1000);
}

/** @param {Answer} answer */
async function showReport(answer) {
  await study.show(answer, loader);
  shown = answer;
  drafts.keep({ sent: lastSent, answer }, previous);
  room.follow(answer);
  element("notice").textContent = answer.notice;
  element("model-name").textContent = answer.model.name;
  element("model-hash").textContent = answer.model.sha256;
  enter("report");
  scrollTo(0, 0);
  element("report-title").focus({ preventScroll: true });
  const images = answer.images.length === 1 ? "1 image" : `${answer.images.length} images`;
  announce(`The draft report is ready: ${answer.words.length} words, ${images}.`);
}

/** @param {unknown} error a Problem, an AbortError, or a fault of this page */
function showProblem(error) {
  loader?.stop();
  nameStudy(null);
  enter("start");
  if (error instanceof DOMException && error.name === "AbortError") {
    announce("Cancelled.");
    element(composer.isOpen ? "write" : "choose").focus();
    return;
  }
  const problem =
    error instanceof Problem
      ? error
      : new Problem("The page could not show the report", String(error), "Reload the page and try again.");
  element("problem-title").textContent = problem.title;
  element("problem-detail").textContent = problem.detail;
  element("problem-advice").textContent = problem.advice;
  element("retry").hidden = !problem.passing;
  element("choose-other").hidden = problem.passing || composer.isOpen;
  refusing = problem.check;
  element("insist").hidden = refusing === null;
  element("problem").hidden = false;
  scrollTo(0, 0);
  element(problem.passing ? "retry" : composer.isOpen ? "dismiss" : "choose-other").focus();
}

/** What the model reads, and the notice that belongs to it, are asked for before there is any report. */
async function learnModel() {
  if (model) return;
  model = await describeModel().catch(() => null); // asking for the report will say what is wrong
  if (!model) return;
  element("notice").textContent = model.notice;
  if (model.views.includes("lateral")) element("read-views").textContent = "images, frontal and lateral,";
  composer.setModel(model);
}

async function copyText() {
  if (!shown) return;
  try {
    await navigator.clipboard.writeText(shown.text);
    announce("The report's text is copied.");
    flash("copy", "Copied");
  } catch {
    // No clipboard outside secure contexts: leave the text selected, one key press from copied.
    const plain = element("plain-text");
    /** @type {HTMLDetailsElement} */ (plain.closest("details")).open = true;
    getSelection()?.selectAllChildren(plain);
    announce("The text is selected: press Ctrl+C to copy it.");
  }
}

/**
 * @param {string} id
 * @param {string} text shown for a moment in place of the button's own
 */
function flash(id, text) {
  const label = /** @type {Text} */ (element(id).lastChild);
  const own = label.data;
  if (own === text) return;
  label.data = text;
  setTimeout(() => (label.data = own), 1600);
}

/** Save the service's answer, without the images, as the API gives it by default. */
function downloadJson() {
  if (!shown) return;
  const answer = { ...shown, images: shown.images.map((image) => ({ ...image, png: null })) };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(answer, null, 1)], { type: "application/json" }));
  link.download = "crossray-report.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // the browser reads it after the click
}

const receiver = {
  files: receive,
  sample: (/** @type {File} */ file) => submit(plain([file])),
  problem: showProblem,
};
connectThemeButton(element("theme"));
connectIntake(receiver);
element("cancel").addEventListener("click", () => running?.abort());
element("retry").addEventListener("click", () => submit(lastSent, off));
element("insist").addEventListener("click", () => {
  if (refusing) submit(lastSent, new Set([...off, refusing]));
});
element("dismiss").addEventListener("click", () => {
  element("problem").hidden = true;
  element(composer.isOpen ? "write" : "choose").focus();
});
element("copy").addEventListener("click", copyText);
element("print").addEventListener("click", () => print());
element("previous").addEventListener("click", openPrevious);
element("brand").addEventListener("click", (event) => {
  event.preventDefault(); // nothing is loaded anew, so nothing is lost
  composer.close();
  leaveStudy();
});
element("download").addEventListener("click", downloadJson);
enter("start");
const isKept = new URLSearchParams(location.search).has("study"); // opened by its address, not from here
await room.start();
const kept = isKept ? null : await drafts.restore();
if (kept) {
  previous = kept.previous;
  await openDraft(kept.shown.sent, kept.shown.answer);
}
await Promise.all([learnModel(), offerSamples(receiver)]);
