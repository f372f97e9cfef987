// @ts-check
/** The report while it is written: plain text, for its words have no maps yet. */

const HEADING = /\b(Findings|Impression):\s*/;

export class Writing {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.container = container;
  }

  /** @param {string} text so far; empty before the first word */
  show(text) {
    // Without headings all is one paragraph: [before, heading, section, heading, section ...]
    const [before, ...parts] = text.split(HEADING);
    const blocks = before.trim() ? [block("p", before)] : [];
    parts.forEach((part, at) => blocks.push(block(at % 2 ? "p" : "h2", part)));
    this.container.replaceChildren(...blocks);
    this.container.hidden = !text;
    this.container.lastElementChild?.scrollIntoView({ block: "nearest" });
  }
}

/**
 * @param {"p" | "h2"} tag
 * @param {string} text
 * @returns {HTMLElement}
 */
function block(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
