// @ts-check
/**
 * A word's attention as numbers: decoded, averaged, measured, and painted into pixels.
 *
 * A map is a Float32Array of every patch of every image of the study, images one after another and
 * row-major inside each. Its sum is the share of attention that fell on the images. Knows no page.
 */

/** @typedef {import("./api.js").Image} Image */
/** @typedef {import("./api.js").Heatmap} Heatmap */
/** @typedef {{image: number, row: number, column: number, share: number}} Peak */
/** @typedef {{width: number, height: number, rgba: Uint8ClampedArray<ArrayBuffer>}} Painting */
/**
 * @typedef {{even: number, top: number, log: boolean, perWord: boolean}} Scale shares of attention per patch:
 *   of a map spread evenly over its image, and at the upper end; log: from the one to the other in equal
 *   ratios; perWord: stretched to what is shown
 */

/**
 * @param {Heatmap | null} heatmap
 * @returns {Float32Array | null} share of attention per patch; null of what has no map
 */
export function decode(heatmap) {
  return heatmap && Float32Array.from(atob(heatmap.data), (letter) => letter.charCodeAt(0) * heatmap.scale);
}

/**
 * @param {Float32Array[]} maps at least one, of equal length
 * @returns {Float32Array} their mean
 */
export function average(maps) {
  const mean = new Float32Array(maps[0].length);
  for (const map of maps) {
    for (let patch = 0; patch < mean.length; patch++) mean[patch] += map[patch] / maps.length;
  }
  return mean;
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @param {number} index
 * @returns {Float32Array} rows x columns of one image
 */
export function ofImage(map, images, index) {
  let start = 0;
  for (const before of images.slice(0, index)) start += before.rows * before.columns;
  return map.subarray(start, start + images[index].rows * images[index].columns);
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @returns {number[]} share of attention that fell on each image
 */
export function sharePerImage(map, images) {
  return images.map((_, index) => ofImage(map, images, index).reduce((a, b) => a + b, 0));
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @returns {Peak} the patch with the largest share
 */
export function peak(map, images) {
  /** @type {Peak} */
  let best = { image: 0, row: 0, column: 0, share: -1 };
  images.forEach((image, index) => {
    ofImage(map, images, index).forEach((share, patch) => {
      if (share <= best.share) return;
      const row = Math.floor(patch / image.columns);
      best = { image: index, row, column: patch % image.columns, share };
    });
  });
  return best;
}

/**
 * @param {Peak} at
 * @param {Image} image
 * @param {string} name of the image, such as "the image"
 * @returns {string} where the patch lies on the image as drawn, in words
 */
export function placeInWords(at, image, name) {
  const { extent, columns, rows, width, height } = image;
  const x = (extent.left + ((at.column + 0.5) * extent.width) / columns) / width;
  const y = (extent.top + ((at.row + 0.5) * extent.height) / rows) / height;
  if (x < 0 || x > 1 || y < 0 || y > 1) return `outside ${name}, in its padding`;
  const across = x < 1 / 3 ? "left" : x > 2 / 3 ? "right" : "middle";
  const down = y < 1 / 3 ? "upper" : y > 2 / 3 ? "lower" : "mid";
  if (across === "middle" && down === "mid") return `center of ${name}`;
  return `${down} ${across} of ${name}`;
}

/** Times an even spread over one image at which the absolute scale ends. */
const ABSOLUTE_TOP = 30;

/**
 * @param {Image} image
 * @returns {number} the top of the absolute scale, a round share of attention per patch in (0, 1]. It
 *   depends on the grid alone, so that a color means the same in every word and report of a model.
 */
export function absoluteTop(image) {
  return Math.min(1, roundUp(ABSOLUTE_TOP / (image.rows * image.columns)));
}

/**
 * @param {Float32Array} map
 * @returns {number} the top of a scale stretched to one map, in (0, 1]
 */
export function topOfOne(map) {
  return Math.min(1, roundUp(map.reduce((a, b) => Math.max(a, b), 0)));
}

/**
 * @param {number} value
 * @returns {number} the next number that reads well; 0.01 for 0
 */
function roundUp(value) {
  if (value <= 0) return 0.01;
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10];
  const step = steps.find((candidate) => candidate * power >= value * (1 - 1e-6)) ?? 10;
  return step * power;
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @param {number} index
 * @param {number} x original pixels
 * @param {number} y original pixels
 * @returns {number | null} the share of the patch that covers the point; null off the grid
 */
export function shareAt(map, images, index, x, y) {
  const { extent, rows, columns } = images[index];
  const column = Math.floor(((x - extent.left) / extent.width) * columns);
  const row = Math.floor(((y - extent.top) / extent.height) * rows);
  if (column < 0 || row < 0 || column >= columns || row >= rows) return null;
  return ofImage(map, images, index)[row * columns + column];
}

/**
 * @param {Float32Array} map
 * @param {Image[]} images
 * @param {number} index
 * @param {import("./api.js").Extent} box in original pixels of that image
 * @returns {number} share of attention inside the box; a patch counts by the part of it that is inside
 */
export function shareInside(map, images, index, box) {
  const { extent, rows, columns } = images[index];
  const [patchWidth, patchHeight] = [extent.width / columns, extent.height / rows];
  const across = overlaps((box.left - extent.left) / patchWidth, box.width / patchWidth, columns);
  const down = overlaps((box.top - extent.top) / patchHeight, box.height / patchHeight, rows);
  return ofImage(map, images, index).reduce(
    (sum, share, patch) => sum + share * down[Math.floor(patch / columns)] * across[patch % columns],
    0,
  );
}

/**
 * @param {number} start in patches along one axis
 * @param {number} length in patches
 * @param {number} count
 * @returns {number[]} of each patch the part inside, in [0, 1]
 */
function overlaps(start, length, count) {
  return Array.from({ length: count }, (_, at) =>
    Math.max(0, Math.min(at + 1, start + length) - Math.max(at, start)),
  );
}

/** Pixels per patch and axis when smoothing: enough that the canvas' own scaling adds no facets. */
const FINE = 12;

/**
 * @param {number} share
 * @param {Scale} scale
 * @returns {number} its place on the scale, in [0, 1]
 */
export function levelOf(share, { even, top, log }) {
  if (!log) return Math.min(1, share / top);
  return share <= even ? 0 : Math.min(1, Math.log(share / even) / Math.log(top / even));
}

/**
 * @param {number} level in [0, 1]
 * @param {Scale} scale
 * @returns {number} the share that lies there
 */
export function shareOfLevel(level, { even, top, log }) {
  return log ? even * (top / even) ** level : level * top;
}

/**
 * Paint one image's map. Color and opacity both rise with the share, so that patches without
 * attention leave the radiograph as it is.
 *
 * @param {Float32Array} patches rows x columns
 * @param {number} rows
 * @param {number} columns
 * @param {{table: Uint8Array, scale: Scale, smooth: boolean}} paint
 * @returns {Painting}
 */
export function painted(patches, rows, columns, { table, scale, smooth }) {
  const factor = smooth ? FINE : 1;
  const [width, height] = [columns * factor, rows * factor];
  const rgba = new Uint8ClampedArray(width * height * 4);
  fine(patches, rows, columns, factor).forEach((share, at) => {
    const level = levelOf(share, scale);
    const color = Math.round(level * 255) * 3;
    rgba[at * 4] = table[color];
    rgba[at * 4 + 1] = table[color + 1];
    rgba[at * 4 + 2] = table[color + 2];
    rgba[at * 4 + 3] = 255 * opacityOf(level);
  });
  return { width, height, rgba };
}

/**
 * @param {number} level on the scale, in [0, 1]
 * @returns {number} opacity in [0, 1]; full from 0.4 on
 */
export function opacityOf(level) {
  const t = Math.min(1, level / 0.4);
  return t * t * (3 - 2 * t);
}

/**
 * Bilinear between patch centers, flat outside the outermost centers.
 *
 * @param {Float32Array} patches
 * @param {number} rows
 * @param {number} columns
 * @param {number} factor
 * @returns {Float32Array} (rows x factor) x (columns x factor)
 */
export function fine(patches, rows, columns, factor) {
  if (factor === 1) return patches;
  const across = corners(columns, factor);
  const down = corners(rows, factor);
  const values = new Float32Array(down.length * across.length);
  down.forEach(({ low: top, high: bottom, t: v }, y) => {
    across.forEach(({ low: left, high: right, t: u }, x) => {
      const above = patches[top * columns + left] * (1 - u) + patches[top * columns + right] * u;
      const below = patches[bottom * columns + left] * (1 - u) + patches[bottom * columns + right] * u;
      values[y * across.length + x] = above * (1 - v) + below * v;
    });
  });
  return values;
}

/**
 * @param {number} count patches along one axis
 * @param {number} factor
 * @returns {{low: number, high: number, t: number}[]} for each fine pixel its two patches and the mix
 */
function corners(count, factor) {
  return Array.from({ length: count * factor }, (_, i) => {
    const at = Math.min(count - 1, Math.max(0, (i + 0.5) / factor - 0.5));
    const low = Math.floor(at);
    return { low, high: Math.min(count - 1, low + 1), t: at - low };
  });
}
