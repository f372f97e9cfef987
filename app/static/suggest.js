// @ts-check
/**
 * Sentences about a region of the image, for the report that is being edited: the draft's own and, when
 * asked, what else the model sees, both called the model's; and templates. What is inserted is the reader's.
 */

import { Problem } from "./api.js";
import { decode, shareInside } from "./heatmap.js";
import { percent } from "./legend.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {import("./api.js").Extent} Extent */
/** @typedef {import("./editor.js").Editor} Editor */
/** @typedef {import("./editor.js").Sentence} Sentence */
/** @typedef {{answer: Answer, image: number, directions: [string, string] | null}} Shown the study, and its image */
/** @typedef {{section: string, text: string, source: string}} Suggestion source: whose it is, in words */

const LEAST = 0.1; // share of its attention below which a sentence is not about the region
const NOTHING = "The model sees nothing here that the text does not mention.";
/** Lungs fill about this part of a frontal radiograph's height. */
const LUNGS = { top: 0.12, bottom: 0.78 };

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class Suggestions {
  /**
   * @param {import("./check.js").Check} check a text against the study's images
   * @param {(message: string) => void} announce
   */
  constructor(check, announce) {
    this.check = check;
    this.announce = announce;
    /** @type {AbortController | null} */
    this.asking = null;
    element("suggestion-ask").addEventListener("click", () => this.ask());
    /** @type {{shown: Shown, box: Extent} | null} */
    this.region = null;
    /** @type {Editor | null} what sentences are inserted into */
    this.editor = null;
    /** @type {Sentence[]} with the region's place to be filled in */
    this.templates = [];
  }

  /**
   * @param {Editor | null} editor null: nothing is edited any more
   * @param {Sentence[]} templates
   */
  edit(editor, templates) {
    this.editor = editor;
    this.templates = templates;
  }

  /**
   * @param {Shown | null} shown
   * @param {Extent | null} box the region, in original pixels; null where there is none
   */
  show(shown, box) {
    const { editor } = this;
    this.asking?.abort();
    this.asking = null;
    this.region = shown && box && { shown, box };
    element("suggestion-state").textContent = "";
    element("suggestions").hidden = !editor || !shown || !box;
    if (!editor || !shown || !box) return;
    const suggestions = [...draftedAt(shown, box), ...templatesAt(this.templates, shown, box)];
    element("suggestion-list").replaceChildren(...suggestions.map((one) => this.item(one, editor)));
  }

  /** What the model sees in the region and the text does not mention. */
  async ask() {
    const { editor, region } = this;
    if (!editor || !region || this.asking) return;
    const mine = new AbortController();
    this.asking = mine;
    this.say("Asking the model …");
    try {
      const found = await this.check(editor.text, mine.signal);
      if (mine.signal.aborted) return;
      const seen = seenAt(found, region);
      element("suggestion-list").prepend(...seen.map((one) => this.item(one, editor)));
      const count = seen.length === 1 ? "1 finding" : `${seen.length} findings`;
      this.say(found.probability_withheld ?? (seen.length ? `The model sees ${count} here that the text does not mention.` : NOTHING));
    } catch (error) {
      if (mine.signal.aborted) return;
      this.say(error instanceof Problem ? `${error.title}. ${error.detail}` : String(error));
    } finally {
      if (this.asking === mine) this.asking = null;
    }
  }

  /** @param {string} state */
  say(state) {
    element("suggestion-state").textContent = state;
  }

  /**
   * @param {Suggestion} suggestion
   * @param {Editor} editor
   * @returns {HTMLElement}
   */
  item({ section, text, source }, editor) {
    const [item, button, note] = ["li", "button", "span"].map((tag) => document.createElement(tag));
    const isThere = editor.text.includes(text);
    button.setAttribute("type", "button");
    button.className = "suggestion";
    button.setAttribute("aria-disabled", String(isThere));
    note.className = "small";
    note.textContent = `${source}${isThere ? ", in the text" : ""}`;
    button.append(text, " ", note);
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-disabled") === "true") return;
      editor.insert({ section, title: "", text });
      button.setAttribute("aria-disabled", "true");
      note.textContent = `${source}, inserted`;
      this.announce(`Inserted into the ${section}: ${text}`);
    });
    item.append(button);
    return item;
  }
}

/**
 * @param {Shown} shown
 * @param {Extent} box
 * @returns {Suggestion[]} the draft's sentences that attended there, most attention first
 */
function draftedAt({ answer, image }, box) {
  return answer.sentences
    .map((sentence) => {
      const map = sentence.state === "not grounded" ? null : decode(sentence.heatmap);
      return { sentence, share: map ? shareInside(map, answer.images, image, box) : 0 };
    })
    .filter(({ share }) => share >= LEAST)
    .sort((a, b) => b.share - a.share)
    .map(({ sentence: { text, start }, share }) => ({
      section: answer.sections.find((one) => one.start <= start && start < one.end)?.name ?? "findings",
      text: text.trim(),
      source: `the model's draft, ${percent(share)} of its attention is here`,
    }));
}

/**
 * @param {import("./api.js").CheckedReport} found
 * @param {{shown: Shown, box: Extent}} region
 * @returns {Suggestion[]} what the text does not mention and attended there, most attention first
 */
function seenAt({ issues }, { shown, box }) {
  return issues
    .filter(({ code, suggestion }) => code === "missing" && suggestion)
    .map((issue) => {
      const map = issue.state === "not grounded" ? null : decode(issue.heatmap);
      return { issue, share: map ? shareInside(map, shown.answer.images, shown.image, box) : 0 };
    })
    .filter(({ share }) => share >= LEAST)
    .sort((a, b) => b.share - a.share)
    .map(({ issue: { suggestion, probability } }) => {
      const odds = probability === null ? "" : `, ${percent(probability)} likely`;
      return { section: "findings", text: suggestion, source: `the model sees this, not in the text${odds}` };
    });
}

/**
 * @param {Sentence[]} templates
 * @param {Shown} shown
 * @param {Extent} box
 * @returns {Suggestion[]}
 */
function templatesAt(templates, { answer, image, directions }, box) {
  const { width, height, view } = answer.images[image];
  const across = (box.left + box.width / 2) / width;
  const down = ((box.top + box.height / 2) / height - LUNGS.top) / (LUNGS.bottom - LUNGS.top);
  // A frontal radiograph is shown as if the patient faced the reader, unless its file says otherwise.
  const isLeft = across > 0.5 === ((directions?.[0] ?? "L") === "L");
  const side = view === "LATERAL" ? "" : isLeft ? "left" : "right";
  const zone = down < 1 / 3 ? "upper" : down > 2 / 3 ? "lower" : "mid";
  return templates.map(({ section, text }) => ({
    section,
    text: text.replace("{side}", side).replace("{zone}", zone).replace(/ {2,}/g, " "),
    source: "template",
  }));
}
