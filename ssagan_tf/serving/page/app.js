// The page: what is typed and chosen becomes the state, the state becomes pictures and the address.

import { Brush } from "./brush.js";
import { Unreachable } from "./errors.js";
import { download } from "./pictures.js";
import { COUNTS, asSeed, fromHash, seedAfter, toHash } from "./state.js";
import { figuresOf } from "./views.js";
import { Vocabulary } from "./vocabulary.js";
import { exampleFor, kindsOf, replacements, showWords, swapOf } from "./words.js";

const BACKENDS = { server: "./server.js", litert: "./litert.js" };
const TYPING = 250; // milliseconds without a key before it draws
const AGAIN = 2000; // milliseconds before a server that was not there is asked again
const ONE_STEP = 1000; // milliseconds: changes that follow each other faster are undone together
const KEPT = 60; // pictures, to be shown again without drawing

const $ = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let settings, state, model, vocabulary, timer, aborter;
let changed = -Infinity;
let openings = 0;
const brush = new Brush((hold) => change({ hold }));
const drawn = new Map(); // model and job as JSON -> picture
const WHAT = { "synthbirds-64": "rendered birds", "cub-64": "real birds" }; // of the bundled models

// === State and controls ===

/** The name of a state's model, empty for the first. */
const nameIn = ({ model: name }) => (name !== settings.model && Object.hasOwn(settings.models, name) ? name : "");

/** What comes a while after the last change is a step that the browser's Back undoes. */
function change(changes, wait = 0) {
  const known = location.hash === toHash(state);
  state = { ...state, ...changes };
  const step = known && toHash(state) !== location.hash && performance.now() - changed > ONE_STEP;
  changed = performance.now();
  history[step ? "pushState" : "replaceState"](null, "", toHash(state));
  showControls();
  clearTimeout(timer);
  timer = setTimeout(draw, wait);
}

function showControls() {
  for (const name of ["caption", "seed", "to", "to_seed", "count", "along", "mask"]) {
    // What is being typed stays as it is, an unfinished number included.
    if ($(name) !== document.activeElement || $(name).type === "range") {
      $(name).value = state[name];
    }
  }
  showView(state.view);
  $("along-text").value = `${state.along} %`;
  showStage();
  showSwap();
  showPaint();
}

function showView(view) {
  for (const radio of document.getElementsByName("view")) {
    radio.checked = radio.value === view;
  }
  for (const field of document.querySelectorAll("[data-view]")) {
    field.hidden = field.dataset.view !== view;
  }
}

function showStage() {
  const sizes = model?.maskSizes ?? [];
  const stage = Math.min(Number(state.mask), sizes.length);
  const finest = state.view === "swap" ? sizes.length : 0; // the mask is a figure of its own there, and always shown
  const size = sizes[(stage || finest) - 1];
  const told = size ? `${size} × ${size}` : "off";
  $("mask").max = sizes.length;
  $("mask").min = finest && 1;
  $("mask").value = stage || finest;
  $("mask").setAttribute("aria-valuetext", told);
  $("mask-text").value = told;
  $("key").style.visibility = stage || state.view === "swap" ? "visible" : "hidden";
}

function showSwap() {
  const wanted = swapOf(state, vocabulary);
  const words = vocabulary.tokenize(state.caption);
  const pressed = state.view === "swap" ? wanted?.index : undefined;
  showWords($("words"), state.caption, vocabulary, pressed, {
    choose: (index) => {
      change({ view: "swap", word: String(index), swap: "" });
      $("swap").focus();
    },
    correct: (caption) => {
      change({ caption });
      $("caption").focus();
      $("caption").value = caption;
    },
  });
  if (state.view !== "swap") {
    return;
  }
  const known = [...words.entries()].filter(([, word]) => vocabulary.has(word));
  $("word").replaceChildren(...known.map(([index, word]) => new Option(word, index)));
  $("word").value = wanted?.index ?? "";
  const groups = wanted ? replacements(vocabulary, words[wanted.index]) : {};
  $("swap").replaceChildren(...Object.entries(groups).map(([label, choices]) => group(label, choices)));
  $("swap").value = wanted?.replacement ?? "";
}

function showPaint() {
  const held = brush.show(state.hold);
  const reason = model?.cannotHold(state.view) ?? "";
  $("paint-count").textContent = held ? `(${held} of 256 cells held)` : "";
  $("paint-reason").textContent = reason;
  $("brushes").disabled = !model || Boolean(reason);
  brush.element.hidden = !$("paint").open || $("brushes").disabled;
}

function term(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function group(label, choices) {
  const made = document.createElement("optgroup");
  made.label = label;
  made.append(...choices.map((word) => new Option(word, word)));
  return made;
}

function listen() {
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ caption: $("caption").value });
  });
  $("caption").addEventListener("input", () => change({ caption: $("caption").value, word: "", swap: "" }, TYPING));
  $("to").addEventListener("input", () => change({ to: $("to").value }, TYPING));
  for (const name of ["seed", "to_seed"]) {
    $(name).addEventListener("input", () => readSeed(name));
    $(name).addEventListener("blur", () => readSeed(name));
  }
  for (const name of ["count", "swap"]) {
    $(name).addEventListener("change", () => change({ [name]: $(name).value }));
  }
  $("word").addEventListener("change", () => change({ word: $("word").value, swap: "" }));
  for (const name of ["mask", "along"]) {
    $(name).addEventListener("input", () => change({ [name]: $(name).value }));
  }
  for (const radio of document.getElementsByName("view")) {
    radio.addEventListener("change", () => change({ view: radio.value }));
  }
  $("paint").addEventListener("toggle", showPaint);
  for (const radio of document.getElementsByName("brush")) {
    radio.addEventListener("change", () => (brush.kind = Number(radio.value)));
  }
  for (const button of document.querySelectorAll("[data-fill]")) {
    button.addEventListener("click", () => brush.fill(Number(button.dataset.fill)));
  }
  $("next").addEventListener("click", () => change({ seed: seedAfter(state.seed, state.count) }));
  $("link").addEventListener("click", copyLink);
  $("model").addEventListener("change", () => {
    choose({ ...state, caption: "", word: "", swap: "", to: "", model: $("model").value }).catch(failedToOpen);
  });
  window.addEventListener("hashchange", () => choose(fromHash(location.hash)).catch(failedToOpen));
}

function readSeed(name) {
  const seed = asSeed($(name).value);
  $(name).setAttribute("aria-invalid", seed === null);
  if (seed === null) {
    say("A seed is a whole number of at most 64 bits.", true);
  } else if (seed !== state[name]) {
    change({ [name]: seed }, TYPING);
  }
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    say("The link is copied.");
  } catch {
    say("Copy the address of this page: it says all.");
  }
}

// === Drawing ===

async function draw() {
  if (!model) {
    return; // `start` draws once there is one
  }
  aborter?.abort();
  aborter = new AbortController();
  const { signal } = aborter;
  const captions = [state.caption, ...(state.view === "between" && state.to.trim() ? [state.to] : [])];
  const known = captions.map((caption) => vocabulary.encode(caption).length);
  if (!Math.min(...known)) {
    const which = known[0] ? "the other" : "this";
    say(`The model knows no word of ${which} caption. Describe the picture in words that it knows.`, true);
    document.querySelectorAll("canvas").forEach((canvas) => canvas.classList.add("old"));
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
  say(told(Math.max(...known), missing.size, performance.now() - begun));
}

const keyOf = (job) => JSON.stringify([state.model, job]);

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
  const picture = await (job.start ? model.between(job, signal) : model.draw(job, signal));
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
    timer = setTimeout(draw, AGAIN);
  } else {
    console.error(error);
    say(error.message, true);
  }
}

function told(known, count, milliseconds) {
  const many = known > model.maxWords ? `Only the first ${model.maxWords} known words count. ` : "";
  const what = count === 1 ? "1 picture" : `${count} pictures`;
  return many + (count ? `${what} ${model.where} in ${(milliseconds / 1000).toFixed(2)} s.` : "Ready.");
}

/** Figures on the page, as many as there are to be: [canvas, caption] of each. Those that are there are used again. */
function lay(figures) {
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
  const remark = figure.show(canvas, figure.jobs.map((job) => drawn.get(keyOf(job))), Number(state.mask));
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
  save.addEventListener("click", () => download(canvas, `${state.caption} ${figure.title} ${remark}`));
  caption.replaceChildren(title, more, save);
}

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", wrong);
}

/** Part that is done; undefined for unknown, null for no work. */
function progress(part) {
  const bar = $("progress");
  bar.classList.toggle("idle", part === null);
  if (part === undefined || part === null) {
    bar.removeAttribute("value");
  } else {
    bar.value = part;
  }
}

// === Start ===

async function text(file) {
  const response = await fetch(file, { cache: "no-cache" }); // a model and its vocabulary are changed together
  if (!response.ok) {
    throw new Error(`${file} is missing: ${response.status} ${response.statusText}.`);
  }
  return response.text();
}

async function opened(name, opening) {
  const { open } = await import(BACKENDS[settings.backend]);
  for (;;) {
    try {
      return await open({ ...settings, model: name }, vocabulary);
    } catch (error) {
      if (!(error instanceof Unreachable)) {
        throw error;
      }
      say(error.message);
      await pause(AGAIN / 4);
    }
    if (opening !== openings) {
      return null; // another was chosen meanwhile
    }
  }
}

const nameOf = (asked) => nameIn(asked) || settings.model;

/** Opens the model of a state if it is another, then draws. */
async function choose(asked) {
  const name = nameOf(asked);
  const wanted = () => ({ ...asked, model: nameIn(asked), caption: asked.caption || exampleFor(vocabulary) });
  if (state && name === nameOf(state)) {
    return change(wanted());
  }
  const opening = ++openings;
  aborter?.abort();
  model = null;
  const file = name === settings.model ? "vocabulary.txt" : `vocabulary.txt?model=${encodeURIComponent(name)}`;
  const words = new Vocabulary(await text(file));
  if (opening !== openings) {
    return; // another was chosen meanwhile
  }
  vocabulary = words;
  showModel(name);
  if (state) {
    change(wanted());
  } else {
    state = wanted();
    listen();
  }
  lay(figuresOf(state, vocabulary)); // the place is kept while the model is loaded
  for (const part of ["key", "controls", "below"]) {
    $(part).hidden = false; // only now, so that it does not move
  }
  showControls();
  progress();
  const ready = await opened(name, opening);
  if (opening === openings) {
    model = ready;
    showControls();
    await draw();
  }
}

function showModel(name) {
  const kinds = kindsOf(vocabulary).flatMap(([kind, words]) => [term("dt", kind), term("dd", words.join(", "))]);
  $("known").replaceChildren(...kinds);
  $("model").value = name;
  const own = WHAT[name] ? "the package's own licence." : "its folder states none.";
  $("terms").textContent = `Terms: ${settings.models[name].terms || own}`;
  document.querySelectorAll("canvas").forEach((canvas) => canvas.classList.add("old"));
}

async function start() {
  showView(fromHash(location.hash).view); // before anything is waited for, so that nothing moves afterwards
  say("Loading …");
  $("count").replaceChildren(...COUNTS.map((count) => new Option(count, count)));
  settings = JSON.parse(await text("settings.json"));
  const names = Object.keys(settings.models);
  $("model").replaceChildren(...names.map((name) => new Option(WHAT[name] ? `${WHAT[name]} (${name})` : name, name)));
  await choose(fromHash(location.hash));
}

function failedToOpen(error) {
  console.error(error);
  progress(null);
  say(error.message, true);
}

start().catch(failedToOpen);
