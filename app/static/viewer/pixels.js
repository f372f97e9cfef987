// @ts-check
/** An image's stored values: asked for, unpacked as they arrive, small first. Draws nothing. */

import { pageHeaders, problemFrom } from "../api.js";

/** @typedef {{first: number, white: number, entries: string}} Table base64 of uint16 */
/**
 * @typedef {{function: "LINEAR" | "LINEAR_EXACT" | "SIGMOID" | "LUT", name: string,
 *   center: number | null, width: number | null, table: Table | null}} Voi
 * @typedef {{rows: number, columns: number, kind: "calibrated" | "imager" | "unstated" | "scanned",
 *   magnification: number | null}} Spacing millimeters between rows and between columns
 * @typedef {{rows: number, columns: number, bytes: number, band: number}} LevelHead
 * @typedef {{rows: number, columns: number, width: number, height: number, bits: number,
 *   lowest: number, slope: number, intercept: number, modality_table: Table | null, unit: string,
 *   shown: Voi, voi: Voi[], inverted: boolean, padding: [number, number] | null,
 *   spacing: Spacing | null, directions: [string, string] | null, levels: LevelHead[]}} Description
 *   docs/reference/rest-api.md describes every field
 * @typedef {Uint8Array<ArrayBuffer> | Uint16Array<ArrayBuffer>} Samples
 * @typedef {{columns: number, rows: number, samples: Samples, ready: number}} Level
 *   ready: rows that have arrived
 * @typedef {{description: Description, levels: Level[], preview: boolean}} PixelImage
 *   levels: small first; preview: 8 bits of a PNG stand for values that are not at hand
 */

/**
 * Fetch one image.
 *
 * @param {File} file the service keeps none, so it is sent once more
 * @param {AbortSignal} signal
 * @param {(image: PixelImage) => void} grown called whenever more of it has arrived
 * @returns {Promise<PixelImage>} once it is whole
 * @throws {import("../api.js").Problem} the service refused
 */
export async function requestPixels(file, signal, grown) {
  const form = new FormData();
  form.append("files", file, file.name);
  const response = await fetch("v1/pixels", { method: "POST", body: form, signal, headers: pageHeaders() });
  if (!response.ok || !response.body) throw await problemFrom(response);
  return unpack(new Blocks(response.body.getReader()), grown);
}

/**
 * @param {Blocks} blocks
 * @param {(image: PixelImage) => void} grown
 * @returns {Promise<PixelImage>}
 */
async function unpack(blocks, grown) {
  const description = JSON.parse(new TextDecoder().decode(await blocks.next()));
  const levels = description.levels.map(emptyLevel);
  const image = { description, levels, preview: false };
  for (const [index, head] of description.levels.entries()) {
    for (let top = 0; top < head.rows; top += head.band) {
      const rows = Math.min(head.band, head.rows - top);
      const planes = await inflated(await blocks.next());
      const start = top * head.columns;
      summed(planes, levels[index].samples.subarray(start, start + rows * head.columns), head.columns);
      levels[index].ready = top + rows;
      grown(image);
    }
  }
  return image;
}

/**
 * @param {LevelHead} head
 * @returns {Level}
 */
function emptyLevel({ columns, rows, bytes }) {
  const samples = bytes === 1 ? new Uint8Array(rows * columns) : new Uint16Array(rows * columns);
  return { columns, rows, samples, ready: 0 };
}

/** The blocks of a stream: a length, then so many bytes. */
class Blocks {
  /** @param {ReadableStreamDefaultReader<Uint8Array>} reader */
  constructor(reader) {
    this.reader = reader;
    /** @type {Uint8Array[]} */
    this.pieces = [];
    this.size = 0;
  }

  /** @returns {Promise<Uint8Array<ArrayBuffer>>} */
  async next() {
    const head = await this.take(4);
    return this.take(new DataView(head.buffer).getUint32(0, true));
  }

  /**
   * @param {number} count
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   */
  async take(count) {
    while (this.size < count) {
      const { value, done } = await this.reader.read();
      if (done) throw new Error("the image ended before it was whole");
      this.pieces.push(value);
      this.size += value.length;
    }
    const taken = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const part = this.pieces[0].subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === this.pieces[0].length) this.pieces.shift();
      else this.pieces[0] = this.pieces[0].subarray(part.length);
    }
    this.size -= count;
    return taken;
  }
}

/**
 * @param {Uint8Array<ArrayBuffer>} deflated
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function inflated(deflated) {
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Undo the differences along rows.
 *
 * @param {Uint8Array} planes all low bytes, then all high bytes
 * @param {Samples} samples to be filled; their type wraps as the differences did
 * @param {number} columns
 */
function summed(planes, samples, columns) {
  const count = samples.length;
  const wide = samples.BYTES_PER_ELEMENT === 2;
  for (let row = 0; row < count; row += columns) {
    let value = 0;
    for (let at = row; at < row + columns; at++) {
      value += wide ? planes[at] | (planes[count + at] << 8) : planes[at];
      samples[at] = value;
    }
  }
}

/**
 * What a PNG shows, where the values themselves are not at hand.
 *
 * @param {string} png base64 of an 8-bit gray PNG
 * @param {{width: number, height: number}} original size in original pixels
 * @returns {Promise<PixelImage>}
 */
export async function previewOf(png, { width, height }) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }), {
    colorSpaceConversion: "none", // gray levels are numbers here, not colors to be managed
  });
  const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  if (!pen) throw new Error("this browser cannot draw on a 2D canvas");
  pen.drawImage(bitmap, 0, 0);
  const rgba = pen.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const samples = new Uint8Array(bitmap.width * bitmap.height);
  for (let i = 0; i < samples.length; i++) samples[i] = rgba[i * 4];
  const [rows, columns] = [bitmap.height, bitmap.width];
  /** @type {Voi} */
  const shown = { function: "LINEAR_EXACT", name: "", center: 127.5, width: 255, table: null };
  return {
    description: {
      rows, columns, width, height, bits: 8, lowest: 0, slope: 1, intercept: 0, modality_table: null, unit: "",
      shown, voi: [], inverted: false, padding: null, spacing: null, directions: null, levels: [],
    },
    levels: [{ rows, columns, samples, ready: rows }],
    preview: true,
  };
}
