// Pictures from a server that speaks TensorFlow Serving's REST API.

import { Refused, Unreachable } from "./errors.js";
import { overridesOf } from "./brush.js";
import { picture } from "./pictures.js";

const AGAIN = new Set([429, 502, 503, 504]);

/** Opens the model once the server has loaded it. Throws Unreachable until then. */
export async function open({ model }) {
  const path = `v1/models/${encodeURIComponent(model)}`;
  const versions = (await ask(path)).model_version_status ?? [];
  if (!versions.some((version) => version.state === "AVAILABLE")) {
    throw new Unreachable("The server is loading the model.");
  }
  const about = await ask(`${path}/metadata`);
  const signature = about.metadata.signature_def.signature_def;
  return new Server(`${path}:predict`, sizesOf(signature));
}

class Server {
  constructor(path, { maskSizes, maxWords, imageSize }) {
    this.path = path;
    this.maskSizes = maskSizes;
    this.maxWords = maxWords;
    this.imageSize = imageSize; // of a model that holds masks
    this.where = "drawn by a server";
  }

  /** Why masks cannot be held in a view, or nothing. */
  cannotHold(view) {
    if (!this.imageSize) {
      return "The server's model cannot hold masks. Export it again with this version.";
    }
    return view === "between" ? "A server holds no masks in this view. Choose Seeds or Swap a word." : "";
  }

  async draw({ caption, seed, hold }, signal) {
    const inputs = { captions: caption, seed: BigInt(seed) };
    const outputs = hold
      ? await this.predict("generate_with_overrides", { ...inputs, mask_overrides: overridesOf(hold, this.imageSize) }, signal)
      : await this.predict("generate_with_masks", inputs, signal);
    const masks = this.maskSizes.map((size) => mask(outputs[`mask_${size}`]));
    return picture(outputs.images.flat(3), masks);
  }

  /** A picture on the way from one caption and seed to others; its finest mask alone. */
  async between({ start, end, along }, signal) {
    const inputs = {
      captions: start.caption,
      to_captions: end.caption,
      seed: BigInt(start.seed),
      to_seed: BigInt(end.seed),
      along,
    };
    const outputs = await this.predict("interpolate", inputs, signal);
    return picture(outputs.images.flat(3), [mask(outputs.masks)]);
  }

  async predict(signature, inputs, signal) {
    // By hand, because JSON.stringify knows no integers of 64 bits.
    const value = (input) => (typeof input === "bigint" ? String(input) : JSON.stringify(input));
    const columns = Object.entries(inputs).map(([name, input]) => `"${name}":[${value(input)}]`);
    const body = `{"signature_name":"${signature}","inputs":{${columns.join()}}}`;
    return (await ask(this.path, { method: "POST", body, signal })).outputs;
  }
}

function mask(values) {
  const flat = values.flat(3);
  return { size: Math.sqrt(flat.length), values: flat };
}

function sizesOf(signatures) {
  const drawn = signatures.generate_with_masks?.outputs;
  const ids = signatures.encode_text?.outputs?.ids;
  if (!drawn || !ids) {
    throw new Refused("The server has a model of another kind. Give it one that export.py wrote.");
  }
  const sizes = Object.keys(drawn).flatMap((name) => name.match(/^mask_(\d+)$/)?.[1] ?? []);
  return {
    maskSizes: sizes.map(Number).sort((one, other) => one - other),
    maxWords: Number(ids.tensor_shape.dim[1].size),
    imageSize: Number(signatures.generate_with_overrides?.inputs.mask_overrides.tensor_shape.dim[1].size ?? 0),
  };
}

async function ask(path, options = {}) {
  let response, answer;
  try {
    response = await fetch(path, options);
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") {
      throw error;
    }
    if (response?.ok === false && !AGAIN.has(response.status)) {
      throw new Refused(`The server refused: ${response.status} ${response.statusText}.`);
    }
    throw new Unreachable("The server does not answer.");
  }
  if (AGAIN.has(response.status)) {
    throw new Unreachable(sentence(answer.error ?? "The server has too much to do"));
  }
  if (!response.ok) {
    throw new Refused(`The server refused: ${sentence(answer.error ?? response.statusText)}`);
  }
  return answer;
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
