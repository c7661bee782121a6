// The student in a thread of its own: ONNX Runtime runs the graph, chunk by chunk.

import * as ort from "./ort/ort.js";
import { Stream } from "./synthesis.js";

let session = null;
let about = null;
let stopped = false;

/** Let messages come in: a run in one thread gives no turn to them. */
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

async function load(message) {
  about = message.about;
  ort.env.wasm.numThreads = message.threads;
  ort.env.wasm.wasmPaths = {
    wasm: new URL("./ort/ort-wasm-simd-threaded.wasm", import.meta.url).href,
  };
  session?.release();
  session = await ort.InferenceSession.create(new URL(about.file, import.meta.url).href, {
    executionProviders: ["wasm"],
    graphOptimizationLevel: "all",
  });
  return { type: "ready" };
}

async function run(feeds) {
  const tensors = Object.entries(feeds).map(([name, { type, data, dims }]) =>
    [name, new ort.Tensor(type, data, dims)]);
  return session.run(Object.fromEntries(tensors), about.outputs
    .map(({ name }) => name).filter((name) => name !== "log_prob"));
}

async function speak({ rows, width, chunk, settings, speaker }) {
  stopped = false;
  const stream = new Stream(about, run, settings);
  let busy = 0;
  let count = 0;
  const timed = async (work) => {
    const began = performance.now();
    const samples = await work();
    busy += performance.now() - began;
    count += samples.length;
    if (!samples.length) return;
    speaker?.postMessage(samples);
    postMessage({ type: "samples", samples, busy });
    await turn();
  };
  for (let at = 0; at < rows.length && !stopped; at += chunk * width) {
    await timed(() => stream.push(rows.slice(at, at + chunk * width)));
  }
  if (!stopped) await timed(() => stream.finish());
  speaker?.postMessage(null);
  return { type: "end", busy, count, stopped };
}

onmessage = async ({ data }) => {
  if (data.type === "stop") {
    stopped = true;
    return;
  }
  try {
    postMessage(await { load, speak }[data.type](data));
  } catch (error) {
    data.speaker?.postMessage(null);
    postMessage({ type: "error", message: error.message ?? String(error) });
  }
};
