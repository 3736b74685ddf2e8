// What the page shows now. One module opens models, one draws, one has the controls; all look here.

export const current = {
  settings: null, // of the page, from settings.json
  model: null, // null while it is opened
  vocabulary: null, // of that model
  state: null, // see state.js
};

/** The element of this id. */
export const $ = (id) => document.getElementById(id);
