// @ts-check
/**
 * A grid of many rows of which only those on the screen are in the document. The focus stays on the
 * grid; its current row is named by aria-activedescendant, so recycling a row loses nothing.
 */

export const ROW_HEIGHT = 44;
const MARGIN = 8;

/**
 * @template Item
 */
export class VirtualRows {
  /**
   * @param {{grid: HTMLElement, rows: HTMLElement}} place
   * @param {{fill: (row: HTMLElement, item: Item | null, index: number) => void, need: (first: number, last: number) => void,
   *   open: (item: Item, event: Event) => void, moved: (index: number) => void}} use
   *   fill: write an item into a row; null: it is not loaded yet; need: these rows are in view
   */
  constructor({ grid, rows }, use) {
    this.grid = grid;
    this.rows = rows;
    this.use = use;
    /** @type {Item[]} */
    this.items = [];
    this.total = 0;
    this.current = 0;
    /** @type {Map<number, HTMLElement>} rows in the document by their index */
    this.drawn = new Map();
    /** @type {HTMLElement[]} */
    this.spare = [];
    this.waiting = 0;
    grid.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => this.later()).observe(grid);
    grid.addEventListener("keydown", (event) => this.pressed(event));
    rows.addEventListener("click", (event) => this.clicked(event));
  }

  /**
   * @param {Item[]} items those that are loaded, from the first on
   * @param {number} total of all, loaded or not
   */
  show(items, total) {
    this.items = items;
    this.total = total;
    this.current = Math.max(0, Math.min(this.current, total - 1));
    this.rows.style.height = `${total * ROW_HEIGHT}px`;
    this.grid.setAttribute("aria-rowcount", String(total + 1));
    for (const index of [...this.drawn.keys()]) this.drop(index);
    this.draw();
  }

  later() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => this.draw());
  }

  get visible() {
    const head = this.rows.offsetTop;
    const first = Math.floor(Math.max(0, this.grid.scrollTop - MARGIN) / ROW_HEIGHT);
    const count = Math.ceil((this.grid.clientHeight - head) / ROW_HEIGHT) + 1;
    return { first, last: Math.min(this.total, first + count) - 1 };
  }

  draw() {
    this.waiting = 0;
    const { first, last } = this.visible;
    const [from, to] = [Math.max(0, first - MARGIN), Math.min(this.total - 1, last + MARGIN)];
    for (const index of [...this.drawn.keys()]) {
      if (index < from || index > to) this.drop(index);
    }
    for (let index = from; index <= to; index += 1) {
      if (!this.drawn.has(index)) this.add(index);
    }
    this.mark();
    if (this.total) this.use.need(from, to);
  }

  /** @param {number} index */
  add(index) {
    const row = this.spare.pop() ?? emptyRow();
    row.id = `row-${index}`;
    row.dataset.index = String(index);
    row.setAttribute("aria-rowindex", String(index + 2));
    row.style.transform = `translateY(${index * ROW_HEIGHT}px)`;
    this.use.fill(row, this.items[index] ?? null, index);
    this.rows.append(row);
    this.drawn.set(index, row);
  }

  /** @param {number} index */
  drop(index) {
    const row = this.drawn.get(index);
    if (!row) return;
    row.remove();
    this.drawn.delete(index);
    this.spare.push(row);
  }

  mark() {
    for (const [index, row] of this.drawn) {
      row.classList.toggle("current", index === this.current);
      row.setAttribute("aria-selected", String(index === this.current));
    }
    if (this.drawn.has(this.current)) this.grid.setAttribute("aria-activedescendant", `row-${this.current}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  /** @param {number} index */
  moveTo(index) {
    if (!this.total) return;
    this.current = Math.max(0, Math.min(this.total - 1, index));
    const head = this.rows.offsetTop;
    const top = this.current * ROW_HEIGHT;
    const room = this.grid.clientHeight - head;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW_HEIGHT > this.grid.scrollTop + room) this.grid.scrollTop = top + ROW_HEIGHT - room;
    this.draw();
    this.use.moved(this.current);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / ROW_HEIGHT) - 2);
    /** @type {Record<string, () => void>} */
    const actions = {
      ArrowDown: () => this.moveTo(this.current + 1),
      ArrowUp: () => this.moveTo(this.current - 1),
      j: () => this.moveTo(this.current + 1),
      k: () => this.moveTo(this.current - 1),
      PageDown: () => this.moveTo(this.current + page),
      PageUp: () => this.moveTo(this.current - page),
      Home: () => this.moveTo(0),
      End: () => this.moveTo(this.total - 1),
      Enter: () => this.open(this.current, event),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const row = event.target instanceof Element ? event.target.closest("[data-index]") : null;
    if (!(row instanceof HTMLElement)) return;
    this.current = Number(row.dataset.index);
    this.mark();
    this.use.moved(this.current);
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // the link's own: another tab or window
    event.preventDefault();
    this.open(this.current, event);
  }

  /**
   * @param {number} index
   * @param {Event} event
   */
  open(index, event) {
    const item = this.items[index];
    if (item) this.use.open(item, event);
  }
}

/** @returns {HTMLElement} */
function emptyRow() {
  const row = document.createElement("div");
  row.className = "row-line";
  row.setAttribute("role", "row");
  return row;
}
