// Magnitudes of short pieces of a sound.

const WINDOWS = new Map();

/** Return a Hann window of `size`. */
function hann(size) {
  if (!WINDOWS.has(size)) {
    WINDOWS.set(size, Float64Array.from({ length: size },
      (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / size)));
  }
  return WINDOWS.get(size);
}

/** Transform complex numbers in place; their count is a power of two. */
export function fft(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const angle = (-Math.PI * k) / half;
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let i = k; i < size; i += 2 * half) {
        const j = i + half;
        const re = real[j] * cos - imaginary[j] * sin;
        const im = real[j] * sin + imaginary[j] * cos;
        real[j] = real[i] - re;
        imaginary[j] = imaginary[i] - im;
        real[i] += re;
        imaginary[i] += im;
      }
    }
  }
}

/** Return decibels of `size / 2` frequencies around a sample; 0 is a sine of full scale. */
export function decibels(samples, center, size) {
  const window = hann(size);
  const real = new Float64Array(size);
  const imaginary = new Float64Array(size);
  const start = center - size / 2;
  for (let i = 0; i < size; i++) real[i] = window[i] * (samples[start + i] ?? 0);
  fft(real, imaginary);
  return Float64Array.from({ length: size / 2 }, (_, i) =>
    20 * Math.log10(Math.hypot(real[i], imaginary[i]) / (size / 4) + 1e-9));
}
