// @ts-check
/** Two panes side by side: what is done to one view, window and pointer is done to the other's. */

import { asWindow } from "./grayscale.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./pane.js").Pane} Pane */
/** @typedef {import("./pixels.js").Voi} Voi */

export class PaneLink {
  /**
   * @param {Pane} one
   * @param {Pane} other
   */
  constructor(one, other) {
    this.panes = [one, other];
    this.on = false;
    /** @type {Map<Pane, Voi>} the window that each pane was last seen with */
    this.windows = new Map();
    this.following = false;
  }

  /** The panes as they are now are the start: neither has to follow the other. @param {() => void} run */
  quietly(run) {
    const before = this.following;
    this.following = true;
    run();
    this.following = before;
    for (const pane of this.panes) this.windows.set(pane, pane.viewer.view.voi);
  }

  /** @param {Pane} pane @returns {Pane} */
  otherOf(pane) {
    return this.panes[0] === pane ? this.panes[1] : this.panes[0];
  }

  /** The view of a pane has changed. @param {Pane} pane */
  follow(pane) {
    const other = this.otherOf(pane);
    const [from, to] = [pane.viewer.description, other.viewer.description];
    if (!this.on || !from || !to || this.following) return;
    const { zoom, center, voi } = pane.viewer.view;
    const isNew = this.windows.get(pane) !== voi;
    this.quietly(() => {
      const place = { x: (center.x / from.width) * to.width, y: (center.y / from.height) * to.height };
      other.viewer.set({ zoom, center: place });
      if (!isNew) return;
      // Values of two images are not comparable: what is followed is the change from each one's own window.
      if (voi === from.shown) other.viewer.set({ voi: to.shown });
      else other.viewer.setWindow(...windowLike(asWindow(voi), asWindow(from.shown), asWindow(to.shown)));
    });
  }

  /** The pointer is at a place of a pane: the other marks the same place. @param {Pane} pane @param {Point | null} at */
  point(pane, at) {
    const other = this.otherOf(pane);
    const [from, to] = [pane.viewer.description, other.viewer.description];
    if (!this.on || !from || !to) return;
    pane.mark(null);
    const place = at && pane.viewer.toImage(at);
    const isOn = place && place.x >= 0 && place.y >= 0 && place.x < from.width && place.y < from.height;
    other.mark(isOn ? { x: (place.x / from.width) * to.width, y: (place.y / from.height) * to.height } : null);
  }
}

/**
 * @param {Voi} now
 * @param {Voi} first
 * @param {Voi} own of the pane that follows
 * @returns {[number, number]} width and level
 */
function windowLike(now, first, own) {
  const scale = Number(own.width) / Number(first.width);
  return [Number(now.width) * scale, Number(own.center) + (Number(now.center) - Number(first.center)) * scale];
}
