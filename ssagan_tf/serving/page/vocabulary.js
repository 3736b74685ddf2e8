// The words that the model knows, and those that are spelled like one that it does not.

import { PADDINGS, tokenize } from "./rules.js";

const CUTOFF = 0.6; // of likeness; below it a word is no suggestion
const LONGEST = 40; // characters of a word that is looked for

export class Vocabulary {
  /** @param {string} text a word a line; a line's number from 0 is its word's id, and 0 is no word. */
  constructor(text) {
    const lines = text.split("\n");
    this.rule = PADDINGS[lines[0]];
    this.ids = new Map(lines.map((word, id) => [word, id]).filter(([word, id]) => word && id));
    this.words = [...this.ids.keys()];
  }

  has(word) {
    return this.ids.has(word);
  }

  /** A caption's words, known or not. */
  tokenize(caption) {
    return tokenize(caption, this.rule);
  }

  /** Ids of a caption's known words, in order. */
  encode(caption) {
    return this.tokenize(caption).flatMap((word) => this.ids.get(word) ?? []);
  }

  /** The known words spelled most like `word`, nearest first, as Python's `Vocabulary.suggest` has them. */
  suggest(word, count = 3) {
    if (word.length > LONGEST) {
      return [];
    }
    const scored = this.words.map((known) => [likeness(known, word), known]).filter(([score]) => score >= CUTOFF);
    scored.sort((one, other) => other[0] - one[0] || (other[1] > one[1] ? 1 : -1));
    return scored.slice(0, count).map(([, known]) => known);
  }
}

/** Twice the number of matching characters by that of all, in [0, 1]; Ratcliff and Obershelp, as in Python's difflib. */
export function likeness(one, other) {
  return (2 * matching(one, other)) / (one.length + other.length);
}

/** Characters of the longest common run, of what is left of it and of what is right of it. */
function matching(one, other) {
  let longest = { length: 0 };
  for (let start = 0; start < one.length; start++) {
    for (let at = 0; at < other.length; at++) {
      let length = 0;
      while (start + length < one.length && at + length < other.length && one[start + length] === other[at + length]) {
        length++;
      }
      if (length > longest.length) {
        longest = { length, start, at };
      }
    }
  }
  if (!longest.length) {
    return 0;
  }
  const { length, start, at } = longest;
  const before = matching(one.slice(0, start), other.slice(0, at));
  return length + before + matching(one.slice(start + length), other.slice(at + length));
}
