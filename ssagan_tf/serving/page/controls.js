// The controls: they show the state, and tell what is changed.

import { Brush } from "./brush.js";
import { $, current } from "./current.js";
import { COUNTS, asSeed, seedAfter } from "./state.js";
import { say } from "./status.js";
import { kindsOf, replacements, showWords, swapOf } from "./words.js";

const BUNDLED = { "synthbirds-64": "rendered birds", "cub-64": "real birds" };
const TYPING = 250; // milliseconds without a key before it draws

export const brush = new Brush((hold) => change({ hold }));
let change; // (changes, milliseconds to wait), given to `listen`

export function showControls() {
  const { state } = current;
  for (const name of ["caption", "seed", "to", "to_seed", "count", "along", "mask"]) {
    // What is being typed stays as it is, an unfinished number included.
    if ($(name) !== document.activeElement || $(name).type === "range") {
      $(name).value = state[name];
    }
  }
  showView(state.view);
  $("along-text").value = `${state.along} %`;
  showStage(current);
  showSwap(current);
  showPaint();
}

export function showView(view) {
  for (const radio of document.getElementsByName("view")) {
    radio.checked = radio.value === view;
  }
  for (const field of document.querySelectorAll("[data-view]")) {
    field.hidden = !field.dataset.view.split(" ").includes(view);
  }
}

function showStage({ model, state }) {
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

function showSwap({ state, vocabulary }) {
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
  const { model, state } = current;
  const held = brush.show(state.hold);
  const reason = model?.cannotHold(state.view) ?? "";
  $("paint-count").textContent = held ? `(${held} of 256 cells)` : "";
  $("paint-reason").textContent = reason;
  $("brushes").disabled = !model || Boolean(reason);
  brush.element.hidden = !$("paint").open || $("brushes").disabled;
}

/** Shows what a model knows, and on which terms. */
export function showModel(name, { settings, vocabulary }) {
  const kinds = kindsOf(vocabulary).flatMap(([kind, words]) => [term("dt", kind), term("dd", words.join(", "))]);
  $("known").replaceChildren(...kinds);
  $("model").value = name;
  const own = BUNDLED[name] ? "the package's own licence." : "its folder states none.";
  $("terms").textContent = `Terms: ${settings.models[name].terms || own}`;
}

/** What there is to choose from, before anything is opened. */
export function showChoices(models) {
  const title = (name) => (BUNDLED[name] ? `${BUNDLED[name]} (${name})` : name);
  $("model").replaceChildren(...models.map((name) => new Option(title(name), name)));
  $("count").replaceChildren(...COUNTS.map((count) => new Option(count, count)));
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

/**
 * Tells what is changed.
 *
 * @param {(changes: object, wait?: number) => void} told what of the state, and the milliseconds that more may come in.
 * @param {(name: string) => void} choose is called with the model that is chosen.
 */
export function listen(told, choose) {
  change = told;
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
  $("clear").addEventListener("click", () => brush.clear());
  $("next").addEventListener("click", () => change({ seed: seedAfter(current.state.seed, current.state.count) }));
  $("link").addEventListener("click", copyLink);
  $("model").addEventListener("change", () => choose($("model").value));
}

function readSeed(name) {
  const seed = asSeed($(name).value);
  $(name).setAttribute("aria-invalid", seed === null);
  if (seed === null) {
    say("A seed is a whole number of at most 64 bits.", true);
  } else if (seed !== current.state[name]) {
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
