// @ts-check
/**
 * A report's text edited in place, by sections. The browser's own text fields do the typing and the
 * undoing; marks are painted over the text and never change it. What is typed is kept in this browser at
 * once, and by the service a moment later.
 */

import { call } from "./kept.js";

/** @typedef {import("./kept.js").Kept} Kept */
/** @typedef {import("./kept.js").Marked} Marked */
/** @typedef {{section: string, title: string, text: string}} Sentence */

const SECTIONS = ["findings", "impression"];
const MARKS_AFTER = 350;
const SAVE_AFTER = 900;
const EDITOR = "crossray-editor";

const made = (/** @type {string} */ tag, /** @type {Record<string, string>} */ attributes = {}, text = "") => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
};

export class Editor {
  /**
   * @param {HTMLElement} place where the fields go
   * @param {{word: (place: number | null) => void, changed: (state: string) => void, failed: (error: unknown) => void}} use
   *   word: the caret is in the draft's word of this place; changed: how the text stands, in a few words
   */
  constructor(place, { word, changed, failed }) {
    this.place = place;
    this.use = { word, changed, failed };
    /** @type {Kept | null} */
    this.study = null;
    this.base = 0;
    /** @type {Map<string, HTMLElement>} */
    this.fields = new Map();
    /** @type {Marked} */
    this.marked = { draft_words: [], by_reader: [] };
    /** The text that `marked` is of. */
    this.markedText = "";
    this.timers = { marks: 0, save: 0 };
    this.saved = "";
    this.kept = "";
    addEventListener("beforeunload", (event) => {
      if (this.isDirty && this.kept !== this.text) event.preventDefault();
    });
    document.addEventListener("visibilitychange", () => {
      if (document.hidden && this.isDirty) this.autosave(true);
    });
    document.addEventListener("selectionchange", () => this.pointed());
  }

  get isOpen() {
    return this.study !== null;
  }

  get isDirty() {
    return this.isOpen && this.text !== this.saved;
  }

  /** The report as it now stands in the fields. */
  get text() {
    const parts = [...this.fields].map(([name, field]) => [name, plain(field)]).filter(([, text]) => text);
    return parts.map(([name, text]) => `${titled(name)}: ${text}`).join(" ");
  }

  /**
   * @param {Kept} study
   * @param {string} [text] what was typed before; the current version if left out
   * @param {number} [base] the version it began from
   */
  async open(study, text, base) {
    this.study = study;
    this.base = base ?? study.version;
    this.render(bodies(study.report.text));
    this.saved = this.text;
    this.kept = this.text;
    this.marked = study.marked;
    if (text !== undefined) this.render(bodies(text));
    const first = this.fields.get("findings");
    if (first) goToEnd(first); // before anything is awaited: who types at once is not moved
    this.tell();
    await this.mark();
  }

  close() {
    this.markedText = "";
    clearTimeout(this.timers.marks);
    clearTimeout(this.timers.save);
    this.study = null;
    this.fields.clear();
    this.place.replaceChildren();
    paint("by-reader", []);
  }

  /** @param {Record<string, string>} texts by section */
  render(texts) {
    this.fields.clear();
    this.place.replaceChildren(...SECTIONS.flatMap((name) => {
      const heading = made("h2", { id: `edit-${name}` }, titled(name));
      const field = made("div", {
        class: "edit-field", role: "textbox", "aria-multiline": "true", "aria-labelledby": `edit-${name}`,
        contenteditable: "plaintext-only", spellcheck: "true", lang: "en", tabindex: "0",
      }, texts[name] ?? "");
      field.addEventListener("input", () => this.typed());
      this.fields.set(name, field);
      return [heading, field];
    }));
  }

  /** @param {string} command "undo" or "redo", of the field that was typed in last */
  step(command) {
    document.execCommand(command); // deprecated, and the one way to the browser's own undo
  }

  /** @param {Sentence} sentence inserted at the caret, or behind the section's text */
  insert({ section, text }) {
    const field = this.fields.get(section);
    if (!field) return;
    const selection = getSelection();
    if (!selection?.anchorNode || !field.contains(selection.anchorNode)) {
      goToEnd(field);
    }
    const before = plain(field).slice(0, offsetIn(field));
    const after = plain(field).slice(offsetIn(field));
    const lead = before && !/\s$/.test(before) ? " " : "";
    const tail = after && !/^\s/.test(after) ? " " : "";
    document.execCommand("insertText", false, lead + text + tail);
  }

  typed() {
    this.backUp();
    this.tell();
    clearTimeout(this.timers.marks);
    clearTimeout(this.timers.save);
    this.timers.marks = window.setTimeout(() => this.mark(), MARKS_AFTER);
    this.timers.save = window.setTimeout(() => this.autosave(), SAVE_AFTER);
  }

  /** In this browser, at once: no failing network or full disk loses a word. */
  backUp() {
    if (!this.study) return;
    try {
      localStorage.setItem(backUpKey(this.study.id), JSON.stringify({ base: this.base, text: this.text, at: new Date().toISOString() }));
    } catch {
      // no storage here: the service keeps it a moment later, and leaving the page asks
    }
  }

  /** @param {boolean} [leaving] the page may go away before the answer comes */
  async autosave(leaving = false) {
    const { study, text } = this;
    if (!study || text === this.kept) return;
    try {
      const path = `v1/studies/${study.id}/autosave?editor=${editorName()}`;
      await call(path, { method: "PUT", body: { text, base: this.base }, keepalive: leaving });
      this.kept = text;
      this.tell();
    } catch (error) {
      this.use.changed("Not kept by the server yet");
      this.use.failed(error);
    }
  }

  /** Which words are the draft's. */
  async mark() {
    const { study, text } = this;
    if (!study) return;
    try {
      const marked = await call(`v1/studies/${study.id}/marks`, { method: "POST", body: { text } });
      if (text !== this.text) return; // typed on meanwhile
      this.marked = marked;
      this.markedText = text;
      this.pointed();
      paint("by-reader", marked.by_reader.map(([start, end]) => this.range(start, end)));
    } catch (error) {
      this.use.failed(error);
    }
  }

  /**
   * Save as the report's next version.
   *
   * @returns {Promise<import("./kept.js").Version>}
   */
  async save() {
    const { study, text } = this;
    if (!study) throw new Error("no study is being edited");
    clearTimeout(this.timers.save);
    const version = await call(`v1/studies/${study.id}/report`, { method: "PUT", body: { text }, version: this.base });
    this.saved = text;
    this.kept = text;
    await this.forget();
    return version;
  }

  /** What was typed is saved, or not wanted any more. */
  async forget() {
    if (!this.study) return;
    const { id } = this.study;
    try {
      localStorage.removeItem(backUpKey(id));
    } catch {
      // no storage here: nothing to remove
    }
    await call(`v1/studies/${id}/autosave?editor=${editorName()}`, { method: "DELETE" });
  }

  tell() {
    if (!this.isDirty) this.use.changed("No unsaved changes");
    else this.use.changed(this.kept === this.text ? "Typed text is kept, not saved as a version" : "Typing …");
  }

  /** The map of the draft's word at the caret. */
  pointed() {
    if (!this.study || this.markedText !== this.text) return; // else places are of another text
    const at = this.caret();
    const word = at === null ? undefined : this.marked.draft_words.find(([start, end]) => start <= at && at <= end);
    this.use.word(word ? word[2] : null);
  }

  /** @returns {number | null} where the caret is in the report's text */
  caret() {
    const anchor = getSelection()?.anchorNode ?? null;
    for (const [name, field] of this.fields) {
      if (anchor && field.contains(anchor)) return this.start(name) + offsetIn(field);
    }
    return null;
  }

  /** @param {string} wanted @returns {number} where a section's body begins in the report's text */
  start(wanted) {
    let at = 0;
    for (const [name, field] of this.fields) {
      const text = plain(field);
      if (name === wanted) return at + name.length + 2 - leading(field);
      if (text) at += name.length + 2 + text.length + 1;
    }
    return at;
  }

  /** @param {number} start @param {number} end @returns {Range} of characters of the report's text */
  range(start, end) {
    const range = new Range();
    for (const [name, field] of this.fields) {
      const from = this.start(name);
      const length = field.textContent?.length ?? 0;
      if (start < from || start > from + length) continue;
      const [first, offset] = nodeAt(field, start - from);
      const [last, behind] = nodeAt(field, Math.min(end - from, length));
      range.setStart(first, offset);
      range.setEnd(last, behind);
    }
    return range;
  }
}

/** @returns {string} distinguishes this browser's editor from others of the same person */
export function editorName() {
  try {
    const known = localStorage.getItem(EDITOR) ?? crypto.randomUUID();
    localStorage.setItem(EDITOR, known);
    return known;
  } catch {
    return "";
  }
}

/**
 * @param {string} study
 * @returns {import("./kept.js").Typed | null} what was typed in this browser and not saved
 */
export function backedUp(study) {
  try {
    const text = localStorage.getItem(backUpKey(study));
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {string} study */
function backUpKey(study) {
  return `crossray-typed-${study}`;
}

/** The caret behind the last letter. @param {HTMLElement} field */
function goToEnd(field) {
  field.focus();
  getSelection()?.selectAllChildren(field);
  getSelection()?.collapseToEnd();
}

/** @param {HTMLElement} field @returns {string} without space around it */
function plain(field) {
  return (field.textContent ?? "").trim();
}

/** @param {HTMLElement} field @returns {number} letters of space before its text */
function leading(field) {
  const text = field.textContent ?? "";
  return text.length - text.trimStart().length;
}

/** @param {HTMLElement} field @returns {number} letters before the caret */
function offsetIn(field) {
  const selection = getSelection();
  if (!selection?.rangeCount) return 0;
  const range = selection.getRangeAt(0).cloneRange();
  range.setStart(field, 0);
  return range.toString().length;
}

/** @param {HTMLElement} field @param {number} offset @returns {[Node, number]} */
function nodeAt(field, offset) {
  const walker = document.createTreeWalker(field, NodeFilter.SHOW_TEXT);
  let left = offset;
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const { length } = /** @type {Text} */ (node);
    if (left <= length) return [node, left];
    left -= length;
  }
  return [field, field.childNodes.length];
}

/** @param {string} name @param {Range[]} ranges painted over the text, where the browser can */
function paint(name, ranges) {
  if (!("highlights" in CSS)) return;
  if (ranges.length) CSS.highlights.set(name, new Highlight(...ranges));
  else CSS.highlights.delete(name);
}

/** @param {string} name */
function titled(name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/** @param {string} text a report's @returns {Record<string, string>} by section */
function bodies(text) {
  const found = /\bimpression\s*:/i.exec(text);
  const findings = (found ? text.slice(0, found.index) : text).replace(/^\s*findings\s*:\s*/i, "");
  const impression = found ? text.slice(found.index + found[0].length) : "";
  return { findings: findings.trim(), impression: impression.trim() };
}
