// The line that says what goes on, and its bar.

import { $ } from "./current.js";

export function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", wrong);
}

/** Part that is done; undefined for unknown, null for no work. */
export function progress(part) {
  const bar = $("progress");
  bar.classList.toggle("idle", part === null);
  if (part === undefined || part === null) {
    bar.removeAttribute("value");
  } else {
    bar.value = part;
  }
}
