// @ts-check
/**
 * The study page where studies are kept: opens one by its address, and edits, signs and exports it.
 * Where nothing is kept this does nothing.
 */

import { Problem } from "./api.js";
import { askAddendum, askConflict, askRejection, askSignature, askTyped, showVersions } from "./dialogs.js";
import { backedUp, Editor, editorName } from "./editor.js";
import { call, Conflict, session, shownTime, SignedOut } from "./kept.js";
import { connectPaper } from "./paper.js";
import { fetchKept, filesOf, markReaders } from "./stored.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Sent} Sent */
/** @typedef {import("./kept.js").Kept} Kept */

const AROUND = "crossray.worklist";
const STATUSES = { draft: "Draft", reviewed: "Reviewed", signed: "Signed", rejected: "Rejected" };

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class Room {
  /**
   * @param {{open: (sent: Sent, answer: Answer) => Promise<void>, showAgain: (answer: Answer) => Promise<void>, showWord: (index: number | null) => void,
   *   editing: (editor: Editor | null, templates: import("./editor.js").Sentence[]) => void, announce: (message: string) => void, failed: (error: unknown) => void}} page
   *   showAgain: another text of the study that is open; showWord: the map of this word of the shown answer;
   *   editing: the report is, or is no more; templates of sentences about a region
   */
  constructor(page) {
    this.page = page;
    /** @type {import("./kept.js").Session | null} */
    this.session = null;
    /** @type {Kept | null} */
    this.study = null;
    this.opening = false;
    this.editor = new Editor(element("edit-text"), {
      word: (place) => page.showWord(place === null ? null : this.wordOf(place)),
      changed: (state) => (element("edit-state").textContent = state),
      failed: (error) => this.failed(error),
    });
    this.connect();
  }

  connect() {
    /** @type {Record<string, () => Promise<void> | void>} */
    const actions = {
      "room-edit": () => this.edit(), "room-review": () => this.change("review", {}),
      "room-sign": () => this.sign(), "room-reject": () => this.reject(), "room-amend": () => this.amend(),
      "room-versions": () => { if (this.study) return showVersions(this.study); },
      "edit-save": () => this.save(), "edit-close": () => this.closeEditor(),
      "edit-undo": () => this.editor.step("undo"), "edit-redo": () => this.editor.step("redo"),
      "room-previous": () => this.go(-1), "room-next": () => this.go(1),
      "room-sign-out": async () => {
        await call("v1/session", { method: "DELETE" });
        location.reload();
      },
    };
    for (const [id, action] of Object.entries(actions)) {
      element(id).addEventListener("click", () => this.run(action));
    }
    const insert = /** @type {HTMLSelectElement} */ (element("edit-insert"));
    insert.addEventListener("change", () => {
      const sentence = this.sentences[Number(insert.value)];
      insert.value = "";
      if (sentence) this.editor.insert(sentence);
    });
    connectPaper(/** @type {HTMLSelectElement} */ (element("room-paper")), () => {
      if (this.study) this.linkExports(this.study.id);
    });
    addEventListener("keydown", (event) => {
      if (this.editor.isOpen && (event.ctrlKey || event.metaKey) && event.key === "s") {
        event.preventDefault();
        this.run(() => this.save());
      }
      if (event.altKey && !event.ctrlKey && (event.key === "PageDown" || event.key === "PageUp")) {
        event.preventDefault();
        this.run(() => this.go(event.key === "PageDown" ? 1 : -1));
      }
    });
  }

  /** @type {import("./editor.js").Sentence[]} */
  sentences = [];

  /** @returns {Promise<boolean>} whether a study was opened by the page's address */
  async start() {
    this.session = await session().catch(() => null);
    if (!this.session?.keeps) return false;
    element("room-worklist").hidden = false;
    element("room-account").hidden = this.session.accounts !== "oidc" || !this.session.name;
    element("room-sign-out").title = this.session.name ?? "";
    const wanted = new URLSearchParams(location.search).get("study");
    if (!wanted) return false;
    return this.open(wanted);
  }

  /**
   * @param {string} id
   * @returns {Promise<boolean>} whether it could be opened
   */
  async open(id) {
    if (!/^[0-9a-f]{32}$/.test(id)) return false;
    this.opening = true;
    try {
      this.study = await fetchKept(id);
      await this.page.open(await filesOf(this.study), this.study.report);
      this.show();
      await this.offerTyped();
      return true;
    } catch (error) {
      this.study = null;
      this.page.failed(error);
      return false;
    } finally {
      this.opening = false;
    }
  }

  /** The page shows another answer: an upload's, which may be kept, or none. @param {Answer | null} answer */
  async follow(answer) {
    if (this.opening) return;
    const id = answer?.study ?? null;
    if (id === null || id !== this.study?.id) {
      this.study = null;
      this.editor.close();
      element("room").hidden = true;
      element("report-title").textContent = "Draft report";
      element("words").hidden = false;
      history.replaceState(null, "", location.pathname);
    }
    if (id === null || !this.session?.keeps || id === this.study?.id) return;
    await this.run(async () => {
      const study = await fetchKept(id);
      if (study.version > 1) return void (await this.open(id)); // it was here before, and people worked on it
      this.study = study;
      this.show();
    });
  }

  /** Status, who did what, and what may be done. */
  show() {
    const { study } = this;
    if (!study) return;
    history.replaceState(null, "", `?study=${study.id}`);
    const { status, versions } = study;
    const last = versions[versions.length - 1];
    element("room").hidden = false;
    element("room").dataset.status = status;
    element("room-status").textContent = STATUSES[status];
    element("report-title").textContent = status === "signed" ? "Signed report" : "Draft report";
    element("room-name").textContent = study.accession ?? study.name;
    element("room-by").textContent = `version ${last.number}, ${last.author}, ${shownTime(last.at)}`;
    const signature = versions.find(({ kind }) => kind === "sign");
    element("room-signature").hidden = !signature;
    if (signature) {
      element("room-signature").textContent =
        `Signed by ${signature.author}, ${shownTime(signature.at)} · draft ${signature.disposition} · SHA-256 ${signature.sha256.slice(0, 16)}`;
      element("room-signature").title = signature.sha256;
    }
    this.showAddenda();
    const may = (/** @type {string} */ role) => this.session?.accounts === "none" || this.session?.roles.includes(role);
    const edits = may("reader") || may("radiologist");
    const signs = may("radiologist");
    element("room-edit").hidden = !edits || status === "signed";
    element("room-review").hidden = !edits || status !== "draft";
    element("room-sign").hidden = !signs || !["draft", "reviewed"].includes(status);
    element("room-reject").hidden = !signs || !["draft", "reviewed"].includes(status);
    element("room-amend").hidden = !signs || status !== "signed";
    this.linkExports(study.id);
    markReaders(element("words"), study);
    const { place, ids } = this.around();
    for (const [id, index] of /** @type {[string, number][]} */ ([["room-previous", place - 1], ["room-next", place + 1]])) {
      element(id).hidden = ids.length < 2 || place < 0;
      element(id).setAttribute("aria-disabled", String(!(index in ids)));
    }
  }

  /** @param {string} study */
  linkExports(study) {
    const paper = /** @type {HTMLSelectElement} */ (element("room-paper")).value;
    for (const [format, more] of [["text", ""], ["json", ""], ["pdf", `&paper=${paper}`]]) {
      const link = /** @type {HTMLAnchorElement} */ (element(`room-${format}`));
      link.href = `v1/studies/${study}/export?format=${format}${more}`;
    }
  }

  showAddenda() {
    const addenda = this.study?.versions.filter(({ kind }) => kind === "addendum") ?? [];
    element("room-addenda").hidden = addenda.length === 0;
    element("room-addenda").replaceChildren(...addenda.map(({ author, at, text }) => {
      const [item, heading, body] = ["li", "h3", "p"].map((tag) => document.createElement(tag));
      heading.textContent = `Addendum by ${author}, ${shownTime(at)}`;
      body.textContent = text;
      item.append(heading, body);
      return item;
    }));
  }

  /** @param {number} place in the draft's words @returns {number | null} in the shown answer's words */
  wordOf(place) {
    const index = this.study?.marked.draft_words.findIndex(([, , drafted]) => drafted === place) ?? -1;
    return index < 0 ? null : index;
  }

  /** What was typed before and never saved: go on with it, or not. */
  async offerTyped() {
    const { study } = this;
    if (!study || study.status === "signed" || element("room-edit").hidden) return;
    const server = await call(`v1/studies/${study.id}/autosave?editor=${editorName()}`);
    const [typed] = [server, backedUp(study.id)].filter(Boolean).sort((a, b) => (a.at < b.at ? 1 : -1));
    if (!typed || typed.text === study.report.text) return;
    const wanted = await askTyped(typed, study);
    if (wanted === null) return;
    await this.edit(typed);
    if (wanted) return;
    await this.editor.forget();
    this.leaveEditor();
  }

  /** @param {import("./kept.js").Typed} [typed] text to go on with */
  async edit(typed) {
    if (!this.study || this.editor.isOpen) return;
    if (!this.sentences.length) await this.offerSentences();
    element("room-editor").hidden = false;
    element("words").hidden = true;
    element("room-actions").hidden = true;
    await this.editor.open(this.study, typed?.text, typed?.base);
    this.page.editing(this.editor, this.sentences.filter(isAboutPlace));
  }

  async offerSentences() {
    const response = await fetch("sentences.json");
    if (!response.ok) return;
    this.sentences = await response.json();
    element("edit-insert").append(...this.sentences.flatMap((sentence, index) =>
      isAboutPlace(sentence) ? [] : [new Option(`${sentence.title} (${sentence.section})`, String(index))]));
  }

  async save() {
    const { study } = this;
    if (!study || !this.editor.isOpen) return;
    if (!this.editor.isDirty) return this.leaveEditor();
    try {
      await this.editor.save();
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      return this.settle(error);
    }
    this.page.announce("Saved as a new version.");
    this.leaveEditor();
    await this.refresh();
  }

  /** @param {Conflict} conflict */
  async settle(conflict) {
    const wanted = await askConflict(conflict);
    if (wanted === null || !this.study) return;
    const mine = this.editor.text;
    if (wanted === "theirs") await this.editor.forget();
    this.leaveEditor();
    await this.refresh();
    if (wanted === "mine") await this.edit({ text: mine, base: conflict.current.number, at: "" });
  }

  async closeEditor() {
    if (this.editor.isDirty) {
      const typed = { text: this.editor.text, base: this.editor.base, at: new Date().toISOString() };
      if (!this.study) return;
      const go = await askTyped(typed, this.study);
      if (go !== false) return;
      await this.editor.forget();
    }
    this.leaveEditor();
  }

  leaveEditor() {
    this.editor.close();
    this.page.editing(null, []);
    this.page.showWord(null);
    element("room-editor").hidden = true;
    element("room-actions").hidden = false;
    element("words").hidden = false;
  }

  async sign() {
    const name = await askSignature(this.account);
    if (name !== null) await this.change("signature", { name });
  }

  async reject() {
    const reason = await askRejection();
    if (reason !== null) await this.change("rejection", { reason });
  }

  async amend() {
    const given = await askAddendum(this.account);
    if (given) await this.change("addenda", given);
  }

  get account() {
    return this.session?.accounts === "none" ? null : (this.session?.name ?? null);
  }

  /** @param {string} step @param {Record<string, string>} body */
  async change(step, body) {
    const { study } = this;
    if (!study) return;
    try {
      await call(`v1/studies/${study.id}/${step}`, { method: "POST", body, version: study.version });
    } finally {
      await this.refresh(); // also where somebody was quicker: the page then shows what is current
    }
    this.page.announce(`${STATUSES[this.study?.status ?? "draft"]}.`);
  }

  /** Show the study as it now is. */
  async refresh() {
    const { study } = this;
    if (!study) return;
    this.opening = true;
    try {
      const sent = study.sent;
      this.study = await fetchKept(study.id);
      this.study.sent = sent;
      await this.page.showAgain(this.study.report);
      this.show();
    } finally {
      this.opening = false;
    }
  }

  /** The studies around this one, as the worklist had them. */
  around() {
    try {
      const { ids } = JSON.parse(sessionStorage.getItem(AROUND) ?? "{}");
      if (Array.isArray(ids)) return { ids, place: ids.indexOf(this.study?.id) };
    } catch {
      // no storage, or another's: there is nothing before and after
    }
    return { ids: [], place: -1 };
  }

  /** @param {1 | -1} step */
  async go(step) {
    const { ids, place } = this.around();
    const next = ids[place + step];
    if (place < 0 || !next) return;
    if (this.editor.isOpen) {
      if (this.editor.isDirty) await this.editor.autosave();
      this.leaveEditor();
    }
    await this.open(next);
  }

  /** @param {() => Promise<void> | void} action */
  async run(action) {
    try {
      element("room-problem").hidden = true;
      await action();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Beside the text, which stays. @param {unknown} error */
  failed(error) {
    if (!(error instanceof Problem)) throw error;
    element("room-problem").hidden = false;
    element("room-problem-text").textContent = `${error.title}. ${error.detail} ${error.advice}`;
    const signIn = /** @type {HTMLAnchorElement} */ (element("room-sign-in"));
    signIn.hidden = !(error instanceof SignedOut);
    signIn.href = `sign-in?next=${encodeURIComponent(`./${location.search}`)}`;
  }
}

/** @param {import("./editor.js").Sentence} sentence @returns {boolean} whether a region fills it in */
function isAboutPlace({ text }) {
  return /\{side\}|\{zone\}/.test(text);
}
