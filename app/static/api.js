// @ts-check
/** The service as the page sees it: one study in, one checked answer or one problem in words out. */

/**
 * @typedef {{left: number, top: number, width: number, height: number}} Extent
 *   rectangle in original picture pixels which the whole grid of patches covers
 * @typedef {{width: number, height: number, view: string | null, rows: number, columns: number,
 *   extent: Extent, png: string | null}} Picture
 * @typedef {{text: string, start: number, end: number, probability: number,
 *   heatmap: {scale: number, data: string}}} Word
 * @typedef {{name: string, text: string, start: number, end: number}} Section
 * @typedef {{text: string, sections: Section[], words: Word[], images: Picture[],
 *   model: {name: string, sha256: string}, notice: string}} Answer
 * @typedef {{file: string, title: string}} Sample
 */

/** Something went wrong: what, in the service's words, and the way out. */
export class Problem extends Error {
  /**
   * @param {string} title
   * @param {string} detail
   * @param {string} advice
   * @param {boolean} [passing] the same files may succeed later
   */
  constructor(title, detail, advice, passing = false) {
    super(`${title}: ${detail}`);
    this.name = "Problem";
    this.title = title;
    this.detail = detail;
    this.advice = advice;
    this.passing = passing;
  }
}

/** @type {Record<number, string>} */
const ADVICE = {
  413: "Send a smaller file, or fewer views at a time.",
  415: "CrossRay reads DICOM, PNG and JPEG files. Export the radiograph as one of these and send it again.",
  422: "Check that the file opens in another viewer and holds one greyscale chest radiograph, then send it again.",
  429: "Wait a moment, then try again.",
  503: "The server is at work on other studies. Wait a moment, then try again.",
};

/**
 * Send the views of one study and wait for the report.
 *
 * @param {File[]} files one or more views of the same study
 * @param {AbortSignal} signal aborting it rejects with an AbortError
 * @returns {Promise<Answer>}
 * @throws {Problem} the service refused, could not be reached, or answered nonsense
 */
export async function requestReport(files, signal) {
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  let response;
  try {
    response = await fetch("v1/reports?pixels=true", { method: "POST", body: form, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    throw new Problem(
      "The server did not answer",
      "The connection failed before a report came back.",
      "Check that CrossRay is still running and that the file can still be read, then try again.",
      true,
    );
  }
  if (!response.ok) throw await problemFrom(response);
  return checked(await response.json());
}

/**
 * @param {Response} response
 * @returns {Promise<Problem>}
 */
async function problemFrom(response) {
  /** @type {{title?: unknown, detail?: unknown}} */
  let body = {};
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    body = await response.json();
  }
  const title = typeof body.title === "string" ? body.title : `The server answered ${response.status}`;
  const detail = typeof body.detail === "string" ? body.detail : "It gave no further reason.";
  return new Problem(title, detail, adviceFor(response), response.status === 429 || response.status >= 500);
}

/**
 * @param {Response} response
 * @returns {string}
 */
function adviceFor(response) {
  const seconds = Number(response.headers.get("retry-after"));
  if (seconds > 0) return `Try again in ${seconds} seconds.`;
  return (
    ADVICE[response.status] ??
    "Try again. If it happens again, tell whoever runs this server the words above."
  );
}

/**
 * Hold an answer to what the page builds on, so that a wrong one says so instead of drawing nonsense.
 *
 * @param {any} answer
 * @returns {Answer}
 */
export function checked(answer) {
  const pictures = answer?.images;
  if (!Array.isArray(pictures) || pictures.length === 0) throw unexpected("it holds no images");
  if (!Array.isArray(answer.words)) throw unexpected("it holds no words");
  const patches = pictures.reduce((sum, picture) => sum + picture.rows * picture.columns, 0);
  for (const word of answer.words) {
    const bytes = atob(word.heatmap.data).length;
    if (bytes !== patches) {
      throw unexpected(`a heatmap holds ${bytes} patches where the pictures have ${patches}`);
    }
  }
  if (pictures.some((picture) => !picture.png)) throw unexpected("a picture has no pixels");
  return inUtf16(answer);
}

/**
 * The service counts characters, JavaScript counts UTF-16 units: they differ after a character beyond
 * the basic plane.
 *
 * @param {Answer} answer
 * @returns {Answer} with spans that `slice` understands
 */
function inUtf16(answer) {
  const units = [0];
  for (const character of answer.text) units.push(units[units.length - 1] + character.length);
  const moved = (/** @type {any} */ span) => ({ ...span, start: units[span.start], end: units[span.end] });
  return { ...answer, words: answer.words.map(moved), sections: answer.sections.map(moved) };
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

/** @returns {Promise<{notice: string} | null>} the model in use; null while it is still being loaded */
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
