// @ts-check
/** Dialogs of the reading room: what they ask, and what they show. They send nothing themselves. */

import { call, shownTime } from "./kept.js";

/** @typedef {import("./kept.js").Kept} Kept */
/** @typedef {import("./kept.js").Version} Version */

const KINDS = {
  draft: "Draft", edit: "Edited", review: "Reviewed", sign: "Signed", reject: "Rejected", addendum: "Addendum",
};

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {(Node | string)[]} children
 */
function made(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * Ask something in a dialog.
 *
 * @param {string} title
 * @param {(Node | string)[]} content of the form
 * @param {[value: string, title: string][]} answers the first is the one that Enter gives
 * @returns {Promise<{answer: string, fields: FormData} | null>} null where it was closed
 */
function asked(title, content, answers) {
  const dialog = /** @type {HTMLDialogElement} */ (made("dialog", { class: "ask-dialog", "aria-labelledby": "dialog-title" }));
  const buttons = answers.map(([value, text], place) =>
    made("button", { value, class: place ? "quiet" : "solid" }, text));
  const cancel = made("button", { type: "button", class: "quiet" }, "Cancel");
  const form = /** @type {HTMLFormElement} */ (
    made("form", { method: "dialog", autocomplete: "off" }, made("h2", { id: "dialog-title" }, title), ...content,
      made("div", { class: "row" }, ...buttons, cancel)));
  dialog.append(form);
  document.body.append(dialog);
  cancel.addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // the viewer's single keys
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      const fields = new FormData(form);
      dialog.remove();
      answer(dialog.returnValue ? { answer: dialog.returnValue, fields } : null);
    });
  });
}

/** @param {string} label @param {Record<string, string>} attributes @param {"input" | "textarea"} [tag] */
function field(label, attributes, tag = "input") {
  return made("label", { class: "dialog-field" }, label, made(tag, attributes));
}

/**
 * @param {string | null} account who is signed in; null: a name is asked for
 * @returns {Promise<string | null>} the name; null where it was given up
 */
export async function askSignature(account) {
  const words = "A signed report is only added to, by addenda. Your name, the time and a hash of the text stand under it.";
  const content = [made("p", {}, words)];
  if (account) content.push(made("p", {}, "Signed by ", made("b", {}, account)));
  else content.push(field("Name", { name: "name", required: "", maxlength: "200", autofocus: "" }));
  const given = await asked("Sign this report", content, [["sign", "Sign"]]);
  return given && String(account ?? given.fields.get("name"));
}

/** @returns {Promise<string | null>} the reason; null where it was given up */
export async function askRejection() {
  const content = [
    made("p", {}, "A rejected draft is no report. Editing it makes it a draft again."),
    field("Reason", { name: "reason", rows: "3", maxlength: "2000", autofocus: "" }, "textarea"),
  ];
  const given = await asked("Reject this draft", content, [["reject", "Reject"]]);
  return given && String(given.fields.get("reason"));
}

/**
 * @param {string | null} account
 * @returns {Promise<{text: string, name: string} | null>}
 */
export async function askAddendum(account) {
  const content = [
    field("Addendum", { name: "text", rows: "5", required: "", maxlength: "20000", autofocus: "" }, "textarea"),
  ];
  if (!account) content.push(field("Name", { name: "name", required: "", maxlength: "200" }));
  const given = await asked("Add to the signed report", content, [["add", "Sign the addendum"]]);
  return given && { text: String(given.fields.get("text")), name: String(account ?? given.fields.get("name")) };
}

/**
 * Somebody else has saved: both texts side by side, and neither is lost.
 *
 * @param {import("./kept.js").Conflict} conflict
 * @returns {Promise<"mine" | "theirs" | null>} null: go on editing, decide later
 */
export async function askConflict({ current, yours }) {
  const words = `${current.author} saved version ${current.number} at ${shownTime(current.at)}, after you began. Nothing was overwritten.`;
  const content = [
    made("p", {}, words),
    made("div", { class: "versus" },
      made("section", { "aria-label": "Saved meanwhile" }, made("h3", {}, `Version ${current.number}, ${current.author}`), made("p", {}, current.text)),
      made("section", { "aria-label": "Your text" }, made("h3", {}, "Your text, and what it changes"), await differences(current.text, yours))),
  ];
  const given = await asked("Two people edited this draft", content, [
    ["mine", "Go on with my text"], ["theirs", "Take theirs"],
  ]);
  return /** @type {"mine" | "theirs" | null} */ (given && given.answer);
}

/**
 * What was typed before and not saved.
 *
 * @param {{text: string, at: string, base: number}} typed
 * @param {Kept} study
 * @returns {Promise<boolean | null>} whether to go on with it; null: decide later
 */
export async function askTyped(typed, study) {
  const later = typed.base === study.version ? "" : ` Version ${study.version} was saved since.`;
  const content = [
    made("p", {}, `At ${shownTime(typed.at)} you typed this and did not save it.${later}`),
    await differences(study.report.text, typed.text),
  ];
  const given = await asked("Unsaved text", content, [["yes", "Go on with it"], ["no", "Discard it"]]);
  return given && given.answer === "yes";
}

/** @param {Kept} study */
export async function showVersions({ versions }) {
  const select = (/** @type {string} */ name, /** @type {number} */ chosen) => {
    const element = /** @type {HTMLSelectElement} */ (made("select", { name, "aria-label": name }));
    const texts = versions.filter(({ kind }) => kind !== "addendum");
    element.append(...texts.map(({ number, author }) => new Option(`${number} · ${author}`, String(number))));
    element.value = String(texts[Math.max(0, Math.min(chosen, texts.length - 1))].number);
    return element;
  };
  const list = made("ol", { class: "versions" }, ...versions.map((version) => {
    const { number, kind, author, at, comment, sha256 } = version;
    const title = `${number}. ${KINDS[/** @type {keyof typeof KINDS} */ (kind)]} by ${author}, ${shownTime(at)}${comment ? `: ${comment}` : ""}`;
    return made("li", {}, title, " ", made("code", { title: sha256 }, sha256.slice(0, 12)));
  }));
  const [before, after] = [select("Earlier version", 0), select("Later version", versions.length - 1)];
  const shown = made("div", { class: "difference", "aria-live": "polite" });
  const compare = async () => {
    const [old, current] = [before, after].map(({ value }) => versions.find(({ number }) => String(number) === value));
    if (old && current) shown.replaceChildren(await differences(old.text, current.text));
  };
  for (const one of [before, after]) one.addEventListener("change", compare);
  await compare();
  await asked("Versions", [list, made("p", { class: "row" }, "Compare ", before, " with ", after), shown], [["", "Close"]]);
}

/**
 * @param {string} before
 * @param {string} after
 * @returns {Promise<HTMLElement>} the second text, with what is gone struck out and what is new underlined
 */
async function differences(before, after) {
  /** @type {{change: "same" | "removed" | "added", text: string}[]} */
  const runs = await call("v1/comparisons", { method: "POST", body: { before, after } });
  const tags = { removed: "del", added: "ins" };
  return made("p", { class: "difference" }, ...runs.map(({ change, text }) =>
    change === "same" ? text : made(tags[change], {}, text)));
}
