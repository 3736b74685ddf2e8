// What the page shows, as text in its address: a link shows the same pictures.

import { asHold } from "./brush.js";

export const VIEWS = ["seeds", "swap", "between"];
export const COUNTS = ["1", "2", "4", "6", "9", "12"];

const LONGEST_CAPTION = 1000;
const DEFAULTS = {
  model: "", // its name, empty for the first
  caption: "",
  seed: "1",
  count: "6",
  view: "seeds",
  mask: "0", // stage from 1, 0 for none
  word: "", // position of the word that is swapped
  swap: "", // and what for
  to: "", // the other caption
  to_seed: "2",
  along: "50", // per cent
  hold: "", // where masks are held, see brush.js
};

const text = (value) => value.slice(0, LONGEST_CAPTION);
const oneOf = (values) => (value) => (values.includes(value) ? value : null);
const upTo = (most) => (value) => (/^\d{1,3}$/.test(value) && Number(value) <= most ? value : null);
const CHECKS = {
  model: text,
  caption: text,
  seed: asSeed,
  count: oneOf(COUNTS),
  view: oneOf(VIEWS),
  mask: upTo(12),
  word: upTo(999),
  swap: text,
  to: text,
  to_seed: asSeed,
  along: upTo(100),
  hold: asHold,
};

/** An integer of 64 bits as text, or null. */
export function asSeed(value) {
  if (!/^\s*[-+]?\d{1,19}\s*$/.test(value)) {
    return null;
  }
  const seed = BigInt(value.trim().replace("+", ""));
  return BigInt.asIntN(64, seed) === seed ? String(seed) : null;
}

/** The seed that lies `steps` after another; after the largest comes the smallest. */
export function seedAfter(seed, steps) {
  return String(BigInt.asIntN(64, BigInt(seed) + BigInt(steps)));
}

/** The state in an address; what is missing or odd in it is as by default. */
export function fromHash(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = {};
  for (const [name, usual] of Object.entries(DEFAULTS)) {
    state[name] = (given.has(name) ? CHECKS[name](given.get(name)) : null) ?? usual;
  }
  return state;
}

export function toHash(state) {
  const told = Object.entries(state).filter(([name, value]) => name in DEFAULTS && value !== DEFAULTS[name]);
  return `#${new URLSearchParams(told)}`;
}
