// @ts-check
/** The ways a study comes in: dropped anywhere, chosen, or picked from the samples. Sends nothing. */

import { fetchSample, listSamples, Problem, sampleAddress } from "./api.js";

/** @typedef {import("./api.js").Sample} Sample */
/**
 * @typedef {{files: (files: File[]) => void, problem: (problem: Problem) => void}} Receiver
 */

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {Receiver} receiver */
export function connectIntake(receiver) {
  const input = /** @type {HTMLInputElement} */ (element("files"));
  for (const id of ["choose", "choose-other", "open-study"]) {
    element(id).addEventListener("click", () => input.click());
  }
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // so that choosing the same file again counts as a change
    if (files.length) receiver.files(files);
  });
  connectDrop(receiver);
}

/** @param {Receiver} receiver */
function connectDrop(receiver) {
  const hasFiles = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
  const mark = (/** @type {boolean} */ over) => document.body.classList.toggle("dropping", over);
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser opens the file in place of the page
    mark(true);
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(false);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) receiver.files(files);
  });
}

/**
 * Offer the samples that ship with the page; without any, offer nothing.
 *
 * @param {Receiver} receiver
 */
export async function offerSamples(receiver) {
  const samples = await listSamples();
  element("samples").hidden = samples.length === 0;
  element("sample-list").replaceChildren(...samples.map((sample) => offered(sample, receiver)));
}

/**
 * @param {Sample} sample
 * @param {Receiver} receiver
 * @returns {HTMLLIElement}
 */
function offered(sample, receiver) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "sample";
  if (/\.(png|jpe?g)$/i.test(sample.file)) {
    const picture = document.createElement("img");
    picture.src = sampleAddress(sample).href;
    picture.alt = "";
    picture.loading = "lazy";
    button.append(picture);
  }
  const title = document.createElement("span");
  title.textContent = sample.title;
  button.append(title);
  button.addEventListener("click", () => pick(sample, receiver));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

/**
 * @param {Sample} sample
 * @param {Receiver} receiver
 */
async function pick(sample, receiver) {
  try {
    receiver.files([await fetchSample(sample)]);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    receiver.problem(error);
  }
}
