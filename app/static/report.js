// @ts-check
/**
 * The report as text whose every word can be pointed at, moved through, pinned, or taken as a sentence.
 *
 * Knows words and spans, not maps: it says which words are to be shown, and the page does the rest.
 */

import { described, isSuggested } from "./evidence.js";

/** @typedef {Pick<import("./api.js").Answer, "text" | "words" | "sections" | "sentences">} Written */
/** @typedef {"none" | "word" | "pins" | "sentence" | "finding" | "denial" | "flag"} Kind */
/** @typedef {{kind: Kind, words: number[], byKeyboard: boolean}} Choice words: positions in answer.words */

export class ReportView {
  /**
   * @param {HTMLElement} container
   * @param {(choice: Choice) => void} chosen
   * @param {string} [name] of its words in the page's addresses
   */
  constructor(container, chosen, name = "word") {
    this.container = container;
    this.chosen = chosen;
    this.name = name;
    /** @type {HTMLElement[]} */
    this.tokens = [];
    /** @type {number[][]} */
    this.sentences = [];
    /** @type {Set<number>} */
    this.pins = new Set();
    /** @type {Kind} what the pins are together */
    this.pinned = "pins";
    /** @type {number | null} */
    this.preview = null;
    this.current = 0;
    this.connect();
  }

  /** @param {Written} answer */
  render(answer) {
    this.sentences = sentencesOf(answer);
    this.pins.clear();
    this.preview = null;
    this.current = 0;
    this.tokens = answer.words.map((word, index) => tokenOf(word, index, `${this.name}-${index}`));
    this.container.replaceChildren(...blocksOf(answer, this.tokens));
    this.tokens[0]?.setAttribute("tabindex", "0");
    this.tell(false);
  }

  connect() {
    const { container } = this;
    container.addEventListener("pointerover", (event) => {
      if (event.pointerType === "touch") return; // a finger's tap pins; it cannot hover
      const index = this.indexOf(event.target);
      if (index !== null) this.show(index); // between two words the last one stays
    });
    container.addEventListener("pointerleave", () => this.show(null));
    container.addEventListener("focusin", (event) => this.focused(event));
    container.addEventListener("focusout", () => this.show(null));
    container.addEventListener("click", (event) => {
      const index = this.indexOf(event.target);
      if (index !== null) this.togglePin(index);
    });
    container.addEventListener("dblclick", (event) => {
      const index = this.indexOf(event.target);
      if (index === null) return;
      getSelection()?.removeAllRanges(); // a double click also selects the word, which hides its state
      this.pinSentence(index);
    });
    container.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** @param {FocusEvent} event */
  focused(event) {
    const index = this.indexOf(event.target);
    if (index === null) return;
    this.makeCurrent(index);
    const token = this.tokens[index];
    if (token.matches(":focus-visible")) this.show(index, true); // a click focuses too, and pins by itself
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const index = this.indexOf(event.target);
    if (index === null || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.tokens.length - 1;
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowRight: () => this.moveTo(Math.min(last, index + 1)),
      ArrowLeft: () => this.moveTo(Math.max(0, index - 1)),
      ArrowDown: () => this.moveTo(this.inNextLine(index, 1)),
      ArrowUp: () => this.moveTo(this.inNextLine(index, -1)),
      Home: () => this.moveTo(0),
      End: () => this.moveTo(last),
      Enter: () => (event.shiftKey ? this.pinSentence(index) : this.togglePin(index)),
      " ": () => this.togglePin(index),
    };
    if (this.pins.size) actions.Escape = () => this.clearPins(); // else it is the region's
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /**
   * The word in the line above or below that is nearest across; the same word in the outermost lines.
   *
   * @param {number} index
   * @param {1 | -1} direction
   * @returns {number}
   */
  inNextLine(index, direction) {
    const boxes = this.tokens.map((token) => token.getClientRects()[0]);
    const from = boxes[index];
    const isBeyond = (/** @type {DOMRect} */ box) => (box.top - from.top) * direction > from.height / 2;
    const beyond = boxes.map((box, at) => ({ box, at })).filter(({ box }) => isBeyond(box));
    if (beyond.length === 0) return index;
    const line = Math.min(...beyond.map(({ box }) => box.top * direction)) * direction;
    const middle = from.left + from.width / 2;
    const away = (/** @type {DOMRect} */ box) => Math.abs(box.left + box.width / 2 - middle);
    return beyond
      .filter(({ box }) => Math.abs(box.top - line) < from.height / 2)
      .reduce((best, next) => (away(next.box) < away(best.box) ? next : best)).at;
  }

  /** @param {number} index */
  moveTo(index) {
    this.tokens[index].focus();
    this.show(index, true);
  }

  /** @param {number} index the one word which Tab reaches */
  makeCurrent(index) {
    this.tokens[this.current]?.setAttribute("tabindex", "-1");
    this.current = index;
    this.tokens[index].setAttribute("tabindex", "0");
  }

  /**
   * @param {number | null} index a word to show for now; null goes back to the pins, or to the last word
   * @param {boolean} [byKeyboard]
   */
  show(index, byKeyboard = false) {
    if (index === null && this.pins.size === 0) return;
    if (index === this.preview && !byKeyboard) return;
    this.preview = index;
    this.tell(byKeyboard);
  }

  /** @param {number} index */
  togglePin(index) {
    if (!this.pins.delete(index)) this.pins.add(index);
    this.pinned = "pins";
    this.preview = this.pins.size ? null : index;
    this.makeCurrent(index);
    this.tell(true);
  }

  /** @param {number} [index] a word of the sentence; the last one shown or pinned */
  pinSentence(index = this.preview ?? this.current) {
    this.pinTogether(this.sentences.find((words) => words.includes(index)) ?? [], "sentence");
    this.makeCurrent(index);
  }

  /**
   * @param {number[]} words
   * @param {Kind} kind what they are together
   */
  pinTogether(words, kind) {
    this.pins = new Set(words);
    this.pinned = kind;
    this.preview = null;
    if (words.length) this.makeCurrent(words[0]);
    this.tell(true);
  }

  /** Bring a word into sight and the keyboard to it. @param {number} index */
  goTo(index) {
    this.makeCurrent(index);
    this.tokens[index].focus({ preventScroll: true });
    this.tokens[index].scrollIntoView({ block: "nearest" });
  }

  clearPins() {
    this.preview = this.pins.size ? this.current : this.preview;
    this.pins.clear();
    this.tell(true);
  }

  /** Show no word, because something else is shown. */
  leave() {
    this.pins.clear();
    this.preview = null;
    this.tell(false);
  }

  /** @param {Map<number, number>} shares of words that attended to the region; empty marks none */
  markInside(shares) {
    this.tokens.forEach((token, index) => {
      const share = shares.get(index);
      token.classList.toggle("inside", share !== undefined);
      token.style.setProperty("--inside", (share ?? 0).toFixed(3));
    });
  }

  /** @param {boolean} byKeyboard */
  tell(byKeyboard) {
    const pins = [...this.pins].sort((a, b) => a - b);
    /** @type {Kind} */
    let kind = "none";
    if (this.preview !== null) kind = "word";
    else if (pins.length) kind = this.pinned;
    const words = this.preview !== null ? [this.preview] : pins;
    this.tokens.forEach((token, index) => {
      token.setAttribute("aria-pressed", String(this.pins.has(index)));
      token.classList.toggle("shown", words.includes(index));
    });
    this.chosen({ kind, words, byKeyboard });
  }

  /**
   * @param {EventTarget | null} target
   * @returns {number | null}
   */
  indexOf(target) {
    const token = target instanceof Element ? target.closest(".word") : null;
    return token instanceof HTMLElement ? Number(token.dataset.index) : null;
  }
}

/**
 * @param {import("./api.js").Word} word
 * @param {number} index
 * @param {string} id
 * @returns {HTMLElement} a toggle button that flows as text
 */
function tokenOf(word, index, id) {
  const token = document.createElement("span");
  token.className = "word";
  token.classList.toggle("nowhere", word.state === "not grounded");
  token.classList.toggle("suggested", isSuggested(word));
  token.textContent = word.text.trim();
  token.id = id;
  token.dataset.index = String(index);
  token.setAttribute("role", "button");
  token.setAttribute("tabindex", "-1");
  token.setAttribute("aria-pressed", "false");
  token.setAttribute("aria-description", described(word));
  const doubt = word.state === "withheld" ? 0 : 1 - word.probability;
  token.style.setProperty("--doubt", doubt.toFixed(3));
  return token;
}

/**
 * @param {Written} answer
 * @param {HTMLElement[]} tokens
 * @returns {HTMLElement[]} per section a heading and a paragraph; one paragraph where there are no sections
 */
function blocksOf(answer, tokens) {
  const named = answer.sections.filter((section) => section.text.trim());
  if (named.length === 0) return [filled("p", answer, tokens, 0, answer.text.length)];
  return named.flatMap((section, at) => {
    const from = at === 0 ? 0 : named[at - 1].end;
    const to = at === named.length - 1 ? answer.text.length : section.end;
    const body = bodyStart(answer, section, from);
    const heading = filled("h2", answer, tokens, from, body);
    if (!heading.textContent?.trim()) heading.textContent = titled(section.name);
    return [heading, filled("p", answer, tokens, body, to)];
  });
}

/**
 * @param {Written} answer
 * @param {import("./api.js").Section} section whose span may or may not include its heading
 * @param {number} from
 * @returns {number} where the text after the heading begins
 */
function bodyStart(answer, section, from) {
  const heading = new RegExp(`^\\s*${section.name}\\s*:\\s*`, "i").exec(answer.text.slice(from));
  return heading ? from + heading[0].length : Math.max(from, section.start);
}

/**
 * @param {string} name
 * @returns {string}
 */
function titled(name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/**
 * @param {"p" | "h2"} tag
 * @param {Written} answer
 * @param {HTMLElement[]} tokens
 * @param {number} from
 * @param {number} to
 * @returns {HTMLElement} the text of a span, its words as tokens, everything between them as it is
 */
function filled(tag, answer, tokens, from, to) {
  const block = document.createElement(tag);
  let at = from;
  answer.words.forEach((word, index) => {
    if (word.start < from || word.start >= to) return;
    block.append(answer.text.slice(at, word.start), tokens[index]);
    at = word.end;
  });
  const rest = answer.text.slice(at, to);
  block.append(tag === "h2" ? rest.replace(/:\s*$/, "") : rest.trimEnd());
  return block;
}

/**
 * @param {Written} answer
 * @returns {number[][]} words of each sentence; one of none, such as a heading, is a sentence of its own
 */
function sentencesOf(answer) {
  const within = new Set(answer.sentences.flatMap(({ words }) => words));
  const alone = answer.words.map((_, index) => [index]).filter(([index]) => !within.has(index));
  return [...answer.sentences.map(({ words }) => words), ...alone];
}
