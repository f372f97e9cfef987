// @ts-check
/** Single keys that work wherever the focus is but in a field, and the sheet that lists them. */

/**
 * @typedef {{keys: string[], title: string, group: string, run: (event: KeyboardEvent) => void,
 *   onCanvas?: boolean}} Shortcut keys: values of KeyboardEvent.key; onCanvas: only where the image has the focus
 */

const KEY = "crossray-single-keys";
/** @type {Record<string, string>} */
const NAMES = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Delete: "Del", "-": "−" };

export class Shortcuts {
  /**
   * @param {Shortcut[]} shortcuts
   * @param {{list: HTMLElement, toggle: HTMLInputElement}} parts of the sheet
   * @param {() => boolean} active whether there is an image to act on
   */
  constructor(shortcuts, { list, toggle }, active) {
    this.shortcuts = shortcuts;
    this.active = active;
    toggle.checked = remembered();
    toggle.addEventListener("change", () => remember(toggle.checked));
    this.toggle = toggle;
    list.replaceChildren(...sheetOf(shortcuts));
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const inDialog = event.target instanceof Element && event.target.closest("dialog") !== null;
    if (event.defaultPrevented || isField(event.target) || inDialog || !this.active()) return;
    const onCanvas = event.target instanceof HTMLCanvasElement;
    const undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey;
    if (!undo && (event.ctrlKey || event.metaKey || event.altKey)) return;
    const key = undo ? "Ctrl+Z" : event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const found = this.shortcuts.find(({ keys }) => keys.includes(key));
    if (!found || (found.onCanvas && !onCanvas)) return;
    // Single letters can be switched off for those who speak to their computer (WCAG 2.1.4).
    if (!onCanvas && !undo && event.key.length === 1 && !this.toggle.checked) return;
    event.preventDefault();
    found.run(event);
  }
}

/**
 * @param {EventTarget | null} target
 * @returns {boolean} whether keys are typed into it
 */
function isField(target) {
  if (!(target instanceof HTMLElement)) return false;
  const typed = "input:not([type=range], [type=checkbox], [type=radio], [type=button]), textarea, select";
  return target.matches(typed) || target.isContentEditable;
}

/**
 * @param {Shortcut[]} shortcuts
 * @returns {HTMLElement[]} per group a heading and a list of keys
 */
function sheetOf(shortcuts) {
  const groups = [...new Set(shortcuts.map(({ group }) => group))];
  return groups.map((group) => {
    const [section, heading, list] = ["section", "h3", "dl"].map((tag) => document.createElement(tag));
    heading.textContent = group;
    for (const { keys, title } of shortcuts.filter((one) => one.group === group)) {
      const [term, meaning] = ["dt", "dd"].map((tag) => document.createElement(tag));
      term.append(...keys.flatMap((key, index) => (index ? [" ", cap(key)] : [cap(key)])));
      meaning.textContent = title;
      list.append(term, meaning);
    }
    section.append(heading, list);
    return section;
  });
}

/**
 * @param {string} key
 * @returns {HTMLElement}
 */
function cap(key) {
  const made = document.createElement("kbd");
  made.textContent = NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key);
  return made;
}

/** @returns {boolean} */
function remembered() {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true; // storage may be forbidden
  }
}

/** @param {boolean} on */
function remember(on) {
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // forbidden storage: the choice lasts as long as the page
  }
}
