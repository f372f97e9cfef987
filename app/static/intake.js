// @ts-check
/** The ways images come in: dropped anywhere, chosen, or picked from the samples. Sends nothing. */

import { fetchSample, listSamples, Problem, sampleAddress } from "./api.js";

/** @typedef {import("./api.js").Sample} Sample */
/**
 * @typedef {{files: (files: File[], earlier: boolean) => void, sample: (file: File) => void,
 *   problem: (problem: Problem) => void}} Receiver earlier: of an earlier study
 */

/**
 * @param {string} id
 * @returns {HTMLElement}
 */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @param {Receiver} receiver */
export function connectIntake(receiver) {
  connectChooser("files", ["choose", "choose-other", "open-study", "add-own"], (files) => receiver.files(files, false));
  connectChooser("earlier-files", ["add-earlier"], (files) => receiver.files(files, true));
  connectDrop(receiver);
}

/**
 * @param {string} id of the file input
 * @param {string[]} buttons that open it
 * @param {(files: File[]) => void} chosen
 */
function connectChooser(id, buttons, chosen) {
  const input = /** @type {HTMLInputElement} */ (element(id));
  for (const button of buttons) element(button).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    const files = [...(input.files ?? [])];
    input.value = ""; // so that choosing the same file again counts as a change
    if (files.length) chosen(files);
  });
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
    const earlier = event.target instanceof Element && event.target.closest("#earlier") !== null;
    if (files.length) receiver.files(files, earlier);
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
    const image = document.createElement("img");
    image.src = sampleAddress(sample).href;
    image.alt = "";
    image.loading = "lazy";
    button.append(image);
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
    receiver.sample(await fetchSample(sample));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    receiver.problem(error);
  }
}
