// The rules that make the same picture everywhere, as ssagan_tf/on_device.py has them: from a caption to words, from a
// seed to noise, from the model's numbers to pixels. Tests compare them with Python's.

const NOT_ASCII = /[^\x00-\x7f]/g;
const WORD = /[\p{L}\p{N}_]+/gu; // Python's \w

// The first line of a vocabulary, the name of padding, says by which rule captions become words.
export const PADDINGS = { "<end>": "published", "<end:unicode>": "unicode" };
const BETWEEN = /[^\p{L}\p{M}\p{N}_]+/gu;
const LONE_MARKS = /(^| )\p{M}+/gu;
// Letters of scripts without spaces, each a word with its marks: UNSPACED of Python's module.
const ALONE =
  /(?=[\p{L}\p{N}])[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\u{20000}-\u{323af}]\p{M}*/gu;

/** The words of a caption by the rule "published", ASCII letters alone, or "unicode", letters of all scripts. */
export function tokenize(text, rule = "published") {
  if (rule === "unicode") {
    const spaced = text.toLowerCase().normalize("NFC").replace(BETWEEN, " ").replace(LONE_MARKS, " ");
    return spaced.replace(ALONE, " $& ").split(" ").filter((word) => word);
  }
  const runs = text.replaceAll("\ufffd\ufffd", " ").toLowerCase().match(WORD) ?? [];
  return runs.map((run) => run.replace(NOT_ASCII, "")).filter((word) => word);
}

const WORD_MASK = 0xffffffffn;
const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n];
const WEYL = [0x9e3779b9n, 0xbb67ae85n];
const ROUNDS = 10;

/** One block of Philox4x32-10: four 32-bit words. */
function philoxBlock(key, block) {
  let counter = [BigInt(block), 0n, 0n, 0n];
  let [low, high] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const product0 = MULTIPLIERS[0] * counter[0];
    const product1 = MULTIPLIERS[1] * counter[2];
    counter = [
      (product1 >> 32n) ^ counter[1] ^ low,
      product1 & WORD_MASK,
      (product0 >> 32n) ^ counter[3] ^ high,
      product0 & WORD_MASK,
    ];
    low = (low + WEYL[0]) & WORD_MASK;
    high = (high + WEYL[1]) & WORD_MASK;
  }
  return counter.map(Number);
}

/** The first `count` words of a seed's stream; the seed is a BigInt of 64 bits. */
export function philoxWords(seed, count) {
  const bits = BigInt.asUintN(64, seed);
  const key = [bits & WORD_MASK, bits >> 32n];
  const words = new Float64Array(4 * Math.ceil(count / 4));
  for (let block = 0; 4 * block < count; block++) {
    words.set(philoxBlock(key, block), 4 * block);
  }
  return words.subarray(0, count);
}

/** `count` standard normals of a seed, by Box-Muller: a Float32Array. */
export function normals(seed, count) {
  const words = philoxWords(seed, count + (count % 2));
  const numbers = new Float32Array(words.length);
  for (let at = 0; at < words.length; at += 2) {
    const radius = Math.sqrt(-2 * Math.log((words[at] + 1) / 2 ** 32));
    const angle = 2 * Math.PI * (words[at + 1] / 2 ** 32);
    numbers[at] = radius * Math.cos(angle);
    numbers[at + 1] = radius * Math.sin(angle);
  }
  return numbers.subarray(0, count);
}

/** A number in [-1, 1] in 8 bits by the published rule (x + 1) * 127.5, cut off; in float32, as the package has it. */
export function toByte(value) {
  const inside = Math.min(1, Math.max(-1, value));
  return Math.trunc(Math.fround(Math.fround(inside + 1) * 127.5));
}

/** From one noise to another along the sphere, `along` in [0, 1]. */
export function alongSphere(start, end, along) {
  const dot = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
  const cosine = dot(start, end) / Math.sqrt(dot(start, start) * dot(end, end));
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  if (angle < 1e-4) {
    return alongLine(start, end, along);
  }
  const [first, second] = [Math.sin((1 - along) * angle), Math.sin(along * angle)];
  return start.map((value, index) => (first * value + second * end[index]) / Math.sin(angle));
}

/** From one sentence to another. */
export function alongLine(start, end, along) {
  return start.map((value, index) => value * (1 - along) + end[index] * along);
}
