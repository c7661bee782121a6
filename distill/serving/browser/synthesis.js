// Frames in, samples out: the loader's part of an exported sampler, whatever runs its graph.

import { Noise } from "./philox.js";

const ARRAYS = { float32: Float32Array, float64: Float64Array };

/** Return the numbers in a row of frames that a model can take: optional ones may be missing. */
export function widths({ features, optional }) {
  const framed = Object.entries(features).filter(([, { kind }]) => kind === "frames");
  let width = framed.reduce((sum, [, { size }]) => sum + size, 0);
  const found = [width];
  for (const [name, { size }] of framed.reverse()) {
    if (!optional.includes(name)) break;
    width -= size;
    found.push(width);
  }
  return found;
}

/** Return coefficients and gain of each frame from its autocorrelation, by Levinson's recursion. */
export function predictors(autocorrelation, order) {
  const frames = autocorrelation.length / (order + 1);
  const coefficients = new Float64Array(frames * order);
  const gain = new Float64Array(frames);
  for (let f = 0; f < frames; f++) {
    const r = autocorrelation.subarray(f * (order + 1), (f + 1) * (order + 1));
    const a = coefficients.subarray(f * order, (f + 1) * order);
    let left = r[0];
    for (let i = 0; i < order; i++) {
      let rest = r[i + 1];
      for (let j = 0; j < i; j++) rest -= a[j] * r[i - j];
      const k = rest / left;
      for (let j = 0; 2 * j < i; j++) {
        const [low, high] = [a[j], a[i - 1 - j]];
        a[j] = low - k * high;
        a[i - 1 - j] = high - k * low;
      }
      a[i] = k;
      left *= 1 - k * k;
    }
    gain[f] = Math.sqrt(left);
  }
  return { coefficients, gain };
}

/** All-pole filter x[t] = g e[t] + a[1] x[t - 1] + ... + a[p] x[t - p], in double precision. */
export class AllPole {
  constructor(order) {
    this.order = order;
    this.past = new Float64Array(order); // the last p samples, oldest first
  }

  /** Filter whole frames; coefficients `(F, p)` and gain `(F,)` hold for `hop` samples each. */
  run(excitation, coefficients, gain, hop) {
    const { order } = this;
    const x = new Float64Array(order + excitation.length);
    x.set(this.past);
    for (let t = 0; t < excitation.length; t++) {
      const frame = Math.floor(t / hop);
      const first = frame * order;
      let sum = gain[frame] * excitation[t];
      for (let k = 0; k < order; k++) sum += coefficients[first + k] * x[order + t - 1 - k];
      x[order + t] = sum;
    }
    this.past = x.slice(excitation.length);
    return x.subarray(order);
  }
}

/**
 * One sound: push frames, get the samples that are ready; any split gives the same samples.
 *
 * `about` is the JSON beside the file. `run(feeds)` runs the graph: it takes and gives
 * `{ name: { type, dims, data } }`. `labels` gives the number of each label by name.
 */
export class Stream {
  constructor(about, run, { seed, temperature = 1, labels = {} }) {
    this.about = about;
    this.run = run;
    this.noise = new Noise(about.base, seed);
    this.temperature = temperature;
    this.labels = labels;
    this.filter = about.filter_order ? new AllPole(about.filter_order) : null;
    [this.width] = widths(about);
    this.rows = new Float32Array(0); // frames that wait for those of look-ahead
    this.last = null;
    this.state = null;
  }

  /** Take in rows of frames, features side by side; return the samples that are ready. */
  async push(given) {
    let rows = given;
    this.last = rows.slice(-this.width);
    if (this.state === null) {
      rows = joined(this.rows, rows);
      const ahead = this.about.latency * this.width;
      if (rows.length < ahead) {
        this.rows = rows;
        return new Float32Array(0);
      }
      this.state = this.begun(rows);
      rows = rows.subarray(ahead);
    }
    return rows.length ? this.chunk(rows) : new Float32Array(0);
  }

  /** End the sound: the last frame stands for those that are missing. */
  async finish() {
    const { latency } = this.about;
    if (!latency || this.last === null) return new Float32Array(0);
    const rows = new Float32Array(latency * this.width);
    for (let i = 0; i < latency; i++) rows.set(this.last, i * this.width);
    return this.push(rows);
  }

  begun(rows) {
    const state = {};
    for (const { name, dtype, shape, fill } of this.about.state) {
      if (fill === "filter") continue;
      const size = shape.reduce((product, axis) => product * axis, 1);
      const data = new ARRAYS[dtype](size);
      if (fill === "frames") data.set(rows.subarray(0, size));
      state[name] = { type: dtype, dims: [1, ...shape], data };
    }
    return state;
  }

  async chunk(rows) {
    const { dtype, hop, inputs, state } = this.about;
    const frames = rows.length / this.width;
    const noise = this.noise.fill(new ARRAYS[dtype](frames * hop), this.temperature);
    const all = {
      ...this.state,
      ...this.features(rows, frames),
      noise: { type: dtype, dims: [1, noise.length], data: noise },
    };
    // What the graph does not use is no input of it.
    const feeds = Object.fromEntries(inputs.map(({ name }) => [name, all[name]]));
    const found = await this.run(feeds);
    for (const { name, after } of state) {
      if (after in found) this.state[name] = found[after];
    }
    if (this.filter === null) return checked(Float32Array.from(found.x.data));
    const { coefficients, gain } = predictors(found.autocorrelation.data, this.filter.order);
    return checked(
      Float32Array.from(this.filter.run(found.excitation.data, coefficients, gain, hop)),
    );
  }

  features(rows, frames) {
    const made = {};
    let first = 0;
    for (const [name, { kind, size }] of Object.entries(this.about.features)) {
      if (kind === "label") {
        const data = BigInt64Array.of(BigInt(this.labels[name]));
        made[name] = { type: "int64", dims: [1], data };
        continue;
      }
      const data = new ARRAYS[this.about.dtype](frames * size);
      for (let f = 0; f < frames; f++) {
        const start = f * this.width + first;
        data.set(rows.subarray(start, start + size), f * size);
      }
      made[name] = { type: this.about.dtype, dims: [1, frames, size], data };
      first += size;
    }
    return made;
  }
}

function joined(one, other) {
  const made = new Float32Array(one.length + other.length);
  made.set(one);
  made.set(other, one.length);
  return made;
}

function checked(samples) {
  if (!samples.every(Number.isFinite)) {
    throw new Error("The student made numbers that are not finite of these frames.");
  }
  return samples;
}
