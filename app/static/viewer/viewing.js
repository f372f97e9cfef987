// @ts-check
/** The images of a study on the screen: one large, or two side by side; tools and the map over them. */

import { sharePerImage } from "../heatmap.js";
import { ImageTabs, viewName } from "../images.js";
import { HeatControls } from "./heat.js";
import { PaneLink } from "./link.js";
import { Measurements } from "./measure.js";
import { Pane } from "./pane.js";
import { pressed, Toolbar } from "./toolbar.js";

/** @typedef {import("../api.js").Image} Image */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./gestures.js").Mode} Mode */
/** @typedef {import("./pixels.js").PixelImage} PixelImage */
/**
 * @typedef {object} Hooks what belongs to the report
 * @property {(index: number) => void} selected another image is shown large
 * @property {(x: number, y: number, image: number) => string} shareAt what the shown map has at a place
 * @property {(from: Point, to: Point) => void} drawn a region, while it is being drawn
 * @property {() => void} drawnOut
 * @property {() => void} letGo
 * @property {(at: Point) => void} clicked
 * @property {(dx: number, dy: number, sizing: boolean) => void} nudged
 */

const element = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const MODES = ["window", "pan", "ruler", "angle", "region"];

export class ViewingRoom {
  /**
   * @param {(message: string) => void} announce
   * @param {Hooks} hooks
   */
  constructor(announce, hooks) {
    this.announce = announce;
    this.hooks = hooks;
    /** @type {Image[]} */
    this.images = [];
    /** @type {PixelImage[]} */
    this.pixels = [];
    /** @type {Float32Array | null} */
    this.map = null;
    /** @type {Mode} */
    this.dragging = "window";
    this.paired = false;
    const changed = (/** @type {Pane} */ pane) => this.viewChanged(pane);
    this.main = new Pane(element("stage"), changed);
    this.second = new Pane(element("stage-2"), changed);
    /** The pane that the toolbar is about. */
    this.active = this.main;
    this.tabs = new ImageTabs(element("images"), (index) => this.select(index));
    this.link = new PaneLink(this.main, this.second);
    const measures = new Measurements(this.main.viewer, element("measures"), announce);
    this.measures = [measures, new Measurements(this.second.viewer, element("measures-2"), announce, measures.all)];
    this.heat = new HeatControls(() => this.paint());
    this.toolbar = new Toolbar(this);
    this.connect();
  }

  connect() {
    const { hooks } = this;
    for (const [index, pane] of this.panes.entries()) {
      const isMain = pane === this.main;
      pane.shareAt = (x, y) => hooks.shareAt(x, y, pane.image);
      const nothing = () => undefined;
      pane.connect({
        dragging: () => (isMain || this.dragging !== "region" ? this.dragging : "window"),
        pointed: (at) => this.link.point(pane, at),
        drawn: isMain ? hooks.drawn : nothing,
        drawnOut: isMain ? hooks.drawnOut : nothing,
        letGo: isMain ? hooks.letGo : nothing,
        clicked: isMain ? hooks.clicked : nothing,
        measuring: this.measures[index],
      });
      for (const kind of ["pointerdown", "focusin"]) pane.stage.addEventListener(kind, () => this.activate(pane));
    }
  }

  /** Of the pane that the toolbar is about. */
  get measuring() {
    return this.measures[this.panes.indexOf(this.active)];
  }

  get panes() {
    return [this.main, this.second];
  }

  /**
   * The images of a report, whose values may still be on their way.
   *
   * @param {Image[]} images
   * @param {PixelImage[]} previews
   * @param {(PixelImage | null)[]} stored
   */
  show(images, previews, stored) {
    this.images = images;
    this.pixels = previews.map((preview, index) => matching(stored[index] ?? null, images[index]) ?? preview);
    this.tabs.render(images, previews);
    for (const measures of this.measures) measures.clear();
    this.setPaired(false);
    element("side-by-side").hidden = images.length < 2;
    this.select(0);
  }

  /** An image before there is a report. @param {PixelImage} image */
  showAlone(image) {
    if (this.images.length) this.clear();
    if (this.pixels[0] !== image) {
      this.pixels = [image];
      this.main.show(0, image, { name: "Image", number: 1, count: 1 });
    } else this.main.grow(image);
    this.toolbar.listPresets();
  }

  clear() {
    this.images = [];
    this.pixels = [];
    this.map = null;
    for (const measures of this.measures) measures.clear();
    this.setPaired(false);
    this.tabs.render([], []);
    for (const pane of this.panes) pane.setHeat(null);
  }

  /**
   * @param {number} index
   * @param {PixelImage} image more of it
   */
  grow(index, image) {
    if (!this.images.length) {
      if (index === 0) this.showAlone(image);
      return;
    }
    const fitting = matching(image, this.images[index]);
    if (!fitting) return;
    this.pixels[index] = fitting;
    this.link.quietly(() => {
      for (const pane of this.panes) if (pane.image === index && (pane === this.main || this.paired)) pane.grow(fitting);
    });
    if (this.active.image === index) this.toolbar.listPresets();
  }

  /** @param {number} index */
  select(index) {
    if (!this.images[index]) return;
    this.tabs.select(index);
    this.put(this.main, index);
    if (this.paired && this.second.image === index) this.put(this.second, (index + 1) % this.images.length);
    this.activate(this.main);
    this.hooks.selected(index);
    this.paint();
  }

  /**
   * @param {Pane} pane
   * @param {number} index
   */
  put(pane, index) {
    const label = { name: viewName(this.images[index]), number: index + 1, count: this.images.length };
    this.link.quietly(() => pane.show(index, this.pixels[index], label));
    this.measures[this.panes.indexOf(pane)].setImage(index);
    if (this.active === pane) this.toolbar.listPresets();
  }

  /** @param {1 | -1} step */
  stepImage(step) {
    const count = this.images.length;
    if (count > 1) this.select((this.main.image + step + count) % count);
  }

  /** @param {Pane} pane */
  activate(pane) {
    if (this.active === pane) return;
    this.active = pane;
    for (const one of this.panes) one.stage.classList.toggle("active", this.paired && one === pane);
    this.toolbar.listPresets();
  }

  togglePair() {
    if (this.images.length > 1) this.setPaired(!this.paired);
    else this.announce("The study has one image only.");
  }

  /** @param {boolean} paired */
  setPaired(paired) {
    this.paired = paired;
    this.link.on = paired;
    for (const pane of this.panes) pane.mark(null);
    element("stage-2").hidden = !paired;
    element("stages").classList.toggle("paired", paired);
    pressed("side-by-side", paired);
    if (!paired) return this.activate(this.main);
    const prior = this.images.findIndex(({ prior: earlier }, index) => earlier && index !== this.main.image);
    this.put(this.second, prior >= 0 ? prior : (this.main.image + 1) % this.images.length);
    this.paint();
  }

  /** @param {Pane} pane */
  viewChanged(pane) {
    if (!this.toolbar) return;
    this.link.follow(pane);
    if (pane === this.active) this.toolbar.showView();
  }

  /** @param {Mode} mode */
  setDragging(mode) {
    this.dragging = mode;
    for (const other of MODES) pressed(`drag-${other}`, other === mode);
    for (const pane of this.panes) pane.stage.dataset.dragging = mode;
    const said = {
      ruler: "Draw a line on the image, or use the arrow keys on it.",
      angle: "Draw the first leg, then click where the second ends; or use the arrow keys on the image.",
      region: "Draw a rectangle on the image, or use the arrow keys on it.",
    };
    if (said[mode]) this.announce(said[mode]);
  }

  toggleOverlay() {
    const on = !this.main.overlay;
    for (const pane of this.panes) {
      pane.overlay = on;
      pane.viewer.redraw();
    }
    pressed("overlay", on);
    this.announce(on ? "The attention map is shown." : "The attention map is hidden.");
  }

  toggleLens() {
    for (const pane of this.panes) {
      pane.magnifies = !pane.magnifies;
      if (!pane.magnifies) pane.viewer.setLens(null);
    }
    pressed("magnify", this.main.magnifies);
    const { clientWidth, clientHeight } = this.main.canvas;
    if (this.main.magnifies) this.main.viewer.setLens({ x: clientWidth / 2, y: clientHeight / 2 });
  }

  /** @param {Float32Array | null} map */
  setMap(map) {
    this.map = map;
    this.tabs.showShares(map && sharePerImage(map, this.images));
    this.paint();
  }

  /** Draw the shown map and its scale as the controls now say. */
  paint() {
    if (!this.images.length) return;
    const heats = this.heat.of(this.images, this.map);
    this.main.setHeat(heats[this.main.image]);
    this.second.setHeat(heats[this.second.image] ?? null);
    if (this.images.length > 1) this.tabs.showHeat(heats);
    this.heat.explain(this.images, this.main.image, this.map);
  }
}

/**
 * @param {PixelImage | null} stored
 * @param {Image} image
 * @returns {PixelImage | null} the values where they are of this image's size, else a preview has to do
 */
function matching(stored, image) {
  const same = stored?.description.width === image.width && stored.description.height === image.height;
  return same ? stored : null;
}
