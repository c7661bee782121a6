// The audio thread's part: plays samples as they come, and counts where none had come in time.

registerProcessor("speaker", class extends AudioWorkletProcessor {
  constructor({ processorOptions }) {
    super();
    this.lead = processorOptions.lead; // samples in hand before sound begins
    this.parts = [];
    this.waiting = 0;
    this.at = 0;
    this.ended = false;
    this.playing = false;
    this.underruns = 0;
    this.port.onmessage = ({ data }) => {
      data.port.onmessage = (message) => this.take(message.data);
    };
  }

  take(samples) {
    if (samples === null) this.ended = true;
    else {
      this.parts.push(samples);
      this.waiting += samples.length;
    }
  }

  process(_, [[output]]) {
    if (!this.playing) this.playing = this.waiting >= this.lead || this.ended;
    if (!this.playing) return true;
    let filled = 0;
    while (filled < output.length && this.parts.length) {
      const part = this.parts[0].subarray(this.at, this.at + output.length - filled);
      output.set(part, filled);
      filled += part.length;
      this.at += part.length;
      if (this.at === this.parts[0].length) {
        this.parts.shift();
        this.at = 0;
      }
    }
    this.waiting -= filled;
    if (filled === output.length) return true;
    if (this.ended) {
      this.port.postMessage({ underruns: this.underruns });
      return false;
    }
    this.underruns += 1;
    this.playing = false;
    return true;
  }
});
