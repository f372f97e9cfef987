// @ts-check
/** The stored values of a study's files, fetched one after another while the report is written. */

import { Problem } from "../api.js";
import { requestPixels } from "./pixels.js";

/** @typedef {import("./pixels.js").PixelImage} PixelImage */

export class PixelLoader {
  /**
   * @param {File[]} files in the order in which the report counts its images
   * @param {(index: number, image: PixelImage) => void} grown more of an image has arrived
   */
  constructor(files, grown) {
    this.grown = grown;
    /** @type {(PixelImage | null)[]} */
    this.images = files.map(() => null);
    /** @type {(string | null)[]} why there is none, in words */
    this.problems = files.map(() => null);
    this.stopping = new AbortController();
    this.done = this.load(files);
  }

  stop() {
    this.stopping.abort();
  }

  /** @param {File[]} files */
  async load(files) {
    for (const [index, file] of files.entries()) {
      try {
        await requestPixels(file, this.stopping.signal, (image) => this.arrived(index, image));
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        this.problems[index] = error instanceof Problem ? `${error.title}. ${error.detail}` : String(error);
      }
    }
  }

  /**
   * @param {number} index
   * @param {PixelImage} image
   */
  arrived(index, image) {
    if (this.stopping.signal.aborted || image.levels.every(({ ready, rows }) => ready < rows)) return;
    this.images[index] = image;
    this.grown(index, image);
  }
}
