// Pixels: pictures, masks laid over them, differences.

import { toByte } from "./rules.js";

// Colours of a mask from 0 to 1, as ssagan_tf/pictures.py has them.
const RAMP = [
  [13, 1, 49],
  [52, 3, 83],
  [102, 6, 101],
  [156, 13, 101],
  [204, 45, 84],
  [241, 89, 53],
  [252, 146, 58],
  [254, 199, 109],
  [254, 244, 179],
];
const HEAT = 0.7; // how much of an overlay is colour; the rest is the picture in grey

/**
 * A picture with its masks.
 *
 * @typedef {{size: number, pixels: Uint8ClampedArray, masks: {size: number, values: ArrayLike<number>}[]}} Picture
 *   pixels: RGB, row by row; masks: in [0, 1], the coarsest first.
 */

/** @param {ArrayLike<number>} image in [-1, 1], row by row, RGB. */
export function picture(image, masks) {
  return { size: Math.sqrt(image.length / 3), pixels: Uint8ClampedArray.from(image, toByte), masks };
}

/** A picture with the pixels of another of its size where `kept(x, y)` says so. */
export function merged(drawn, old, kept) {
  const pixels = drawn.pixels.map((value, at) => {
    const position = Math.floor(at / 3);
    return kept(position % drawn.size, Math.floor(position / drawn.size)) ? old.pixels[at] : value;
  });
  return { ...drawn, pixels };
}

/** Draws a picture, with a mask over it if there is one. */
export function paint(canvas, drawn, mask) {
  put(canvas, drawn.size, (at, x, y) => {
    const pixel = drawn.pixels.subarray(3 * at, 3 * at + 3);
    return mask ? overlaid(pixel, valueAt(mask, x, y, drawn.size)) : pixel;
  });
}

/** Draws a mask alone. */
export function paintMask(canvas, mask, size) {
  put(canvas, size, (_, x, y) => heat(valueAt(mask, x, y, size)));
}

/** Draws where two pictures differ, and returns by how much on average, in levels of 255. */
export function paintDifference(canvas, one, other) {
  const changes = new Float64Array(one.size ** 2);
  for (let at = 0; at < one.pixels.length; at++) {
    changes[Math.floor(at / 3)] += Math.abs(one.pixels[at] - other.pixels[at]) / 3;
  }
  put(canvas, one.size, (at) => heat(changes[at] / 255));
  return changes.reduce((sum, change) => sum + change, 0) / changes.length;
}

/** The canvas as a PNG file, under a name made of words. */
export async function download(canvas, name) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 80)}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function put(canvas, size, colourAt) {
  const context = canvas.getContext("2d");
  const data = new ImageData(size, size);
  for (let at = 0; at < size * size; at++) {
    data.data.set(colourAt(at, at % size, Math.floor(at / size)), 4 * at);
    data.data[4 * at + 3] = 255;
  }
  canvas.width = canvas.height = size;
  context.putImageData(data, 0, 0);
}

function valueAt(mask, x, y, size) {
  const cell = (position) => Math.floor((position * mask.size) / size);
  return mask.values[cell(y) * mask.size + cell(x)];
}

function overlaid(pixel, value) {
  const grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
  return heat(value).map((colour) => Math.round(colour * HEAT + grey * (1 - HEAT)));
}

function heat(value) {
  const position = Math.min(1, Math.max(0, value)) * (RAMP.length - 1);
  const index = Math.min(Math.floor(position), RAMP.length - 2);
  const part = position - index;
  return RAMP[index].map((colour, channel) => colour * (1 - part) + RAMP[index + 1][channel] * part);
}
