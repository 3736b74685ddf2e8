// The page: what is typed and chosen becomes the state, the state becomes pictures and the address.

import { listen, showChoices, showControls, showModel, showView } from "./controls.js";
import { $, current } from "./current.js";
import { AGAIN, draw, drawIn, lay, stop } from "./drawing.js";
import { Unreachable } from "./errors.js";
import { fromHash, toHash } from "./state.js";
import { progress, say } from "./status.js";
import { figuresOf } from "./views.js";
import { Vocabulary } from "./vocabulary.js";
import { exampleFor } from "./words.js";

const BACKENDS = { server: "./server.js", litert: "./litert.js" };
const ONE_STEP = 1000; // milliseconds: changes that follow each other faster are undone together

let changed = -Infinity;
let openings = 0;

/** What comes a while after the last change is a step that the browser's Back undoes. */
function change(changes, wait = 0) {
  const known = location.hash === toHash(current.state);
  current.state = { ...current.state, ...changes };
  const hash = toHash(current.state);
  const step = known && hash !== location.hash && performance.now() - changed > ONE_STEP;
  changed = performance.now();
  history[step ? "pushState" : "replaceState"](null, "", hash);
  showControls();
  drawIn(wait);
}

/** The name of a state's model; the first one's where it asks for none or for one that is not there. */
function nameOf({ model }) {
  return Object.hasOwn(current.settings.models, model) ? model : current.settings.model;
}

/** Opens the model of a state if it is another, then draws. */
async function choose(asked) {
  const name = nameOf(asked);
  const first = name === current.settings.model;
  const wanted = () => ({ ...asked, model: first ? "" : name, caption: asked.caption || exampleFor(current.vocabulary) });
  if (current.state && name === nameOf(current.state)) {
    return change(wanted());
  }
  const opening = ++openings;
  stop();
  current.model = null;
  const vocabulary = new Vocabulary(await text(first ? "vocabulary.txt" : `vocabulary.txt?model=${encodeURIComponent(name)}`));
  if (opening !== openings) {
    return; // another was chosen meanwhile
  }
  current.vocabulary = vocabulary;
  showModel(name, current);
  if (current.state) {
    change(wanted());
  } else {
    current.state = wanted();
    listen(change, (model) => open({ ...current.state, caption: "", word: "", swap: "", to: "", model }));
    window.addEventListener("hashchange", () => open(fromHash(location.hash)));
  }
  lay(figuresOf(current.state, vocabulary)); // the place is kept while the model is loaded
  for (const part of ["key", "controls", "below"]) {
    $(part).hidden = false; // only now, so that it does not move
  }
  showControls();
  progress();
  const model = await opened(name, opening);
  if (opening === openings) {
    current.model = model;
    showControls();
    await draw();
  }
}

async function opened(name, opening) {
  const backend = await import(BACKENDS[current.settings.backend]);
  for (;;) {
    try {
      return await backend.open({ ...current.settings, model: name }, current.vocabulary);
    } catch (error) {
      if (!(error instanceof Unreachable)) {
        throw error;
      }
      say(error.message);
      await new Promise((resolve) => setTimeout(resolve, AGAIN / 4));
    }
    if (opening !== openings) {
      return null; // another was chosen meanwhile
    }
  }
}

async function text(file) {
  const response = await fetch(file, { cache: "no-cache" }); // a model and its vocabulary are changed together
  if (!response.ok) {
    throw new Error(`${file} is missing: ${response.status} ${response.statusText}.`);
  }
  return response.text();
}

function failed(error) {
  console.error(error);
  progress(null);
  say(error.message, true);
}

const open = (state) => choose(state).catch(failed);

async function start() {
  const state = fromHash(location.hash);
  showView(state.view); // before anything is waited for, so that nothing moves afterwards
  say("Loading …");
  current.settings = JSON.parse(await text("settings.json"));
  showChoices(Object.keys(current.settings.models));
  await choose(state);
}

start().catch(failed);
