// @ts-check
/**
 * Color maps as tables of 256 sRGB colors.
 *
 * Each is a path through OKLab (Ottosson, "A perceptual color space for image processing", 2020) whose
 * lightness only rises, walked at equal speed, so that equal steps of attention look like equal steps of
 * color. Rising lightness also keeps the order readable in grayscale and for every kind of color vision.
 */

/** @typedef {{title: string, path: [lightness: number, chroma: number, hue: number][]}} ColorPath */

/** Lightness in [0, 1], chroma, hue in degrees. @type {Record<string, ColorPath>} */
const PATHS = {
  ember: {
    title: "Ember",
    path: [[0.12, 0.05, 300], [0.3, 0.15, 305], [0.47, 0.2, 350], [0.63, 0.21, 30], [0.77, 0.17, 62], [0.93, 0.15, 100]],
  },
  lagoon: {
    title: "Lagoon",
    path: [[0.16, 0.08, 295], [0.34, 0.14, 275], [0.5, 0.1, 235], [0.64, 0.1, 180], [0.78, 0.17, 145], [0.93, 0.18, 108]],
  },
  orchid: {
    title: "Orchid",
    path: [[0.12, 0.05, 285], [0.3, 0.14, 295], [0.48, 0.19, 325], [0.64, 0.19, 5], [0.8, 0.12, 45], [0.95, 0.06, 95]],
  },
  amber: {
    title: "Amber (color-blind safe)",
    path: [[0.2, 0.06, 50], [0.38, 0.1, 52], [0.56, 0.13, 62], [0.74, 0.16, 78], [0.93, 0.17, 104]],
  },
  gray: {
    title: "Gray",
    path: [[0.1, 0, 0], [1, 0, 0]],
  },
};

export const COLOR_MAPS = Object.entries(PATHS).map(([name, { title }]) => ({ name, title }));

/**
 * @param {string} name one of COLOR_MAPS
 * @returns {Uint8Array} 256 x 3, red, green, blue in [0, 255], lowest value first
 * @throws {RangeError} no such map
 */
export function colorTable(name) {
  const known = PATHS[name];
  if (!known) throw new RangeError(`no color map ${name}: choose one of ${Object.keys(PATHS)}`);
  const fine = evenSteps(sampled(known.path, 1024), 256);
  const table = new Uint8Array(256 * 3);
  fine.forEach((lab, index) => table.set(toBytes(lab), index * 3));
  return table;
}

/**
 * @param {[number, number, number][]} path
 * @param {number} count
 * @returns {[number, number, number][]} OKLab points inside the sRGB gamut
 */
function sampled(path, count) {
  const corners = path.map(([lightness, chroma, hue]) => {
    const angle = (hue * Math.PI) / 180;
    return [lightness, chroma * Math.cos(angle), chroma * Math.sin(angle)];
  });
  /** @type {[number, number, number][]} */
  const points = [];
  for (let step = 0; step < count; step++) {
    const along = (step / (count - 1)) * (corners.length - 1);
    const from = Math.min(Math.floor(along), corners.length - 2);
    const point = curve(corners, from, along - from);
    points.push(insideGamut(point));
  }
  return points;
}

/**
 * A Catmull-Rom curve through the corners, so that the path has no kinks.
 *
 * @param {number[][]} corners
 * @param {number} from
 * @param {number} t position in [0, 1] between corner `from` and the next
 * @returns {[number, number, number]}
 */
function curve(corners, from, t) {
  const at = (/** @type {number} */ i) => corners[Math.max(0, Math.min(corners.length - 1, i))];
  const [a, b, c, d] = [at(from - 1), at(from), at(from + 1), at(from + 2)];
  const axis = (/** @type {number} */ k) =>
    0.5 *
    (2 * b[k] +
      (c[k] - a[k]) * t +
      (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k]) * t * t +
      (3 * b[k] - a[k] - 3 * c[k] + d[k]) * t * t * t);
  return [axis(0), axis(1), axis(2)];
}

/**
 * @param {[number, number, number][]} points
 * @param {number} count
 * @returns {[number, number, number][]} the same path in steps of equal length
 */
function evenSteps(points, count) {
  const lengths = [0];
  for (let i = 1; i < points.length; i++) {
    lengths.push(lengths[i - 1] + Math.hypot(...points[i].map((value, k) => value - points[i - 1][k])));
  }
  const total = lengths[lengths.length - 1];
  let place = 0;
  return Array.from({ length: count }, (_, step) => {
    const wanted = (step / (count - 1)) * total;
    while (place < points.length - 2 && lengths[place + 1] < wanted) place++;
    const t = (wanted - lengths[place]) / (lengths[place + 1] - lengths[place]);
    const [from, to] = [points[place], points[place + 1]];
    const axis = (/** @type {number} */ k) => from[k] + t * (to[k] - from[k]);
    return [axis(0), axis(1), axis(2)];
  });
}

/**
 * Keep lightness and hue, give up as much chroma as sRGB cannot show.
 *
 * @param {[number, number, number]} lab
 * @returns {[number, number, number]}
 */
function insideGamut([lightness, a, b]) {
  let [low, high] = [0, 1];
  const fits = (/** @type {number} */ share) =>
    linearRgb([lightness, a * share, b * share]).every((v) => v >= 0 && v <= 1);
  if (fits(1)) return [lightness, a, b];
  for (let round = 0; round < 16; round++) {
    const middle = (low + high) / 2;
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return [lightness, a * low, b * low];
}

/**
 * @param {number[]} lab
 * @returns {[number, number, number]} linear-light sRGB, outside [0, 1] where out of gamut
 */
function linearRgb([lightness, a, b]) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [
    4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
    -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
    -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
  ];
}

/**
 * @param {number[]} lab
 * @returns {number[]} sRGB bytes
 */
function toBytes(lab) {
  return linearRgb(lab).map((linear) => {
    const value = Math.min(1, Math.max(0, linear));
    const encoded = value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055;
    return Math.round(encoded * 255);
  });
}
