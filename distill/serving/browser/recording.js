// The features of a recording, as Python reads one.

import { decoded } from "./cards.js";
import { logMel } from "./mel.js";
import { widths } from "./synthesis.js";

const LEVELS = 2 ** 15;

/** Return the rate that the header of a wav file says, or null of another file. */
function rateOf(content) {
  const view = new DataView(content);
  const word = (at) => String.fromCharCode(...new Uint8Array(content, at, 4));
  if (content.byteLength < 28 || word(0) !== "RIFF" || word(8) !== "WAVE") return null;
  let at = 12;
  while (at + 16 < content.byteLength && word(at) !== "fmt ") {
    at += 8 + view.getUint32(at + 4, true);
  }
  return at + 16 < content.byteLength ? view.getUint32(at + 12, true) : null;
}

/** Round to 16 bits, halves to the even level. */
function quantized(value) {
  const level = value * LEVELS;
  let near = Math.round(level);
  if (near - level === 0.5 && near % 2) near -= 1;
  return Math.max(-LEVELS, Math.min(LEVELS - 1, near)) / LEVELS;
}

/** Return the samples of a recording, and its rows of frames: the mel, and NaN for what is found. */
export async function heard(content, about) {
  const { sample_rate: rate, settings, features } = about;
  const own = rateOf(content);
  if (own !== null && own < rate) {
    throw new Error(`A recording of ${own} Hz has nothing above ${own / 2} Hz; wanted ${rate}.`);
  }
  const [width, ...fewer] = widths(about);
  const { size } = features.mel;
  if (![width, ...fewer].includes(size)) {
    const names = Object.keys(features).filter((name) => features[name].kind === "frames");
    throw new Error(
      `This student wants ${names.join(", ")}, and only the mel is measured here. Give a .npy of all.`,
    );
  }
  const samples = await decoded(content.slice(0), rate);
  if (!samples.length) throw new Error("The recording is empty.");
  const mel = logMel(Float64Array.from(samples, quantized), settings.mel, rate);
  const frames = mel.length / size;
  const rows = new Float32Array(frames * width).fill(NaN);
  for (let f = 0; f < frames; f++) rows.set(mel.subarray(f * size, (f + 1) * size), f * width);
  return { samples, rows };
}
