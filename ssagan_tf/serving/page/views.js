// What there is to see: for each view its figures, what they need drawn and how they are painted.

import { closedAt, opened } from "./brush.js";
import { merged, paint, paintDifference, paintMask } from "./pictures.js";
import { seedAfter } from "./state.js";
import { swapOf, swapped } from "./words.js";

/**
 * A figure.
 *
 * @typedef {{title: string, alt: string, jobs: object[], show: Function, means: string}} Figure
 *   jobs: pictures it needs; show(canvas, pictures, stage) paints them and may return a remark; means: what that says.
 */

/** @returns {Figure[]} */
export function figuresOf(state, vocabulary) {
  return { seeds, swap, between }[state.view](state, vocabulary);
}

function seeds({ caption, seed, count, hold }) {
  const all = Array.from({ length: Number(count) }, (_, index) => seedAfter(seed, index));
  return all.map((own) => plain(`Seed ${own}`, caption, own, hold));
}

function swap(state, vocabulary) {
  const wanted = swapOf(state, vocabulary);
  if (!wanted) {
    return [];
  }
  const words = vocabulary.tokenize(state.caption);
  const [from, to] = [words[wanted.index], wanted.replacement];
  // The mask has a figure of its own here, and would hide what changes.
  const before = plain(`Before: ${from}`, state.caption, state.seed, "");
  before.show = (canvas, [picture]) => shown(canvas, [picture], 0);
  const after = plain(`After: ${to}`, swapped(words, wanted.index, to), state.seed, opened(state.hold));
  const kept = (picture, old) => merged(picture, old, closedAt(state.hold, old.size));
  after.show = (canvas, [old, picture]) => shown(canvas, [kept(picture, old)], 0);
  after.jobs = [...before.jobs, ...after.jobs];
  if (state.hold) {
    after.alt += "; where the grid is closed, the picture before";
  }
  const changed = (canvas, [old, picture]) => `${paintDifference(canvas, old, kept(picture, old)).toFixed(1)} of 255`;
  const difference = {
    title: "Difference",
    alt: `Where the picture changes with ${to} for ${from}`,
    jobs: after.jobs,
    show: changed,
    means: "on average",
  };
  return [before, after, difference, maskOf(before)];
}

function between({ caption, seed, to, to_seed, along, hold }) {
  const [start, end] = [{ caption, seed }, { caption: to.trim() || caption, seed: to_seed }];
  const mixed = {
    title: `${along} % of the way`,
    alt: `A picture ${along} per cent of the way from “${start.caption}”, seed ${seed}, to “${end.caption}”, seed ${to_seed}`,
    jobs: [{ start, end, along: Number(along) / 100, hold }],
    show: shown,
    means: "mask",
  };
  return [plain(`From: seed ${seed}`, start.caption, seed, hold), mixed, plain(`To: seed ${to_seed}`, end.caption, to_seed, hold)];
}

function plain(title, caption, seed, hold) {
  const alt = `“${caption}”, drawn with seed ${seed}${hold && ", with masks held"}`;
  return { title, alt, jobs: [{ caption, seed, hold }], show: shown, means: "mask" };
}

function shown(canvas, [picture], stage) {
  const mask = stage ? stageOf(picture, stage) : null;
  paint(canvas, picture, mask);
  return mask ? `${mask.size} × ${mask.size}` : "";
}

function maskOf(before) {
  const show = (canvas, [picture], stage) => {
    const mask = stageOf(picture, stage || picture.masks.length);
    paintMask(canvas, mask, picture.size);
    return `${mask.size} × ${mask.size}`;
  };
  return { title: "Mask", alt: "Where the text acts before the swap", jobs: before.jobs, show, means: "mask" };
}

/** A picture's mask of a stage from 1; of the pictures on the way, a server gives the finest alone. */
function stageOf(picture, stage) {
  return picture.masks[Math.min(stage, picture.masks.length) - 1];
}
