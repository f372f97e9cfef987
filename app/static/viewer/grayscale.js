// @ts-check
/**
 * Stored values -> gray, in the standard's order: modality (PS3.3 C.11.1), values of interest
 * (C.11.2), presentation. Worked out once a value, looked up once a pixel. Knows no page.
 */

/** @typedef {import("./pixels.js").Description} Description */
/** @typedef {import("./pixels.js").PixelImage} PixelImage */
/** @typedef {import("./pixels.js").Table} Table */
/** @typedef {import("./pixels.js").Voi} Voi */
/** @typedef {{title: string, voi: Voi}} Preset */

/**
 * @param {Description} description
 * @returns {Float64Array} modality value of every sample
 */
export function modalityValues({ bits, lowest, slope, intercept, modality_table: table }) {
  const count = 2 ** bits;
  const look = table && lookup(table);
  return Float64Array.from({ length: count }, (_, sample) => {
    const stored = sample + lowest;
    return look ? look(stored) : stored * slope + intercept;
  });
}

/**
 * @param {Table} table
 * @returns {(value: number) => number}
 */
function lookup({ first, entries }) {
  const bytes = Uint8Array.from(atob(entries), (letter) => letter.charCodeAt(0));
  const data = new DataView(bytes.buffer);
  const last = bytes.length / 2 - 1;
  return (value) => data.getUint16(2 * Math.min(last, Math.max(0, Math.floor(value) - first)), true);
}

/**
 * @param {Voi} voi
 * @returns {(value: number) => number} modality value -> [0, 1]
 */
export function shadeOf({ function: kind, center, width, table }) {
  if (kind === "LUT") {
    const { white } = /** @type {Table} */ (table);
    const look = lookup(/** @type {Table} */ (table));
    return (value) => clamp(look(value) / white, 0, 1);
  }
  const [c, w] = [Number(center), Number(width)];
  if (kind === "SIGMOID") return (value) => 1 / (1 + Math.exp((-4 * (value - c)) / w));
  if (kind === "LINEAR_EXACT") return (value) => clamp((value - c) / w + 0.5, 0, 1);
  if (w <= 1) return (value) => (value > c - 0.5 ? 1 : 0);
  return (value) => clamp((value - (c - 0.5)) / (w - 1) + 0.5, 0, 1);
}

/**
 * @param {Description} description
 * @param {Float64Array} modality of every sample
 * @param {Voi} voi
 * @param {boolean} turned shown inverted, on top of what the file says
 * @returns {Uint32Array} the opaque RGBA of every sample
 */
export function shadeTable(description, modality, voi, turned) {
  const shade = shadeOf(voi);
  const inverts = description.inverted !== turned;
  const bytes = new Uint8ClampedArray(modality.length * 4);
  const [low, high] = description.padding ?? [1, 0];
  for (let sample = 0; sample < modality.length; sample++) {
    const share = shade(modality[sample]);
    const stored = sample + description.lowest;
    const gray = stored >= low && stored <= high ? 0 : 255 * (inverts ? 1 - share : share);
    bytes.fill(gray, sample * 4, sample * 4 + 3);
    bytes[sample * 4 + 3] = 255;
  }
  return new Uint32Array(bytes.buffer);
}

/**
 * A window that can be moved: of a LUT, the straight one over its input.
 *
 * @param {Voi} voi
 * @returns {Voi}
 */
export function asWindow(voi) {
  if (voi.function !== "LUT" || !voi.table) return voi;
  const count = (atob(voi.table.entries).length / 2);
  return { function: "LINEAR", name: "", center: voi.table.first + count / 2, width: count, table: null };
}

/**
 * @param {Voi} one
 * @param {Voi} other
 * @returns {boolean}
 */
export function sameVoi(one, other) {
  return one.function === other.function && one.center === other.center && one.width === other.width
    && one.table?.entries === other.table?.entries;
}

/** Percentiles that presets span, in the order from black to white as the image is shown. @type {[string, number, number][]} */
const SPANS = [
  ["Lung", 0.5, 70],
  ["Bone", 35, 99.9],
  ["Mediastinum", 55, 99.5],
  ["Auto", 0.5, 99.5],
];

/**
 * The file's own windows, then those of this image's values: a radiograph has no Hounsfield units.
 *
 * @param {PixelImage} image
 * @param {Float64Array} modality of every sample
 * @returns {Preset[]}
 */
export function presetsOf({ description, levels }, modality) {
  const own = description.voi.map((voi, index) => ({ title: voi.name ? titled(voi.name) : `File ${index + 1}`, voi }));
  const listed = own.some(({ voi }) => sameVoi(voi, description.shown));
  if (own.length === 1 && !description.voi[0].name) own[0].title = "File";
  const first = listed ? [] : [{ title: own.length ? "As read" : "Default", voi: description.shown }];
  const at = percentiles(description, levels[0], modality);
  const spans = SPANS.map(([title, low, high]) => ({ title, voi: between(at(low), at(high)) }));
  return [...first, ...own, ...spans];
}

/**
 * @param {string} name in capitals
 * @returns {string}
 */
function titled(name) {
  return name.charAt(0) + name.slice(1).toLowerCase();
}

/**
 * @param {number} one modality value at one end
 * @param {number} other
 * @returns {Voi}
 */
function between(one, other) {
  const width = Math.max(Math.abs(other - one), 1);
  return { function: "LINEAR_EXACT", name: "", center: (one + other) / 2, width, table: null };
}

/**
 * @param {Description} description
 * @param {import("./pixels.js").Level} level the smallest has enough pixels to count
 * @param {Float64Array} modality
 * @returns {(percent: number) => number} the modality value below which so many pixels are shown darker
 */
function percentiles({ lowest, padding, inverted }, level, modality) {
  const counts = new Uint32Array(modality.length);
  const samples = level.samples.subarray(0, level.ready * level.columns);
  for (let i = 0; i < samples.length; i++) counts[samples[i]]++;
  if (padding) counts.fill(0, Math.max(0, padding[0] - lowest), Math.max(0, padding[1] - lowest + 1));
  const order = [...counts.keys()].filter((sample) => counts[sample]);
  order.sort((a, b) => (modality[a] - modality[b]) * (inverted ? -1 : 1));
  const total = order.reduce((sum, sample) => sum + counts[sample], 0);
  return (percent) => {
    let seen = 0;
    for (const sample of order) {
      seen += counts[sample];
      if (seen >= (total * percent) / 100) return modality[sample];
    }
    return modality[order[order.length - 1] ?? 0];
  };
}

/**
 * @param {number} value
 * @param {number} low
 * @param {number} high
 * @returns {number}
 */
export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
