// NumPy's Philox and the noise drawn from it: one seed gives the noise that Python draws.

const MASK = (1n << 64n) - 1n;
const TURN = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const STEP = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

/** Return `count` 64-bit words of NumPy's SeedSequence of a whole number. */
function seeded(seed, count) {
  const entropy = [];
  for (let rest = BigInt(seed); rest || !entropy.length; rest >>= 32n) {
    entropy.push(Number(rest & 0xffffffffn));
  }
  let constant = 0x43b0d7e5;
  const hash = (word) => {
    let value = word ^ constant;
    constant = Math.imul(constant, 0x931e8875);
    value = Math.imul(value, constant);
    return value ^ (value >>> 16);
  };
  const mix = (one, other) => {
    const value = (Math.imul(0xca01f9dd, one) - Math.imul(0x4973f715, other)) | 0;
    return value ^ (value >>> 16);
  };
  const pool = Array.from({ length: 4 }, (_, i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  }
  for (const word of entropy.slice(4)) {
    for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], hash(word));
  }
  constant = 0x8b51f9dd;
  const words = Array.from({ length: 2 * count }, (_, i) => {
    let value = pool[i % 4] ^ constant;
    constant = Math.imul(constant, 0x58f38ded);
    value = Math.imul(value, constant);
    return BigInt((value ^ (value >>> 16)) >>> 0);
  });
  return Array.from({ length: count }, (_, i) => words[2 * i] | (words[2 * i + 1] << 32n));
}

/** Counter-based random numbers: Philox 4x64 of 10 rounds (Salmon et al. 2011). */
export class Philox {
  constructor(seed) {
    this.key = seeded(seed, 2);
    this.counter = 0n;
    this.words = [];
  }

  /** Return the next 64 bits. */
  next() {
    if (!this.words.length) this.words = this.block().reverse();
    return this.words.pop();
  }

  /** Return the next number from 0 to below 1. */
  uniform() {
    return Number(this.next() >> 11n) / 2 ** 53;
  }

  block() {
    this.counter += 1n;
    let [a, b, c, d] = [0n, 64n, 128n, 192n].map((shift) => (this.counter >> shift) & MASK);
    let [first, second] = this.key;
    for (let round = 0; round < 10; round++) {
      const one = TURN[0] * a;
      const other = TURN[1] * c;
      [a, b, c, d] = [
        (other >> 64n) ^ b ^ first, other & MASK, (one >> 64n) ^ d ^ second, one & MASK,
      ];
      first = (first + STEP[0]) & MASK;
      second = (second + STEP[1]) & MASK;
    }
    return [a, b, c, d];
  }
}

// The ziggurat's 256 layers of equal area (Marsaglia and Tsang 2000).
const EDGE = 3.6541528853610088;
const AREA = 0.004928673233974655;
const WIDTH = new Float64Array(256);
const WITHIN = new Float64Array(256);
const HEIGHT = new Float64Array(256);
{
  const density = (x) => Math.exp(-0.5 * x * x);
  const scale = 2 ** 52;
  const base = AREA / density(EDGE);
  WIDTH[0] = base / scale;
  WITHIN[0] = (EDGE / base) * scale;
  HEIGHT[0] = 1;
  WIDTH[255] = EDGE / scale;
  HEIGHT[255] = density(EDGE);
  let outer = EDGE;
  for (let i = 254; i > 0; i--) {
    const inner = Math.sqrt(-2 * Math.log(AREA / outer + density(outer)));
    WITHIN[i + 1] = (inner / outer) * scale;
    WIDTH[i] = inner / scale;
    HEIGHT[i] = density(inner);
    outer = inner;
  }
}

function normal(random) {
  for (;;) {
    const word = random.next();
    const layer = Number(word & 255n);
    const distance = Number((word >> 9n) & 0xfffffffffffffn);
    const size = distance * WIDTH[layer];
    const x = (word >> 8n) & 1n ? -size : size;
    if (distance < WITHIN[layer]) return x;
    if (layer === 0) {
      for (;;) {
        const beyond = -Math.log1p(-random.uniform()) / EDGE;
        const height = -Math.log1p(-random.uniform());
        if (2 * height > beyond * beyond) {
          return (word >> 17n) & 1n ? -(EDGE + beyond) : EDGE + beyond;
        }
      }
    }
    const height = HEIGHT[layer] + (HEIGHT[layer - 1] - HEIGHT[layer]) * random.uniform();
    if (height < Math.exp(-0.5 * x * x)) return x;
  }
}

function logistic(random) {
  for (;;) {
    const u = random.uniform();
    if (u > 0) return Math.log(u / (1 - u));
  }
}

const DRAW = { normal, logistic };

/** Noise of a stream, one number a site; any split into pieces gives the same numbers. */
export class Noise {
  constructor(base, seed) {
    if (!(base in DRAW)) throw new Error(`noise: wanted normal or logistic, got ${base}.`);
    this.draw = DRAW[base];
    this.random = new Philox(seed);
  }

  /** Fill an array, whose type rounds, with the next numbers, scaled. */
  fill(array, temperature = 1) {
    const factor = new array.constructor([temperature])[0];
    for (let i = 0; i < array.length; i++) array[i] = this.draw(this.random);
    for (let i = 0; i < array.length; i++) array[i] *= factor;
    return array;
  }
}
