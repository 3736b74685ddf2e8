// Where the text may act: a grid over a picture, whose cells hold the masks of all stages open or closed.

const SIDE = 16;
const [FREE, CLOSED, OPEN] = [0, 1, 2];
const NAMES = ["as predicted", "closed", "open"];
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const TEXT = /^[\w-]{86}$/; // two bits a cell, four cells a byte, in base64 for addresses

/** A grid as text for an address, empty where nothing is held. */
export function toText(cells) {
  if (!cells.some((cell) => cell !== FREE)) {
    return "";
  }
  const packed = new Uint8Array(cells.length / 4);
  cells.forEach((cell, at) => (packed[at >> 2] |= cell << (2 * (at & 3))));
  return btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** Such a text, or null. */
export const asHold = (text) => (text === "" || TEXT.test(text) ? text : null);

export function toCells(text) {
  const packed = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  const cell = (at) => (packed.charCodeAt(at >> 2) >> (2 * (at & 3))) & 3;
  return Uint8Array.from({ length: SIDE ** 2 }, (_, at) => (text && cell(at) <= OPEN ? cell(at) : FREE));
}

/** Rows of what replaces the masks of a picture: 0 closed, 1 open, -1 as predicted. */
export function overridesOf(text, size) {
  const cells = toCells(text);
  const at = (position) => Math.floor((position * SIDE) / size);
  const row = (y) => Array.from({ length: size }, (_, x) => [-1, 0, 1][cells[at(y) * SIDE + at(x)]]);
  return Array.from({ length: size }, (_, y) => row(y));
}

/** A grid with its closed cells left free: what is held of a picture that is put over another, see `closedAt`. */
export const opened = (text) => toText(toCells(text).map((cell) => (cell === CLOSED ? FREE : cell)));

/** (x, y) => whether a grid is closed there, on a picture of this size. */
export function closedAt(text, size) {
  const cells = toCells(text);
  const at = (position) => Math.floor((position * SIDE) / size);
  return (x, y) => cells[at(y) * SIDE + at(x)] === CLOSED;
}

/** The grid as an element to lay over a picture: painted by mouse, finger or pen, or by arrow keys and space. */
export class Brush {
  /** @param {(hold: string) => void} painted is told what is held after each stroke. */
  constructor(painted) {
    this.painted = painted;
    this.kind = FREE;
    this.cursor = 0;
    this.element = made("div", "grid");
    this.element.id = "grid";
    this.element.tabIndex = 0;
    this.element.setAttribute("aria-label", "Where the text may act");
    this.element.setAttribute("aria-describedby", "paint-help");
    for (let y = 0; y < SIDE; y++) {
      const row = made("div", "row");
      row.append(...Array.from({ length: SIDE }, (_, x) => made("div", "gridcell", `cell-${y * SIDE + x}`)));
      this.element.append(row);
    }
    this.boxes = [...this.element.querySelectorAll("[role=gridcell]")];
    this.show("");
    this.element.addEventListener("pointerdown", (event) => this.begin(event));
    this.element.addEventListener("pointermove", (event) => this.last && this.stroke(event));
    for (const end of ["pointerup", "pointercancel"]) {
      this.element.addEventListener(end, () => this.last && this.end());
    }
    this.element.addEventListener("keydown", (event) => this.press(event));
  }

  /** Shows what is held, and returns how many cells are. */
  show(hold) {
    this.cells = toCells(hold);
    this.boxes.forEach((_, at) => this.showCell(at));
    return this.cells.filter((cell) => cell !== FREE).length;
  }

  showCell(at) {
    const name = NAMES[this.cells[at]];
    this.boxes[at].dataset.held = name;
    this.boxes[at].setAttribute("aria-label", `Row ${Math.floor(at / SIDE) + 1}, column ${(at % SIDE) + 1}: ${name}`);
  }

  clear() {
    this.cells.fill(FREE);
    this.end();
  }

  /** Of a free grid, what is painted is to be left: the first stroke closes the rest. */
  start() {
    if (this.kind !== CLOSED && this.cells.every((cell) => cell === FREE)) {
      this.cells.fill(CLOSED);
      this.boxes.forEach((_, at) => this.showCell(at));
    }
  }

  paint(x, y) {
    this.move(x, y);
    this.cells[this.cursor] = this.kind;
    this.showCell(this.cursor);
  }

  move(x, y) {
    this.boxes[this.cursor].removeAttribute("data-cursor");
    this.cursor = y * SIDE + x;
    this.boxes[this.cursor].dataset.cursor = "";
    this.element.setAttribute("aria-activedescendant", this.boxes[this.cursor].id);
  }

  // === By mouse, finger or pen ===

  begin(event) {
    if (event.isPrimary && event.button === 0) {
      this.element.setPointerCapture(event.pointerId);
      this.last = this.cellAt(event);
      this.start();
      this.stroke(event);
    }
  }

  /** Paints from the last cell to this one, because a fast pointer leaves some out. */
  stroke(event) {
    const [from, to] = [this.last, this.cellAt(event)];
    const steps = Math.max(1, ...to.map((value, axis) => Math.abs(value - from[axis])));
    for (let step = 0; step <= steps; step++) {
      this.paint(...to.map((value, axis) => Math.round(from[axis] + ((value - from[axis]) * step) / steps)));
    }
    this.last = to;
  }

  cellAt(event) {
    const box = this.element.getBoundingClientRect();
    const cell = (part) => Math.min(SIDE - 1, Math.max(0, Math.floor(part * SIDE)));
    return [cell((event.clientX - box.left) / box.width), cell((event.clientY - box.top) / box.height)];
  }

  end() {
    this.last = null;
    this.painted(toText(this.cells));
  }

  // === By keys ===

  press(event) {
    const step = STEPS[event.key];
    const [x, y] = [this.cursor % SIDE, Math.floor(this.cursor / SIDE)];
    if (step) {
      const inside = (value) => Math.min(SIDE - 1, Math.max(0, value));
      this.move(inside(x + step[0]), inside(y + step[1]));
    } else if (event.key === " " || event.key === "Enter") {
      this.start();
      this.paint(x, y);
      this.end();
    } else {
      return;
    }
    event.preventDefault();
  }
}

function made(tag, role, id) {
  const element = document.createElement(tag);
  element.setAttribute("role", role);
  if (id) {
    element.id = id;
  }
  return element;
}
