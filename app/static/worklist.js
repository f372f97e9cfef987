// @ts-check
/** The worklist: filters, the rows, and what is in work. Its address holds the filters. */

import { Problem } from "./api.js";
import { call, findingTitle, session, shownTime } from "./kept.js";
import { VirtualRows } from "./rows.js";
import { connectThemeButton } from "./theme.js";

/** @typedef {import("./kept.js").Summary} Summary */
/** @typedef {import("./kept.js").Page} Page */

const PAGE = 500;
/** Milliseconds after which the service is asked again once it has refused. */
const LATER = 8000;
const FINDINGS = [
  "pneumothorax", "pleural_effusion", "opacity", "atelectasis", "edema", "cardiomegaly", "nodule", "rib_fracture",
  "hyperinflation", "hiatal_hernia", "endotracheal_tube", "central_line", "pacemaker",
];
/** Where the study page finds what comes before and after. */
const KEY = "crossray.worklist";

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const form = /** @type {HTMLFormElement} */ (element("filters"));

/** @type {Summary[]} those loaded, from the first on */
let studies = [];
/** @type {string | null} where the next page begins */
let after = null;
let total = 0;
let top = 1;
/** @type {AbortController | null} */
let loading = null;
/** @type {string | null} when the store last changed, as far as the rows know */
let changed = null;
/** @type {EventSource | null} */
let source = null;

const rows = new VirtualRows(
  { grid: element("grid"), rows: element("rows") },
  { fill, need, open, moved: () => showPlace() },
);

/** @returns {URLSearchParams} the filters as the service takes them */
function query() {
  const data = new FormData(form);
  const [sort, order] = String(data.get("sort")).split(":");
  const asked = new URLSearchParams({ sort, order });
  for (const name of ["status", "finding", "search"]) {
    const value = String(data.get(name) ?? "").trim();
    if (value) asked.set(name, value);
  }
  if (data.get("flagged")) asked.set("flagged", "true");
  return asked;
}

/** Filters of the page's address into the form. */
function restore() {
  const given = new URLSearchParams(location.search);
  element("finding").append(...FINDINGS.map((name) => new Option(name.replaceAll("_", " "), name)));
  for (const name of ["finding", "search", "sort"]) {
    const field = /** @type {HTMLSelectElement} */ (form.elements.namedItem(name));
    const value = given.get(name);
    if (value !== null) field.value = value;
    if (field.value === "" && name === "sort") field.value = "urgency:descending";
  }
  const status = form.querySelector(`input[name=status][value="${CSS.escape(given.get("status") ?? "")}"]`);
  if (status instanceof HTMLInputElement) status.checked = true;
  /** @type {HTMLInputElement} */ (element("flagged")).checked = given.get("flagged") === "true";
}

/** The form's filters into the page's address, so that going back or reloading keeps them. */
function remember() {
  const data = new FormData(form);
  const kept = new URLSearchParams();
  for (const [name, value] of data) if (String(value)) kept.set(name, name === "flagged" ? "true" : String(value));
  history.replaceState(null, "", `?${kept}`);
}

/**
 * Ask for the first page, or for as many as were loaded, in place of what is shown.
 *
 * @param {boolean} [stay] keep the place in the list
 */
async function reload(stay = false) {
  loading?.abort();
  const mine = new AbortController();
  loading = mine;
  const wanted = stay ? Math.max(1, Math.min(studies.length, rows.visible.last + PAGE)) : 1;
  const selected = stay ? studies[rows.current]?.id : null;
  try {
    /** @type {Summary[]} */
    const found = [];
    /** @type {Page} */
    let page;
    do {
      page = await fetchPage(found.length ? after : null, mine.signal);
      found.push(...page.studies);
      after = page.after;
    } while (found.length < wanted && after);
    studies = found;
    showPage(page, stay);
    if (!stay) element("grid").scrollTop = 0;
    rows.current = Math.max(0, selected ? studies.findIndex(({ id }) => id === selected) : 0);
    rows.show(studies, total);
    showPlace();
  } catch (error) {
    if (!mine.signal.aborted) showProblem(error);
  } finally {
    if (loading === mine) loading = null;
  }
}

/**
 * @param {string | null} from
 * @param {AbortSignal} signal
 * @returns {Promise<Page>}
 */
function fetchPage(from, signal) {
  const asked = query();
  asked.set("limit", String(PAGE));
  if (from) asked.set("after", from);
  return call(`v1/studies?${asked}`, { signal });
}

/**
 * @param {Page} page
 * @param {boolean} quiet
 */
function showPage({ counts, total: found }, quiet) {
  total = found;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  for (const [name, count] of Object.entries({ all, ...counts })) {
    element(`count-${name}`).textContent = count.toLocaleString("en");
  }
  if (studies.length && query().get("sort") === "urgency") top = Math.max(top, studies[0].urgency);
  element("none").hidden = found > 0;
  element("problem").hidden = true;
  if (!quiet) element("status").textContent = `${found.toLocaleString("en")} ${found === 1 ? "study" : "studies"}.`;
}

/** Load further pages until the rows in view are there. @param {number} _ @param {number} last */
async function need(_, last) {
  if (loading || !after || last < studies.length) return;
  const mine = new AbortController();
  loading = mine;
  try {
    while (after && studies.length <= rows.visible.last) {
      const page = await fetchPage(after, mine.signal);
      studies.push(...page.studies);
      after = page.after;
    }
    if (!after) total = studies.length;
    if (loading === mine) loading = null;
    rows.show(studies, total);
  } catch (error) {
    if (!mine.signal.aborted) showProblem(error);
  } finally {
    if (loading === mine) loading = null;
  }
}

/**
 * @param {HTMLElement} row
 * @param {Summary | null} study
 * @param {number} index
 */
function fill(row, study, index) {
  row.classList.toggle("waiting", study === null);
  if (!study) {
    row.replaceChildren(cell("", `${index + 1} …`), cell(), cell(), cell(), cell(), cell());
    return;
  }
  const checks = study.flags + study.warnings + (study.withheld ? 1 : 0);
  row.replaceChildren(
    urgencyCell(study), nameCell(study), findingsCell(study),
    cell("checks", checks ? `${checks} to check` : ""), stateCell(study), cell("when", shownTime(study.arrived)),
  );
}

/** @param {Summary} study */
function urgencyCell({ urgency }) {
  const made = cell("urgency");
  const bar = document.createElement("i");
  bar.style.setProperty("--level", String(Math.min(1, urgency / Math.max(top, urgency))));
  made.append(bar, urgency.toFixed(1));
  return made;
}

/** @param {Summary} study */
function nameCell(study) {
  const made = cell("name");
  const link = document.createElement("a");
  link.href = address(study);
  link.tabIndex = -1;
  link.textContent = study.accession ?? study.name;
  const more = document.createElement("small");
  const patient = [study.patient_name, study.patient_id].filter(Boolean).join(", ");
  more.textContent = patient || (study.accession && study.accession !== study.name ? study.name : "");
  made.append(link);
  if (more.textContent) made.append(more);
  made.title = [study.accession, study.name, patient].filter(Boolean).join("\n");
  return made;
}

/** @param {Summary} study */
function findingsCell({ findings, impression }) {
  const made = cell("found");
  const titles = new Map();
  for (const found of findings) titles.set(findingTitle(found), found.probability);
  [...titles].forEach(([title, probability], place) => {
    made.append(place ? " · " : "", title);
    if (probability === null) return;
    const value = document.createElement("b");
    value.textContent = ` ${Math.round(probability * 100)} %`;
    made.append(value);
  });
  if (!titles.size) made.textContent = impression || "None asserted";
  made.title = impression;
  return made;
}

/** @param {Summary} study */
function stateCell({ status, author }) {
  const titles = { draft: author === "model" ? "Draft" : "Edited", reviewed: "Reviewed", signed: "Signed", rejected: "Rejected" };
  const made = cell("state", titles[status]);
  made.dataset.status = status;
  made.title = `by ${author}`;
  return made;
}

/**
 * @param {string} [className]
 * @param {string} [text]
 * @returns {HTMLElement}
 */
function cell(className = "", text = "") {
  const made = document.createElement("span");
  made.className = className;
  made.setAttribute("role", "gridcell");
  made.textContent = text;
  return made;
}

/** @param {Summary} study */
function address({ id }) {
  return `./?study=${id}`;
}

/** @param {Summary} study */
function open(study) {
  const around = { ids: studies.map(({ id }) => id), back: location.search };
  sessionStorage.setItem(KEY, JSON.stringify(around));
  location.assign(address(study));
}

function showPlace() {
  element("place").textContent = total ? `Study ${rows.current + 1} of ${total.toLocaleString("en")}.` : "";
}

/** @param {unknown} error */
function showProblem(error) {
  if (!(error instanceof Problem)) throw error;
  element("problem-title").textContent = error.title;
  element("problem-detail").textContent = error.detail;
  element("problem-advice").textContent = error.advice;
  element("problem").hidden = false;
}

/** What is in work, reported as it changes while the page is seen: a browser opens few connections to one server. */
function watch() {
  if (document.hidden) {
    source?.close();
    source = null;
  }
  if (document.hidden || source) return;
  source = new EventSource("v1/progress");
  source.onmessage = ({ data }) => follow(JSON.parse(data)).catch(showProblem);
  source.onerror = () => {
    if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source = null;
    call("v1/progress").then(follow).catch(showProblem).finally(() => setTimeout(watch, LATER));
  };
}

/** @param {import("./kept.js").Progress} progress */
async function follow(progress) {
  showProgress(progress);
  if (progress.changed === changed) return;
  const first = changed === null;
  changed = progress.changed;
  if (!first && !loading) await reload(true);
}

/** @param {import("./kept.js").Progress} progress */
function showProgress({ batches, reading, jobs }) {
  const running = batches.filter(({ ended }) => !ended);
  const items = running.map(({ total: all, done, without_report: without }) => {
    const item = document.createElement("li");
    const bar = document.createElement("progress");
    bar.max = Math.max(1, all);
    bar.value = done;
    bar.setAttribute("aria-label", "Studies of the batch that are done");
    const lost = without ? `, ${without.toLocaleString("en")} without a report` : "";
    item.append(`Batch: ${done.toLocaleString("en")} of ${all.toLocaleString("en")} studies${lost}`, bar);
    return item;
  });
  if (reading) {
    const item = document.createElement("li");
    item.textContent = `${reading} ${reading === 1 ? "study is" : "studies are"} being read.`;
    items.push(item);
  }
  if (jobs.queued) {
    const item = document.createElement("li");
    item.textContent = `${jobs.queued.toLocaleString("en")} ${jobs.queued === 1 ? "study" : "studies"} of jobs in the queue.`;
    items.push(item);
  }
  element("progress").replaceChildren(...items);
  element("progress").hidden = items.length === 0;
}

let typing = 0;
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = window.setTimeout(() => {
    remember();
    reload();
  }, event.target === element("search") ? 250 : 0);
});
connectThemeButton(element("theme"));
restore();
await begin();

async function begin() {
  try {
    const { accounts, name } = await session();
    if (accounts === "oidc" && name === null) {
      location.assign(`sign-in?next=${encodeURIComponent(`worklist.html${location.search}`)}`);
      return;
    }
    element("account").textContent = accounts === "none" ? "" : (name ?? "");
  } catch (error) {
    showProblem(error);
  }
  await reload();
  element("grid").focus({ preventScroll: true });
  watch();
  document.addEventListener("visibilitychange", watch);
}
