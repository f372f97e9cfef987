// @ts-check
/**
 * What is known of a study before its report is asked for: its images and their views, earlier
 * images, why they were taken. Shows only what the model reads, and sends nothing.
 */

/** @typedef {import("./api.js").Model} Model */
/** @typedef {import("./api.js").Sent} Sent */
/** @typedef {{file: File, view: string}} Chosen */

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** What a sender may say of an image: the API's words, and the page's. */
const VIEWS = [["", "View from file"], ["PA", "PA"], ["AP", "AP"], ["LATERAL", "Lateral"]];

export class Composer {
  /**
   * @param {(sent: Sent) => void} ready called when the report is asked for
   * @param {(message: string) => void} announce
   */
  constructor(ready, announce) {
    this.announce = announce;
    this.form = element("compose");
    this.indication = /** @type {HTMLTextAreaElement} */ (element("indication"));
    /** @type {Chosen[]} */
    this.own = [];
    /** @type {Chosen[]} */
    this.earlier = [];
    this.readsLaterals = false;
    /** Whether the model reads more than frontal images; else there is nothing to compose. */
    this.needed = false;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.own.length) ready(this.sent());
    });
    element("discard").addEventListener("click", () => this.close());
  }

  /** @param {Model} model whose reading decides what is shown */
  setModel({ views, prompt_tokens: promptTokens }) {
    this.readsLaterals = views.includes("lateral");
    const readsPriors = views.includes("prior");
    this.needed = this.readsLaterals || readsPriors || promptTokens > 0;
    element("earlier").hidden = !readsPriors;
    element("indication-field").hidden = promptTokens === 0;
    element("view-note").hidden = !this.readsLaterals;
  }

  get isOpen() {
    return !this.form.hidden;
  }

  /** @param {File[]} files of a new study; nothing of the one before is left */
  open(files) {
    this.own = [];
    this.earlier = [];
    this.indication.value = "";
    this.form.hidden = false;
    element("offer").hidden = true;
    this.add(files);
    element("write").focus();
  }

  /**
   * @param {File[]} files
   * @param {boolean} [earlier] they are of an earlier study
   */
  add(files, earlier = false) {
    const list = earlier ? this.earlier : this.own;
    list.push(...files.map((file) => ({ file, view: "" })));
    this.render();
    this.announce(`${counted(this.own.length)} of this study${this.earlier.length ? `, ${this.earlier.length} of an earlier one` : ""}.`);
  }

  close() {
    this.form.hidden = true;
    element("offer").hidden = false;
    this.own = [];
    this.earlier = [];
    this.indication.value = "";
    this.render();
    element("choose").focus();
  }

  /** @returns {Sent} */
  sent() {
    return {
      files: this.own.map(({ file }) => file),
      views: this.own.map(({ view }) => view),
      priors: this.earlier.map(({ file }) => file),
      indication: this.indication.value.trim(),
    };
  }

  render() {
    this.renderList(element("own-list"), this.own, this.readsLaterals, "add-own");
    this.renderList(element("earlier-list"), this.earlier, false, "add-earlier");
    element("write").setAttribute("aria-disabled", String(this.own.length === 0));
  }

  /**
   * @param {HTMLElement} list
   * @param {Chosen[]} chosen
   * @param {boolean} withView whether its view can be said
   * @param {string} next what is focused when the last one is removed
   */
  renderList(list, chosen, withView, next) {
    list.replaceChildren(...chosen.map((one, index) => {
      const item = document.createElement("li");
      const name = document.createElement("span");
      name.className = "file-name";
      name.textContent = `${index + 1}. ${one.file.name}`; // the service names files by their number
      name.title = one.file.name;
      item.append(thumbnail(one.file), name);
      if (withView) item.append(viewChoice(one));
      item.append(removeButton(one.file.name, () => {
        chosen.splice(index, 1);
        this.render();
        const left = list.querySelectorAll("button");
        (left[Math.min(index, left.length - 1)] ?? element(next)).focus();
        this.announce(`${one.file.name} was removed.`);
      }));
      return item;
    }));
    list.hidden = chosen.length === 0;
  }
}

/**
 * @param {number} count
 * @returns {string}
 */
function counted(count) {
  return count === 1 ? "1 image" : `${count} images`;
}

/**
 * @param {File} file
 * @returns {HTMLElement} the image small, or a place for one that browsers cannot show
 */
function thumbnail(file) {
  const frame = document.createElement("span");
  frame.className = "file-image";
  frame.setAttribute("aria-hidden", "true");
  if (!file.type.startsWith("image/")) {
    frame.textContent = "File";
    return frame;
  }
  const image = document.createElement("img");
  const address = URL.createObjectURL(file);
  image.alt = "";
  for (const ended of ["load", "error"]) image.addEventListener(ended, () => URL.revokeObjectURL(address));
  image.addEventListener("error", () => image.remove());
  image.src = address;
  frame.append(image);
  return frame;
}

/**
 * @param {Chosen} chosen
 * @returns {HTMLElement}
 */
function viewChoice(chosen) {
  const select = document.createElement("select");
  select.setAttribute("aria-label", `View of ${chosen.file.name}`);
  select.append(...VIEWS.map(([value, title]) => new Option(title, value)));
  select.value = chosen.view;
  select.addEventListener("change", () => (chosen.view = select.value));
  return select;
}

/**
 * @param {string} name
 * @param {() => void} removed
 * @returns {HTMLElement}
 */
function removeButton(name, removed) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "quiet icon";
  button.setAttribute("aria-label", `Remove ${name}`);
  button.title = "Remove";
  button.append(icon("clear"));
  button.addEventListener("click", removed);
  return button;
}

/**
 * @param {string} name of a symbol of index.html
 * @returns {SVGElement}
 */
function icon(name) {
  const [svg, use] = ["svg", "use"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `#icon-${name}`);
  svg.append(use);
  return /** @type {SVGElement} */ (svg);
}
