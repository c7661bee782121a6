// The page without a server: choose, let the student speak in this browser, hear and see it.

import { Cards, wav } from "./cards.js";
import { latencies } from "./draw.js";
import {
  $, askLabels, chosenLabels, fail, introduce, offerExamples, options, wire,
} from "./fields.js";
import { readNpy, rowsOf } from "./npy.js";
import { heard } from "./recording.js";
import { widths } from "./synthesis.js";

const cards = new Cards($("sounds"));
const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
const MOST_THREADS = 4;

const state = {
  page: null, // page.json: models, examples
  about: null, // the JSON beside the model
  rows: null, // frames of what is chosen, side by side
  busy: null, // "loading" or "speaking"
  measured: null,
  choice: 0, // grows with every choice, so that a late one is dropped
};

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the host answered ${response.status}.`);
  return response;
}

/** Send the worker a message, and return its last answer; others go to `between`. */
function told(message, between = () => {}, transfer = []) {
  return new Promise((resolve, reject) => {
    worker.onerror = () => reject(new Error("This browser can't run the student's thread."));
    worker.onmessage = ({ data }) => {
      if (data.type === "error") reject(new Error(data.message));
      else if (data.type === "samples") between(data);
      else resolve(data);
    };
    worker.postMessage(message, transfer);
  });
}

function reset() {
  cards.clear();
  state.rows = null;
  $("error").hidden = true;
  enable();
  state.choice += 1;
  return state.choice;
}

function enable() {
  $("start").disabled = state.rows === null || state.busy !== null;
  $("stop").disabled = state.busy !== "speaking";
  for (const id of ["example", "file", "model"]) $(id).disabled = state.busy !== null;
}

async function take(content, name, type) {
  const choice = reset();
  const bytes = await content();
  if (/\.npy$/i.test(name)) {
    const rows = rowsOf(readNpy(bytes), widths(state.about));
    if (choice === state.choice) state.rows = rows;
  } else {
    const { samples, rows } = await heard(bytes, state.about).catch((error) => {
      if (error instanceof DOMException) throw new Error(`${name}: no sound that can be decoded.`);
      throw error;
    });
    if (choice !== state.choice) return;
    state.rows = rows;
    const made = cards.add("Reference", samples.length);
    cards.hear(made, bytes, type);
    made.samples = samples;
    cards.draw(made);
  }
  enable();
}

function takeExample() {
  const { name, file } = state.page.examples[Number($("example").value)];
  return take(async () => (await ask(file)).arrayBuffer(), name, "audio/wav");
}

/** Open the loudspeaker: an audio thread that plays what comes through a port. */
async function speaker(rate, lead) {
  const context = new AudioContext({ sampleRate: rate });
  if (!context.audioWorklet) {
    await context.close();
    return null; // not a secure context: the card's own player still plays
  }
  await context.audioWorklet.addModule(new URL("./speaker.js", import.meta.url).href);
  const node = new AudioWorkletNode(context, "speaker", {
    numberOfInputs: 0,
    outputChannelCount: [1],
    processorOptions: { lead: Math.round(lead * rate) },
  });
  node.connect(context.destination);
  const { port1, port2 } = new MessageChannel();
  node.port.postMessage({ port: port1 }, [port1]);
  node.port.onmessage = ({ data }) => {
    $("underruns").textContent = String(data.underruns);
    setTimeout(() => context.close(), 200);
  };
  return { port: port2, context };
}

function report(values, samples, busy, budget) {
  const sorted = [...values].sort((a, b) => a - b);
  $("factor").textContent = `${((1000 * samples) / state.about.sample_rate / busy).toFixed(1)} ×`;
  $("first").textContent = `${values[0].toFixed(0)} ms`;
  $("p50").textContent = `${sorted[Math.floor(sorted.length / 2)].toFixed(1)} ms`;
  state.measured = { values, budget };
  latencies($("latencies"), values, budget);
}

function settings() {
  const seed = $("seed").value === "" ? Math.floor(Math.random() * 2 ** 32) : $("seed").value;
  return { seed: Number(seed), temperature: Number($("temperature").value), labels: chosenLabels() };
}

async function speak() {
  const { sample_rate: rate, hop } = state.about;
  const [width] = widths(state.about);
  const chunk = Math.max(1, Math.round((Number($("chunk").value) * rate) / hop / 1000));
  const seconds = (chunk * hop) / rate;
  const said = settings();
  const sounding = new Float32Array((state.rows.length / width) * hop);
  const values = [];
  let length = 0;
  let busy = 0;
  let drawn = 0;
  $("error").hidden = true;
  $("underruns").textContent = "–";
  cards.all.filter((made) => made.live).forEach((made) => cards.remove(made));
  const made = cards.add("Student", sounding.length);
  made.live = true;
  state.busy = "speaking";
  enable();
  $("status").textContent = "Speaking…";
  let loud = null;
  try {
    loud = await speaker(rate, Math.max(0.1, 2 * seconds));
    const message = { type: "speak", rows: state.rows, width, chunk, settings: said };
    const end = await told({ ...message, speaker: loud?.port }, (data) => {
      values.push(data.busy - busy);
      busy = data.busy;
      sounding.set(data.samples, length);
      length += data.samples.length;
      if (performance.now() - drawn < 150) return;
      made.samples = sounding.subarray(0, length);
      cards.draw(made);
      report(values, length, busy, 1000 * seconds);
      drawn = performance.now();
    }, loud ? [loud.port] : []);
    const spoken = (length / rate).toFixed(2);
    $("status").textContent = `${end.stopped ? "Stopped after" : "Spoke"} ${spoken} s in ` +
      `${(busy / 1000).toFixed(2)} s, ${values.length} chunks of ${(1000 * seconds).toFixed(0)} ms, ` +
      `seed ${said.seed}.${loud ? "" : " No audio thread outside of https: play it below."}`;
    if (end.stopped) loud?.context.close();
  } catch (error) {
    $("status").textContent = "The student could not speak.";
    loud?.context.close();
    fail(error);
  } finally {
    state.busy = null;
    made.samples = sounding.subarray(0, length);
    cards.draw(made);
    cards.hear(made, wav(made.samples, rate), "audio/wav");
    if (values.length) report(values, length, busy, 1000 * seconds);
    enable();
  }
}

function namesOf(label, size) {
  const names = state.about.settings[`${label}s`] ?? [];
  return Array.from({ length: size }, (_, i) => String(names[i] ?? i));
}

async function load() {
  const { file } = state.page.models[Number($("model").value)];
  // Threads share memory, which browsers allow on isolated pages alone.
  const cores = Math.min(MOST_THREADS, navigator.hardwareConcurrency ?? 1);
  const threads = globalThis.crossOriginIsolated ? cores : 1;
  state.busy = "loading";
  enable();
  try {
    state.about = await (await ask(`${file}.json`)).json();
    await told({ type: "load", about: state.about, threads });
  } finally {
    state.busy = null;
    enable();
  }
  const { sample_rate: rate, hop, latency } = state.about;
  cards.rate = rate;
  const threaded = `, ${threads} thread${threads > 1 ? "s" : ""} of this browser`;
  introduce(file, rate, hop, (latency * hop) / rate, threaded);
}

async function begin() {
  state.page = await (await ask("page.json")).json();
  const { models, examples } = state.page;
  $("model").append(...options(models.map(({ name }) => name), true));
  $("model-field").hidden = models.length < 2;
  await load();
  const labels = Object.entries(state.about.features).filter(([, { kind }]) => kind === "label");
  askLabels(Object.fromEntries(
    labels.map(([name, { size }]) => [name, options(namesOf(name, size), true)]),
  ));
  offerExamples(examples);
  if (examples.length) await takeExample();
}

wire({
  start: speak,
  stop: () => worker.postMessage({ type: "stop" }),
  takeExample,
  takeFile: (file) => take(() => file.arrayBuffer(), file.name, file.type),
  redraw() {
    cards.drawAll();
    if (state.measured) latencies($("latencies"), state.measured.values, state.measured.budget);
  },
});
$("model").addEventListener("change", () => load().catch(fail));
begin().catch(fail);
