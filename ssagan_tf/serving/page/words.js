// A caption word by word: what is known, what may be meant, what a word can be swapped for.

const COLOURS = new Set(
  ("red orange yellow green blue purple black white brown grey gray pink violet gold golden silver tan beige " +
    "maroon crimson scarlet turquoise teal cyan magenta olive navy indigo rust cream peach lilac").split(" "),
);
const EXAMPLES = [
  "a small bird with a red crown, blue wings and a yellow belly",
  "a red bird with blue wings",
  "a man riding a red wave",
];
const PARTS = new Set(
  ("crown wings wing belly breast throat tail back head bill beak eye eyes eyebrow nape legs feet cheek cheeks neck chest " +
    "forehead feathers").split(" "),
);
const LOOKS = new Set(
  ("small large big tiny long short little striped spotted solid plain pointed curved round bright dark light").split(" "),
);
// Words that mean nearly the same, the commonest first.
const MEANINGS = [
  "red crimson scarlet ruby cherry vermilion maroon",
  "orange tangerine amber apricot",
  "yellow gold golden lemon",
  "green emerald olive lime jade",
  "blue azure navy turquoise teal cyan indigo cobalt",
  "purple violet lilac magenta mauve lavender",
  "black jet ebony sooty",
  "white ivory cream snowy",
  "brown tan beige rust chestnut tawny rufous",
  "grey gray silver ashen",
  "small little tiny short",
  "large big huge long",
  "beak bill",
  "belly stomach abdomen underside",
  "breast chest throat",
  "crown cap crest head",
].map((group) => group.split(" "));
const SHOWN = 60; // words of a long caption

/** A caption to begin with, all of whose words are known. */
export function exampleFor(vocabulary) {
  const known = EXAMPLES.find((caption) => vocabulary.tokenize(caption).every((word) => vocabulary.has(word)));
  return known ?? vocabulary.words.slice(0, 3).join(" ");
}

/** What stands in the boxes below a caption: its words, and for an unknown one suggestions. */
export function showWords(box, caption, vocabulary, pressed, { choose, correct }) {
  const words = vocabulary.tokenize(caption);
  const boxes = words.slice(0, SHOWN).flatMap((word, index) => {
    if (vocabulary.has(word)) {
      return [button(word, `Swap ${word}`, () => choose(index), index === pressed)];
    }
    const suggested = suggestionsFor(word, vocabulary).map((known) => {
      const shown = button(`${known}?`, `Write ${known} instead of ${word}`, () => correct(swapped(words, index, known)));
      shown.classList.add("suggestion");
      return shown;
    });
    return [unknown(word), ...suggested];
  });
  if (words.length > SHOWN) {
    boxes.push(`and ${words.length - SHOWN} more`);
  }
  box.replaceChildren(...boxes);
  const pressedBox = box.querySelector('[aria-pressed="true"]');
  if (pressedBox) {
    box.scrollLeft = pressedBox.offsetLeft - box.clientWidth / 2; // on a phone it is one row
  }
}

function button(text, label, pressedDo, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  if (pressed !== undefined) {
    made.setAttribute("aria-pressed", pressed);
  }
  made.addEventListener("click", pressedDo);
  return made;
}

function unknown(word) {
  const made = document.createElement("span");
  made.className = "unknown";
  made.textContent = word.slice(0, 40);
  made.title = "The model does not know this word.";
  const told = document.createElement("span");
  told.className = "unseen";
  told.textContent = " is not known";
  made.append(told);
  return made;
}

/** Known words that mean nearly the same as an unknown one or share its stem, else those that are spelled like it. */
export function suggestionsFor(word, vocabulary) {
  const same = MEANINGS.find((group) => group.includes(word)) ?? [];
  const stem = (text) => text.replace(/(ish|ing|ed|es|s|y)$/, "");
  const stems = vocabulary.words.filter((known) => stem(known).length > 2 && stem(known) === stem(word));
  const found = [...new Set([...same.filter((known) => vocabulary.has(known)), ...stems])].slice(0, 3);
  return found.length ? found : vocabulary.suggest(word);
}

/** All words by kind: [kind, words] of each kind that there is. */
export function kindsOf(vocabulary) {
  const kinds = { Colours: COLOURS, "Parts of birds": PARTS, "Sizes and looks": LOOKS };
  const kindOf = (word) => Object.keys(kinds).find((kind) => kinds[kind].has(word)) ?? "Others";
  return [...Object.keys(kinds), "Others"]
    .map((kind) => [kind, vocabulary.words.filter((word) => kindOf(word) === kind).sort()])
    .filter(([, words]) => words.length);
}

/** The words with one of them swapped, as a caption. */
export function swapped(words, index, replacement) {
  return words.map((word, at) => (at === index ? replacement : word)).join(" ");
}

/** What a word is swapped for: colours first. */
export function replacements(vocabulary, word) {
  const others = vocabulary.words.filter((known) => known !== word);
  const colours = others.filter((known) => COLOURS.has(known));
  return { Colours: colours, "Other words": others.filter((known) => !COLOURS.has(known)).sort() };
}

/**
 * The swap that a state asks for; what it leaves open is a colour for a colour, if there is one.
 *
 * @returns {{index: number, replacement: string} | null} null where there is no known word.
 */
export function swapOf({ caption, word, swap }, vocabulary) {
  const words = vocabulary.tokenize(caption);
  const known = [...words.keys()].filter((index) => vocabulary.has(words[index]));
  const asked = word !== "" && known.includes(Number(word)) ? Number(word) : undefined;
  const index = asked ?? known.find((at) => COLOURS.has(words[at])) ?? known[0];
  if (index === undefined) {
    return null;
  }
  const choices = Object.values(replacements(vocabulary, words[index])).flat();
  const replacement = choices.includes(swap) ? swap : choices[0];
  return replacement === undefined ? null : { index, replacement };
}
