// Log-mel spectrograms by the settings of a model, as Python computes them.

import { fft } from "./fft.js";

const SLOPE = 200 / 3; // Hz of a mel below 1000 Hz on Slaney's scale
const LOG_STEP = Math.log(6.4) / 27;

function toMel(hertz, htk) {
  if (htk) return 2595 * Math.log10(1 + hertz / 700);
  return hertz < 1000 ? hertz / SLOPE : 15 + Math.log(hertz / 1000) / LOG_STEP;
}

function toHertz(mel, htk) {
  if (htk) return 700 * (10 ** (mel / 2595) - 1);
  return mel < 15 ? mel * SLOPE : 1000 * Math.exp(LOG_STEP * (mel - 15));
}

/** Return each band's triangle: the first point of the transform under it, and its weights. */
function filters({ bands, fft: size, low, high, htk, normalize }, rate) {
  const [from, to] = [toMel(low, htk), toMel(high ?? rate / 2, htk)];
  const edges = Array.from({ length: bands + 2 }, (_, i) =>
    toHertz(from + (i * (to - from)) / (bands + 1), htk));
  return Array.from({ length: bands }, (_, band) => {
    const [left, middle, right] = edges.slice(band, band + 3);
    const area = normalize ? 2 / (right - left) : 1;
    const weights = [];
    let first = 0;
    for (let point = 0; point <= size / 2; point++) {
      const hertz = (point * rate) / size;
      const weight = Math.min((hertz - left) / (middle - left), (right - hertz) / (right - middle));
      if (weight <= 0) continue;
      if (!weights.length) first = point;
      weights.push(area * weight);
    }
    return { first, weights };
  });
}

/** Transform real numbers of any count by the definition, into `count / 2 + 1` points. */
function slowly(real, imaginary) {
  const size = real.length;
  const turns = Array.from({ length: size }, (_, i) => (-2 * Math.PI * i) / size);
  const [cos, sin] = [turns.map(Math.cos), turns.map(Math.sin)];
  const given = real.slice();
  for (let k = 0; k <= size / 2; k++) {
    real[k] = 0;
    imaginary[k] = 0;
    for (let i = 0; i < size; i++) {
      real[k] += given[i] * cos[(i * k) % size];
      imaginary[k] += given[i] * sin[(i * k) % size];
    }
  }
}

/** Return samples with their ends reflected, or with zeros where there is too little to reflect. */
function padded(samples, left, right) {
  const count = samples.length;
  const made = new Float64Array(left + count + right);
  made.set(samples, left);
  if (Math.max(left, right) >= count) return made;
  for (let i = 1; i <= left; i++) made[left - i] = samples[i];
  for (let i = 1; i <= right; i++) made[left + count - 1 + i] = samples[count - 1 - i];
  return made;
}

function logarithm({ log, floor, reference, span }, value) {
  const held = Math.max(value, floor);
  if (log === "natural") return Math.log(held);
  if (log === "log10") return Math.log10(held);
  return Math.min(Math.max((20 * Math.log10(held) - reference) / span + 1, 0), 1);
}

/**
 * Return frames `(F, bands)`, row after row, of samples of full scale 1; F = T / hop, rounded up.
 *
 * `settings` are those of `settings.mel` in the JSON beside an exported file.
 */
export function logMel(samples, settings, rate) {
  const { bands, fft: size, window, hop, power, align, preemphasis } = settings;
  const frames = Math.ceil(samples.length / hop);
  let x = new Float64Array(frames * hop);
  x.set(samples);
  if (preemphasis) x = x.map((value, i) => value - preemphasis * (i ? x[i - 1] : 0));
  const left = Math.floor(align === "start" ? size / 2 : (size - hop) / 2);
  x = padded(x, left, size - hop - left);
  const before = Math.floor((size - window) / 2);
  const hann = Float64Array.from({ length: window }, (_, i) =>
    0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
  const transform = Number.isInteger(Math.log2(size)) ? fft : slowly;
  const triangles = filters(settings, rate);
  const made = new Float32Array(frames * bands);
  const [real, imaginary] = [new Float64Array(size), new Float64Array(size)];
  for (let f = 0; f < frames; f++) {
    real.fill(0);
    imaginary.fill(0);
    for (let i = 0; i < window; i++) real[before + i] = hann[i] * x[f * hop + before + i];
    transform(real, imaginary);
    for (let i = 0; i <= size / 2; i++) real[i] = Math.hypot(real[i], imaginary[i]) ** power;
    triangles.forEach(({ first, weights }, band) => {
      const sum = weights.reduce((total, weight, i) => total + weight * real[first + i], 0);
      made[f * bands + band] = logarithm(settings, sum);
    });
  }
  return made;
}
