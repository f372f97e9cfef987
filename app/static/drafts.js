// @ts-check
/**
 * The draft on the page and the one before it, kept in this browser so that a reload loses neither.
 *
 * Another tab does not see them, and what is older than half a day is removed when the page is next opened.
 */

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Sent} Sent */
/** @typedef {{sent: Sent, answer: Answer}} Draft */
/** @typedef {{shown: Draft, previous: Draft | null, at: number}} Kept at: milliseconds since 1970 */

const NAME = "crossray";
const STORE = "drafts";
const TAB = "crossray-tab";
const OPEN = "crossray-draft-open";
const LONGEST = 12 * 60 * 60 * 1000;

export class Drafts {
  constructor() {
    /** Whether a reload would lose something. */
    this.isAtRisk = false;
    addEventListener("beforeunload", (event) => {
      if (this.isAtRisk) event.preventDefault();
    });
  }

  /**
   * @param {Draft} shown
   * @param {Draft | null} previous
   */
  async keep(shown, previous) {
    try {
      sessionStorage.setItem(OPEN, "yes");
      const store = await opened("readwrite");
      await settled(store.put({ shown, previous, at: Date.now() }, tab()));
      this.isAtRisk = false;
    } catch {
      this.isAtRisk = true; // no storage here, or it is full: the browser asks before it leaves
    }
  }

  /** The page goes back to its start; the draft stays at hand, but a reload does not open it. */
  close() {
    try {
      sessionStorage.removeItem(OPEN);
    } catch {
      // no storage: nothing is opened anyway
    }
  }

  /** @returns {Promise<Kept | null>} what was on the page before it was loaded again */
  async restore() {
    try {
      const store = await opened("readwrite");
      await removeOld(store);
      if (sessionStorage.getItem(OPEN) !== "yes") return null;
      return (await settled(store.get(tab()))) ?? null;
    } catch {
      return null;
    }
  }
}

/** @returns {string} of this tab, as long as it is open */
function tab() {
  const known = sessionStorage.getItem(TAB) ?? crypto.getRandomValues(new Uint32Array(4)).join("-");
  sessionStorage.setItem(TAB, known);
  return known;
}

/**
 * @param {IDBTransactionMode} mode
 * @returns {Promise<IDBObjectStore>}
 */
async function opened(mode) {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE);
  const database = await settled(request);
  return database.transaction(STORE, mode).objectStore(STORE);
}

/** @param {IDBObjectStore} store */
async function removeOld(store) {
  for (const key of await settled(store.getAllKeys())) {
    const kept = await settled(store.get(key));
    if (Date.now() - kept.at > LONGEST) store.delete(key);
  }
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
