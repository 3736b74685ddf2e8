// Draws the state: asks the model for what is not drawn yet, and shows it.

import { brush } from "./controls.js";
import { $, current } from "./current.js";
import { Unreachable } from "./errors.js";
import { download } from "./pictures.js";
import { progress, say } from "./status.js";
import { figuresOf } from "./views.js";

const KEPT = 60; // pictures, to be shown again without drawing
export const AGAIN = 2000; // milliseconds before a server that was not there is asked again

const drawn = new Map(); // model and job as JSON -> picture
let aborter, timer;

/** Draws what the state asks for, in a while; what was under way ends. */
export function drawIn(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(draw, milliseconds);
}

/** Ends what is under way, and shows that the pictures are of another model. */
export function stop() {
  aborter?.abort();
  age();
}

export async function draw() {
  const { model, state, vocabulary } = current;
  if (!model) {
    return; // it is drawn once there is one
  }
  aborter?.abort();
  aborter = new AbortController();
  const { signal } = aborter;
  const captions = [state.caption, ...(state.view === "between" && state.to.trim() ? [state.to] : [])];
  const known = captions.map((caption) => vocabulary.encode(caption).length);
  if (!Math.min(...known)) {
    const which = known[0] ? "the other" : "this";
    say(`The model knows no word of ${which} caption. Describe the picture in words that it knows.`, true);
    age();
    return progress(null);
  }
  const figures = figuresOf({ ...state, hold: model.cannotHold(state.view) ? "" : state.hold }, vocabulary);
  const elements = lay(figures);
  const missing = missingOf(figures);
  if (missing.size) {
    elements.forEach(([canvas], index) => {
      canvas.classList.toggle("old", figures[index].jobs.some((job) => missing.has(keyOf(job))));
    });
    say("Drawing …");
  }
  const begun = performance.now();
  try {
    let done = 0;
    for (const [index, figure] of figures.entries()) {
      for (const job of figure.jobs) {
        if (!drawn.has(keyOf(job))) {
          progress(done++ / missing.size);
          await drawJob(job, signal);
        }
      }
      show(figure, elements[index]);
    }
  } catch (error) {
    return failed(error, signal);
  }
  progress(null);
  say(told(model, Math.max(...known), missing.size, performance.now() - begun));
}

const keyOf = (job) => JSON.stringify([current.state.model, job]);

/** Keys of what has to be drawn. What has not becomes the youngest, so that it is not dropped meanwhile. */
function missingOf(figures) {
  const keys = new Set(figures.flatMap((figure) => figure.jobs.map(keyOf)));
  for (const key of keys) {
    const picture = drawn.get(key);
    if (picture) {
      drawn.delete(key);
      drawn.set(key, picture);
      keys.delete(key);
    }
  }
  return keys;
}

async function drawJob(job, signal) {
  const picture = await (job.start ? current.model.between(job, signal) : current.model.draw(job, signal));
  signal.throwIfAborted();
  drawn.set(keyOf(job), picture);
  if (drawn.size > KEPT) {
    drawn.delete(drawn.keys().next().value);
  }
}

function failed(error, signal) {
  if (signal.aborted) {
    return; // by what was asked for after it
  }
  progress(null);
  if (error instanceof Unreachable) {
    say(`${error.message} It is asked again every ${AGAIN / 1000} seconds.`, true);
    drawIn(AGAIN);
  } else {
    console.error(error);
    say(error.message, true);
  }
}

function told(model, known, count, milliseconds) {
  const many = known > model.maxWords ? `Only the first ${model.maxWords} known words count. ` : "";
  const what = count === 1 ? "1 picture" : `${count} pictures`;
  return many + (count ? `${what} ${model.where} in ${(milliseconds / 1000).toFixed(2)} s.` : "Ready.");
}

/** Shows that the pictures are not of the state. */
function age() {
  document.querySelectorAll("canvas").forEach((canvas) => canvas.classList.add("old"));
}

/** Figures on the page, as many as there are to be: [canvas, caption] of each. Those that are there are used again. */
export function lay(figures) {
  const box = $("pictures");
  while (box.children.length > figures.length) {
    box.lastElementChild.remove();
  }
  while (box.children.length < figures.length) {
    const figure = document.createElement("figure");
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Not drawn yet");
    figure.append(canvas, document.createElement("figcaption"));
    box.append(figure);
  }
  if (brush.element.parentElement !== box.firstElementChild) {
    box.firstElementChild?.append(brush.element);
  }
  // Two of the figures of a swap are in these colours; the legend is the mask's.
  const mask = figures.find(({ title }) => title === "Mask") ? box.lastElementChild : null;
  mask ? mask.append($("key")) : box.after($("key"));
  return [...box.children].map((figure) => [...figure.children]);
}

function show(figure, [canvas, caption]) {
  const remark = figure.show(canvas, figure.jobs.map((job) => drawn.get(keyOf(job))), Number(current.state.mask));
  canvas.setAttribute("aria-label", remark ? `${figure.alt}; ${figure.means} ${remark}` : figure.alt);
  canvas.classList.remove("old");
  const [title, more] = [figure.title, remark].map((text) => {
    const line = document.createElement("span");
    line.textContent = line.title = text;
    return line;
  });
  more.className = "remark";
  const save = document.createElement("button");
  save.type = "button";
  save.textContent = "PNG";
  save.setAttribute("aria-label", `Download ${figure.title} as PNG`);
  save.addEventListener("click", () => download(canvas, `${current.state.caption} ${figure.title} ${remark}`));
  caption.replaceChildren(title, more, save);
}
