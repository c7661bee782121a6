// A stream of frames to the server, and of its samples to the loudspeaker.

/** Return a percentile of numbers, with linear interpolation. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** Plays samples as they come, one piece after the other. */
export class Player {
  constructor(rate, lead) {
    this.context = new AudioContext({ sampleRate: rate });
    this.rate = rate;
    this.lead = lead;
    this.due = null;
    this.underruns = 0;
  }

  play(samples) {
    const now = this.context.currentTime;
    if (this.due === null || this.due < now) {
      if (this.due !== null) this.underruns += 1;
      this.due = now + this.lead;
    }
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(samples, 0);
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.context.destination);
    node.start(this.due);
    this.due += buffer.duration;
  }

  /** Let what is planned be heard, then close. */
  finish() {
    const left = Math.max(0, (this.due ?? 0) - this.context.currentTime);
    setTimeout(() => this.stop(), 1000 * left + 200);
  }

  stop() {
    if (this.context.state !== "closed") this.context.close();
  }
}

function answer(message) {
  return Float32Array.from(new Int16Array(message), (value) => value / 32768);
}

/**
 * Send frames chunk by chunk; each is answered before the next is sent.
 *
 * `heard(samples, milliseconds)` is called for every answer. The promise gives the server's own
 * figures, or fails with one line; `signal` aborts it. A token, where the server wants one, goes as
 * a subprotocol: a websocket of a browser has no headers, and addresses are kept by logs.
 */
export function stream({ rows, width, chunk, seconds, realtime, settings, heard, signal, token }) {
  return new Promise((resolve, reject) => {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const offers = token === null ? [] : ["distill", `distill.token.${token}`];
    const socket = new WebSocket(`${scheme}//${location.host}/stream`, offers);
    socket.binaryType = "arraybuffer";
    let at = 0;
    let began = 0;
    let sent = 0;
    let ended = false;
    let problem = null;
    const send = () => {
      if (socket.readyState !== WebSocket.OPEN) return;
      sent = performance.now();
      if (at >= rows.length) {
        ended = true;
        socket.send(JSON.stringify({ type: "end" }));
        return;
      }
      socket.send(rows.slice(at, at + chunk * width));
      at += chunk * width;
    };
    const next = () => {
      const due = began + 1000 * seconds * Math.ceil(at / (chunk * width));
      const wait = realtime ? due - performance.now() : 0;
      if (wait > 1) setTimeout(send, wait);
      else send();
    };
    socket.onopen = () => socket.send(JSON.stringify(settings));
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") {
        heard(answer(data), performance.now() - sent);
        if (!ended) next();
        return;
      }
      const message = JSON.parse(data);
      if (message.type === "ready") {
        began = performance.now();
        send();
      } else if (message.type === "stats") resolve(message);
      else problem = message.error;
    };
    socket.onclose = ({ code }) =>
      reject(new Error(problem ?? `the server ended the stream (code ${code}).`));
    signal.addEventListener("abort", () => {
      problem = "stopped";
      socket.close();
    });
  });
}
