// @ts-check
/** The studies that a service keeps, as the pages see them: one call, its answer or a Problem. */

import { pageHeaders, Problem, problemFrom, setToken } from "./api.js";

/**
 * @typedef {{name: string, sides: string[], zone: string | null, certainty: string, probability: number | null}} Found
 * @typedef {"draft" | "reviewed" | "signed" | "rejected"} Status
 * @typedef {{id: string, name: string, accession: string | null, patient_name: string | null,
 *   patient_id: string | null, arrived: string, updated: string, status: Status, version: number,
 *   author: string, urgency: number, flags: number, warnings: number, withheld: boolean, images: number,
 *   impression: string, findings: Found[]}} Summary
 * @typedef {{studies: Summary[], after: string | null, total: number, counts: Record<Status, number>}} Page
 * @typedef {{number: number, kind: string, status: Status, text: string, author: string, at: string,
 *   comment: string, disposition: string, sha256: string}} Version
 * @typedef {{draft_words: [number, number, number][], by_reader: [number, number][]}} Marked
 * @typedef {Summary & {report: import("./api.js").Answer, marked: Marked, draft_text: string,
 *   files: {number: number, media_type: string, kept: boolean}[], versions: Version[],
 *   sent?: import("./api.js").Sent}} Kept sent: its files, once they are fetched
 * @typedef {{base: number, text: string, at: string}} Typed
 * @typedef {{id: string, total: number, done: number, without_report: number, ended: boolean}} Batch
 * @typedef {{batches: Batch[], reading: number, jobs: {queued: number, running: number}, changed: string | null}} Progress
 * @typedef {{keeps: boolean, accounts: "none" | "proxy" | "oidc", name: string | null, roles: string[],
 *   csrf: string | null, expires: string | null}} Session
 */

/** Somebody else has saved a newer version. */
export class Conflict extends Problem {
  /**
   * @param {{title: string, detail: string, current: Version, yours: string}} body
   */
  constructor({ title, detail, current, yours }) {
    super(title, detail, "Compare both texts, then save again.");
    this.current = current;
    this.yours = yours;
  }
}

/** Nobody is signed in, or no longer. */
export class SignedOut extends Problem {}

/** @type {Promise<Session> | null} */
let asked = null;

/**
 * @param {boolean} [anew] ask the service again
 * @returns {Promise<Session>} who is at the page, and whether studies are kept
 */
export function session(anew = false) {
  if (!asked || anew) {
    asked = call("v1/session").then((known) => {
      setToken(known.csrf);
      return known;
    });
  }
  return asked;
}

/**
 * @param {string} path below the page
 * @param {{method?: string, body?: unknown, version?: number, signal?: AbortSignal, keepalive?: boolean}} [options]
 *   version: that was read, for a change
 * @returns {Promise<any>} the answer's JSON; null of an empty one
 * @throws {Problem} a Conflict where somebody was quicker, SignedOut where nobody is signed in
 */
export async function call(path, { method = "GET", body, version, signal, keepalive } = {}) {
  /** @type {Record<string, string>} */
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (version !== undefined) headers["If-Match"] = `"${version}"`;
  if (method !== "GET") {
    await session(false);
    Object.assign(headers, pageHeaders());
  }
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, keepalive });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(
      "The server did not answer",
      "The connection failed before an answer came back. What you typed is still here.",
      "Check that CrossRay is still running, then try again.",
      { passing: true },
    );
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  if (response.status === 409) {
    const copy = await response.clone().json();
    if (copy.type === "/problems/conflict") throw new Conflict(copy);
  }
  const problem = await problemFrom(response);
  if (response.status !== 401) throw problem;
  asked = null; // whoever signs in again has another token
  throw new SignedOut(problem.title, problem.detail, "Sign in, in another tab if text is unsaved here, then go on.");
}

/**
 * @param {string} iso
 * @returns {string} such as "27 Nov, 14:05", in the reader's time zone
 */
export function shownTime(iso) {
  const at = new Date(iso);
  const sameYear = at.getFullYear() === new Date().getFullYear();
  /** @type {Intl.DateTimeFormatOptions} */
  const day = { day: "numeric", month: "short", ...(sameYear ? {} : { year: "numeric" }) };
  return `${at.toLocaleDateString("en-GB", day)}, ${at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}`;
}

/**
 * @param {Found} found
 * @returns {string} such as "Possible pleural effusion, left lower"
 */
export function findingTitle({ name, sides, zone, certainty }) {
  const words = name.replaceAll("_", " ");
  const named = certainty === "possible" ? `possible ${words}` : words;
  const place = [sides.length === 2 ? "both sides" : sides[0], zone].filter(Boolean).join(" ");
  const title = named.charAt(0).toUpperCase() + named.slice(1);
  return place ? `${title}, ${place}` : title;
}
