// Frames from a `.npy` file.

const READ = {
  f8: (view, at, little) => view.getFloat64(at, little),
  f4: (view, at, little) => view.getFloat32(at, little),
};

/** Return the numbers of a `.npy` file in row order, and its shape. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  const text = (from, to) => String.fromCharCode(...new Uint8Array(buffer.slice(from, to)));
  if (buffer.byteLength < 10 || text(0, 6) !== "\x93NUMPY") throw new Error("It is no .npy file.");
  const wide = view.getUint8(6) > 1;
  const start = wide ? 12 : 10;
  const end = start + (wide ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = text(start, end);
  const [, order, type] = header.match(/'descr': '([<>|=])(\w+)'/) ?? [];
  const [, axes] = header.match(/'shape': \(([\d, ]*)\)/) ?? [];
  if (axes === undefined || !(type in READ)) {
    throw new Error(`wanted floats of 32 or 64 bits in a .npy file, got ${type ?? "others"}.`);
  }
  const shape = axes.split(",").filter((axis) => axis.trim()).map(Number);
  const count = shape.reduce((product, axis) => product * axis, 1);
  const bytes = Number(type.slice(1));
  if (end + count * bytes !== buffer.byteLength) throw new Error("The .npy file is not whole.");
  const values = Float32Array.from({ length: count }, (_, i) =>
    READ[type](view, end + i * bytes, order !== ">"));
  return { values, shape, columns: header.includes("'fortran_order': True") };
}

function turned(values, rows, columns) {
  const made = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) made[r * columns + c] = values[c * rows + r];
  }
  return made;
}

/**
 * Return full rows of frames, optional features that are not there NaN.
 *
 * `widths` are what a row may have, the full one first: `(F, width)` or `(width, F)`, also with a
 * leading axis of 1; where both would do, frames come first.
 */
export function rowsOf({ values, shape, columns }, widths) {
  const axes = shape.length === 3 && shape[0] === 1 ? shape.slice(1) : shape;
  const [one, other] = axes;
  const flat = axes.length === 2;
  if (!flat || !values.length || !(widths.includes(other) || widths.includes(one))) {
    throw new Error(`wanted frames of shape (frames, ${widths.join(" or ")}), got (${shape}).`);
  }
  const across = !widths.includes(other);
  const [frames, width] = across ? [other, one] : [one, other];
  // Column order is the other axis first, so that one turn undoes the other.
  const narrow = across !== columns ? turned(values, frames, width) : values;
  if (!narrow.every(Number.isFinite) && width === widths.at(-1)) {
    throw new Error("NaN, infinity or too large a number in the frames.");
  }
  const rows = new Float32Array(frames * widths[0]).fill(NaN);
  for (let f = 0; f < frames; f++) {
    rows.set(narrow.subarray(f * width, (f + 1) * width), f * widths[0]);
  }
  return rows;
}
