// @ts-check
/** Lines of equal attention: marching squares over a map's values. Knows no page. */

/** @typedef {import("../api.js").Extent} Extent */
/** @typedef {{path: Path2D, level: number}} Contour level: of the scale, in (0, 1] */

/**
 * Per case of the four corners above the level, the sides that its lines join: 0 top, 1 right, 2 bottom, 3 left.
 * Of the two ambiguous cases (5 and 10) the corners are kept apart.
 */
const SIDES = [
  [], [[3, 0]], [[0, 1]], [[3, 1]], [[1, 2]], [[3, 0], [1, 2]], [[0, 2]], [[3, 2]],
  [[2, 3]], [[2, 0]], [[0, 1], [2, 3]], [[2, 1]], [[1, 3]], [[1, 0]], [[0, 3]], [],
];

/**
 * @param {Float32Array} values rows x columns, in [0, 1]
 * @param {number} rows
 * @param {number} columns
 * @param {number[]} levels
 * @param {Extent} extent that the values cover, each in the middle of its cell
 * @returns {Contour[]}
 */
export function contoursOf(values, rows, columns, levels, extent) {
  const [across, down] = [extent.width / columns, extent.height / rows];
  // A border of zeros closes the lines of what touches the edge.
  const at = (/** @type {number} */ row, /** @type {number} */ column) =>
    row < 0 || column < 0 || row >= rows || column >= columns ? 0 : values[row * columns + column];
  return levels.map((level) => {
    const path = new Path2D();
    for (let row = -1; row < rows; row++) {
      for (let column = -1; column < columns; column++) {
        const corners = [at(row, column), at(row, column + 1), at(row + 1, column + 1), at(row + 1, column)];
        const origin = { x: extent.left + (column + 0.5) * across, y: extent.top + (row + 0.5) * down };
        addCell(path, corners, level, origin, across, down);
      }
    }
    return { path, level };
  });
}

/**
 * @param {Path2D} path
 * @param {number[]} corners clockwise from the upper left
 * @param {number} level
 * @param {{x: number, y: number}} origin of the upper left corner
 * @param {number} across
 * @param {number} down
 */
function addCell(path, corners, level, origin, across, down) {
  const sides = SIDES[corners.reduce((code, value, index) => code | (Number(value >= level) << index), 0)];
  const [a, b, c, d] = corners;
  const share = (/** @type {number} */ from, /** @type {number} */ to) => (level - from) / (to - from);
  /** @type {(() => [number, number])[]} */
  const places = [() => [share(a, b), 0], () => [1, share(b, c)], () => [share(d, c), 1], () => [0, share(a, d)]];
  for (const [from, to] of sides) {
    const [[x0, y0], [x1, y1]] = [places[from](), places[to]()];
    path.moveTo(origin.x + x0 * across, origin.y + y0 * down);
    path.lineTo(origin.x + x1 * across, origin.y + y1 * down);
  }
}
