// @ts-check
/** The box in which a finding is asked for, and the answers so far. Knows no image and no map. */

import { Problem } from "./api.js";
import { evidenceInWords } from "./evidence.js";
import { percent } from "./legend.js";

/** @typedef {import("./api.js").Asked} Asked */
/** @typedef {(phrase: string, signal: AbortSignal) => Promise<Asked>} Ask */

export class AskBox {
  /**
   * @param {{form: HTMLFormElement, phrase: HTMLInputElement, button: HTMLElement, problem: HTMLElement, list: HTMLElement}} parts
   * @param {{ask: Ask, show: (asked: Asked) => void}} page
   */
  constructor(parts, page) {
    this.parts = parts;
    this.page = page;
    /** @type {AbortController | null} */
    this.running = null;
    parts.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const phrase = parts.phrase.value.trim();
      if (phrase && !this.running) this.submit(phrase);
    });
  }

  /** Forget the answers of the study before. */
  clear() {
    this.running?.abort();
    this.parts.list.replaceChildren();
    this.parts.phrase.value = "";
    this.parts.problem.hidden = true;
  }

  /** @param {string} phrase */
  async submit(phrase) {
    const { problem, list } = this.parts;
    const mine = new AbortController();
    this.setRunning(mine);
    problem.hidden = true;
    try {
      const asked = await this.page.ask(phrase, mine.signal);
      if (mine.signal.aborted) return;
      const item = this.answered(asked);
      list.prepend(item);
      this.choose(asked, item);
    } catch (error) {
      if (mine.signal.aborted) return;
      problem.textContent =
        error instanceof Problem ? `${error.title}. ${error.detail} ${error.advice}` : String(error);
      problem.hidden = false;
    } finally {
      if (this.running === mine) this.setRunning(null);
    }
  }

  /** @param {AbortController | null} running */
  setRunning(running) {
    this.running = running;
    this.parts.button.setAttribute("aria-disabled", String(running !== null));
    this.parts.button.textContent = running ? "Asking" : "Ask";
  }

  /**
   * @param {Asked} asked
   * @returns {HTMLElement} a button that shows the answer again
   */
  answered(asked) {
    const [item, button, phrase, summary] = ["li", "button", "span", "span"].map((tag) => document.createElement(tag));
    button.setAttribute("type", "button");
    button.setAttribute("aria-pressed", "false");
    button.className = "asked";
    phrase.textContent = asked.phrase;
    phrase.className = "asked-phrase";
    const states = { grounded: "its place is shown", unknown: "its attention is shown" };
    const state = asked.state === "not grounded" ? "no place on the image" : states[asked.state];
    const probable = asked.probability === null ? "no probability: not calibrated for this finding" : `${percent(asked.probability)} probable`;
    const share = asked.samples === null ? "" : `: in ${asked.matches} of ${asked.samples} sampled reports`;
    summary.textContent = asked.probability_withheld ?? `${probable}${share}; ${evidenceInWords(asked.evidence)}; ${state}`;
    summary.className = "small";
    button.append(phrase, " ", summary);
    button.addEventListener("click", () => this.choose(asked, item));
    item.append(button);
    return item;
  }

  /**
   * @param {Asked} asked
   * @param {HTMLElement} item
   */
  choose(asked, item) {
    this.page.show(asked);
    item.querySelector("button")?.setAttribute("aria-pressed", "true");
  }

  /** Something else is shown. */
  leave() {
    for (const button of this.parts.list.querySelectorAll("button")) button.setAttribute("aria-pressed", "false");
  }
}
