// Waveforms, spectrograms and latencies on canvases.

import { decibels } from "./fft.js";

const FLOOR = -90; // dB that are black
const STOPS = [
  [0, 0, 4], [40, 17, 89], [114, 31, 129], [182, 54, 121], [241, 96, 93], [254, 175, 119],
  [252, 253, 191],
];

/** Return the value of a custom property of the page's style. */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Fit a canvas to its place and return its context and size in device pixels. */
function prepared(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/** Draw the lowest and highest sample under each column. `total` samples fill the width. */
export function waveform(canvas, samples, total = samples.length) {
  const { context, width, height } = prepared(canvas);
  context.fillStyle = color("--line");
  context.fillRect(0, height / 2, width, 1);
  context.fillStyle = color("--wave");
  let peak = 0.05;
  for (const value of samples) peak = Math.max(peak, Math.abs(value));
  for (let x = 0; x < width; x++) {
    const from = Math.floor((x * total) / width);
    const to = Math.min(Math.max(from + 1, Math.floor(((x + 1) * total) / width)), samples.length);
    if (from >= samples.length) break;
    let low = samples[from];
    let high = low;
    for (let i = from; i < to; i++) {
      if (samples[i] < low) low = samples[i];
      if (samples[i] > high) high = samples[i];
    }
    const top = (height / 2) * (1 - high / peak);
    context.fillRect(x, top, 1, Math.max(1, (height / 2) * ((high - low) / peak)));
  }
}

function heat(level) {
  const at = Math.min(Math.max(level, 0), 1) * (STOPS.length - 1);
  const low = Math.min(Math.floor(at), STOPS.length - 2);
  return STOPS[low].map((value, i) => value + (at - low) * (STOPS[low + 1][i] - value));
}

const HEAT = Array.from({ length: 256 }, (_, i) => heat(i / 255));

/** Draw time to the right, frequency upwards from 0 to half the rate, loudness as heat. */
export function spectrogram(canvas, samples, total = samples.length, size = 512) {
  const { context, width, height } = prepared(canvas);
  const image = context.createImageData(width, height);
  for (let x = 0; x < width; x++) {
    const center = Math.floor(((x + 0.5) * total) / width);
    if (center >= samples.length) break;
    const column = decibels(samples, center, size);
    for (let y = 0; y < height; y++) {
      const bin = Math.floor(((height - 1 - y) / height) * column.length);
      const [red, green, blue] = HEAT[Math.max(0, Math.min(255,
        Math.round(255 * (1 - column[bin] / FLOOR))))];
      image.data.set([red, green, blue, 255], 4 * (y * width + x));
    }
  }
  context.putImageData(image, 0, 0);
}

/** Draw a bar for each chunk's milliseconds, and a line at what real time allows. */
export function latencies(canvas, values, budget) {
  const { context, width, height } = prepared(canvas);
  if (!values.length) return;
  const top = 1.15 * Math.max(budget, ...values.slice(-4000));
  const step = width / values.length;
  context.fillStyle = color("--wave");
  values.forEach((value, i) => {
    const bar = (height * value) / top;
    context.fillRect(i * step, height - bar, Math.max(1, step - (step > 4 ? 1 : 0)), bar);
  });
  const scale = window.devicePixelRatio || 1;
  const line = height - (height * budget) / top;
  context.fillStyle = color("--quiet");
  context.fillRect(0, line, width, scale);
  context.font = `${11 * scale}px system-ui, sans-serif`;
  const below = line < 16 * scale;
  const label = `${budget.toFixed(0)} ms: real time`;
  const place = [label, 6 * scale, line + (below ? 13 : -5) * scale];
  context.strokeStyle = color("--page"); // a rim, so that it can be read over bars
  context.lineWidth = 4 * scale;
  context.lineJoin = "round";
  context.strokeText(...place);
  context.fillText(...place);
}
