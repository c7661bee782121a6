// The page: choose a clip, hear and see it, stream the student and measure.

import { Cards, decoded, wav } from "./cards.js";
import { latencies } from "./draw.js";
import {
  $, askLabels, chosenLabels, fail, introduce, offerExamples, options, wire,
} from "./fields.js";
import { Player, percentile, stream } from "./stream.js";

const TITLES = {
  reference: "Reference",
  griffin_lim: "Griffin-Lim",
  teacher: "Teacher",
  student: "Student, evaluated",
  student_from_mel: "Student, from the mel alone",
};

const cards = new Cards($("sounds"));
const state = {
  about: null,
  rows: null, // frames of what is chosen, side by side
  measured: null, // { values, budget }
  running: null, // AbortController
  token: sessionStorage.getItem("token"), // where the server wants one; gone with the tab
  choice: 0, // grows with every choice, so that a late answer to an old one is dropped
};

function clear() {
  $("error").hidden = true;
}

/** Ask the server; what it refuses becomes an error with its line. */
async function ask(path, options) {
  let response;
  try {
    const headers = state.token === null ? {} : { Authorization: `Bearer ${state.token}` };
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Error("The server can't be reached. Is it still running?");
  }
  if (response.ok) return response;
  if (response.status === 401) $("enter").hidden = false;
  const said = await response.json().catch(() => ({}));
  throw new Error(said.error ?? `${path}: the server answered ${response.status}.`);
}

/** Show a recorded sound. */
async function show(title, content, type) {
  const made = cards.add(title, 0);
  cards.hear(made, content, type);
  made.samples = await decoded(content.slice(0), state.about.sample_rate);
  cards.draw(made);
}

function reset() {
  state.running?.abort();
  cards.clear();
  state.rows = null;
  $("start").disabled = true;
  clear();
  state.choice += 1;
  return state.choice;
}

async function features(content) {
  const path = `/features?voice=${state.about.voice}`;
  const response = await ask(path, { method: "POST", body: content });
  return new Float32Array(await response.arrayBuffer());
}

/** Take what was chosen: sounds by kind, and what the student is to copy. */
async function take(sounds, source, choice) {
  for (const [kind, content] of Object.entries(sounds)) {
    if (choice === state.choice) await show(TITLES[kind], content, "audio/wav");
  }
  if (source === null) throw new Error("This example has no reference to copy.");
  const rows = await features(source);
  if (choice !== state.choice) return;
  state.rows = rows;
  $("start").disabled = false;
}

async function takeExample() {
  const choice = reset();
  const { sounds } = state.about.examples[Number($("example").value)];
  const found = {};
  for (const [kind, path] of Object.entries(sounds)) {
    found[kind] = await (await ask(path)).arrayBuffer();
  }
  if (choice === state.choice) await take(found, found.reference?.slice(0) ?? null, choice);
}

async function takeFile(file) {
  const choice = reset();
  const content = await file.arrayBuffer();
  const heard = /\.npy$/i.test(file.name) ? {} : { reference: content };
  // The server says best what is wrong with a file, so it is asked before the browser decodes.
  const rows = await features(content.slice(0));
  if (choice !== state.choice) return;
  state.rows = rows;
  $("start").disabled = false;
  for (const [kind, sound] of Object.entries(heard)) await show(TITLES[kind], sound, file.type);
}

function settings() {
  const { voice } = state.about;
  const chosen = { voice, temperature: Number($("temperature").value), format: "int16" };
  if ($("seed").value !== "") chosen.seed = Number($("seed").value);
  return { ...chosen, ...chosenLabels() };
}

function report(values, samples, budget, underruns) {
  if (!values.length) return;
  const busy = values.reduce((sum, value) => sum + value, 0) / 1000;
  $("p50").textContent = `${percentile(values, 0.5).toFixed(1)} ms`;
  $("p99").textContent = `${percentile(values, 0.99).toFixed(1)} ms`;
  $("factor").textContent = `${(samples / state.about.sample_rate / busy).toFixed(1)} ×`;
  $("underruns").textContent = String(underruns);
  state.measured = { values, budget };
  latencies($("latencies"), values, budget);
}

async function run() {
  clear();
  const { sample_rate: rate, hop, frame } = state.about;
  const width = frame.reduce((sum, { size }) => sum + size, 0);
  const chunk = Math.max(1, Math.round((Number($("chunk").value) * rate) / hop / 1000));
  const seconds = (chunk * hop) / rate;
  const sounding = new Float32Array((state.rows.length / width) * hop);
  const values = [];
  let length = 0;
  let drawn = 0;
  cards.all.filter((made) => made.live).forEach((made) => cards.remove(made));
  const made = cards.add("Student, live", sounding.length);
  made.live = true;
  const player = new Player(rate, Math.max(0.06, 1.5 * seconds));
  const realtime = $("pace").value === "realtime";
  state.running = new AbortController();
  $("start").disabled = true;
  $("stop").disabled = false;
  $("status").textContent = "Streaming…";
  const heard = (samples, milliseconds) => {
    if (!samples.length) return;
    values.push(milliseconds);
    sounding.set(samples, length);
    length += samples.length;
    player.play(samples);
    if (performance.now() - drawn > 150) {
      drawn = performance.now();
      made.samples = sounding.subarray(0, length);
      cards.draw(made);
      report(values, length, 1000 * seconds, player.underruns);
    }
  };
  try {
    const figures = await stream({
      rows: state.rows, width, chunk, seconds, realtime, settings: settings(), heard,
      signal: state.running.signal, token: state.token,
    });
    player.finish();
    $("status").textContent =
      `${figures.chunks} chunks of ${(1000 * seconds).toFixed(1)} ms, seed ${figures.seed}. In the ` +
      `server itself: median ${figures.latency_p50_ms.toFixed(1)} ms, 99th percentile ` +
      `${figures.latency_p99_ms.toFixed(1)} ms, ${figures.real_time_factor.toFixed(1)} × real time.`;
  } catch (error) {
    player.stop();
    $("status").textContent = "The stream ended early.";
    if (error.message !== "stopped") fail(error);
  } finally {
    made.samples = sounding.subarray(0, length);
    if (made.node.isConnected) cards.draw(made);
    report(values, length, 1000 * seconds, player.underruns);
    cards.hear(made, wav(made.samples, rate), "audio/wav");
    $("start").disabled = state.rows === null;
    $("stop").disabled = true;
    state.running = null;
  }
}

/** Show what a voice wants and has; without a name, of the server's first. */
async function begin(query = "") {
  const choice = reset();
  const about = await (await ask(`/about${query}`)).json();
  if (choice !== state.choice) return;
  state.about = about;
  $("enter").hidden = true;
  $("file").value = "";
  cards.rate = state.about.sample_rate;
  const { file, sample_rate: rate, hop, latency_seconds: ahead, examples, labels } = about;
  introduce(file, rate, hop, ahead);
  $("voice").replaceChildren(...options(about.voices));
  $("voice").value = about.voice;
  $("voice-field").hidden = about.voices.length < 2;
  askLabels(Object.fromEntries(
    Object.entries(labels).map(([name, known]) => [name, options(known)]),
  ));
  offerExamples(examples);
  if (examples.length) await takeExample();
}

wire({
  start: run,
  stop: () => state.running?.abort(),
  takeExample,
  takeFile,
  redraw() {
    cards.drawAll();
    if (state.measured) latencies($("latencies"), state.measured.values, state.measured.budget);
  },
});
$("voice").addEventListener("change", () => begin(`?voice=${$("voice").value}`).catch(fail));
$("enter").addEventListener("submit", (event) => {
  event.preventDefault();
  state.token = $("token").value;
  sessionStorage.setItem("token", state.token);
  begin().catch(fail);
});
begin().catch(fail);
