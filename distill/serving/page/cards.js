// Cards of sounds: a player, a waveform and a spectrogram each.

import { spectrogram, waveform } from "./draw.js";

const CARD = `
  <div class="head">
    <h3></h3>
    <span class="quiet length"></span>
    <audio controls preload="none"></audio>
  </div>
  <canvas class="wave" role="img"></canvas>
  <canvas class="spectrogram" role="img"></canvas>
  <div class="scale quiet"><span class="low"></span><span class="high"></span></div>`;

/** Return the samples of a recording at a rate, by the browser's decoder. */
export async function decoded(content, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  const buffer = await context.decodeAudioData(content);
  const mean = new Float32Array(buffer.length);
  for (let c = 0; c < buffer.numberOfChannels; c++) {
    const channel = buffer.getChannelData(c);
    for (let i = 0; i < mean.length; i++) mean[i] += channel[i] / buffer.numberOfChannels;
  }
  return mean;
}

/** Return a 16-bit wav of samples. */
export function wav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (at, word) => [...word].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => {
    const level = Math.max(-32768, Math.min(32767, Math.round(32768 * value)));
    view.setInt16(44 + 2 * i, level, true);
  });
  return view.buffer;
}

/** The cards inside an element; a card without samples fills up later. */
export class Cards {
  constructor(place) {
    this.place = place;
    this.rate = 1;
    this.all = []; // { node, wave, picture, samples, total }
  }

  add(title, total) {
    const node = document.createElement("article");
    node.className = "card sound";
    node.innerHTML = CARD;
    node.dataset.kind = title;
    const [wave, picture] = node.querySelectorAll("canvas");
    node.querySelector("h3").textContent = title;
    wave.setAttribute("aria-label", `Waveform: ${title}`);
    picture.setAttribute("aria-label", `Spectrogram: ${title}`);
    node.querySelector("audio").setAttribute("aria-label", title);
    node.querySelector(".low").textContent = "0 Hz at the bottom";
    node.querySelector(".high").textContent =
      `${(this.rate / 2000).toFixed(1)} kHz at the top, heat from -90 to 0 dB`;
    this.place.append(node);
    const made = { node, wave, picture, samples: new Float32Array(0), total };
    this.all.push(made);
    return made;
  }

  draw(made) {
    const total = Math.max(made.total, made.samples.length, 1);
    const seconds = made.samples.length / this.rate;
    made.node.querySelector(".length").textContent = `${seconds.toFixed(2)} s`;
    waveform(made.wave, made.samples, total);
    spectrogram(made.picture, made.samples, total);
  }

  drawAll() {
    this.all.forEach((made) => this.draw(made));
  }

  /** Give a card's player its sound: the content of a file. */
  hear(made, content, type) {
    const audio = made.node.querySelector("audio");
    URL.revokeObjectURL(audio.src);
    audio.src = URL.createObjectURL(new Blob([content], { type }));
  }

  /** Remove a card. */
  remove(made) {
    URL.revokeObjectURL(made.node.querySelector("audio").src);
    made.node.remove();
    this.all = this.all.filter((other) => other !== made);
  }

  clear() {
    [...this.all].forEach((made) => this.remove(made));
  }
}
