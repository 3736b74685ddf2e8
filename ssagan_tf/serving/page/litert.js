// Pictures drawn in the browser by LiteRT, in a worker, so that the page stays responsive.

import { Refused } from "./errors.js";
import { overridesOf } from "./brush.js";
import { picture } from "./pictures.js";
import { alongLine, alongSphere, normals } from "./rules.js";

const CLOSE = 16; // levels of 255; weights of 16 bits, or a GPU, are a few off, nonsense is far off

/** Opens the model on a GPU if there is one that draws it rightly, else on the CPU. */
export async function open(settings, vocabulary) {
  if (await hasGpu()) {
    try {
      return await started("webgpu", settings, vocabulary);
    } catch (error) {
      console.warn("The GPU is not used.", error);
    }
  }
  return started("wasm", settings, vocabulary);
}

async function hasGpu() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !adapter.info?.isFallbackAdapter && WebAssembly.Suspending);
}

async function started(accelerator, settings, vocabulary) {
  const runtime = new Runtime(accelerator);
  const model = new Model(runtime, settings, vocabulary);
  try {
    await runtime.ready;
    await model.check(settings.check);
  } catch (error) {
    runtime.stop();
    throw error;
  }
  model.where = `drawn in this browser, on the ${accelerator === "wasm" ? "CPU" : "GPU"}`;
  return model;
}

class Model {
  constructor(runtime, settings, vocabulary) {
    this.runtime = runtime;
    this.vocabulary = vocabulary;
    this.maxWords = settings.max_words;
    this.noiseDim = settings.noise_dim;
    this.maskSizes = settings.mask_sizes;
  }

  cannotHold() {
    return "";
  }

  async draw({ caption, seed, hold = "" }, signal) {
    return this.image(this.noise(seed), await this.sentence(caption, signal), hold, signal);
  }

  async between({ start, end, along, hold = "" }, signal) {
    const sentences = [await this.sentence(start.caption, signal), await this.sentence(end.caption, signal)];
    const noise = alongSphere(this.noise(start.seed), this.noise(end.seed), along);
    return this.image(noise, alongLine(...sentences, along), hold, signal);
  }

  /** Draws a picture that is known. A failed run of LiteRT tells nothing and gives what was left in the memory. */
  async check({ caption, seed, image }) {
    const drawn = (await this.draw({ caption, seed })).pixels;
    const step = Math.floor(drawn.length / image.length);
    const furthest = Math.max(...image.map((value, index) => Math.abs(value - drawn[index * step])));
    if (!(furthest <= CLOSE)) {
      throw new Refused(`This browser draws other pictures than the model's, ${furthest} of 255 levels off.`);
    }
  }

  noise(seed) {
    return normals(BigInt(seed), this.noiseDim);
  }

  async sentence(caption, signal) {
    const ids = new Int32Array(this.maxWords);
    ids.set(this.vocabulary.encode(caption).slice(0, this.maxWords));
    return (await this.run("text", { ids }, signal)).sentence;
  }

  async image(noise, sentence, hold, signal) {
    const overrides = Float32Array.from(overridesOf(hold, this.maskSizes.at(-1)).flat());
    const outputs = await this.run("image", { noise, sentence, mask_overrides: overrides }, signal);
    const masks = this.maskSizes.map((size) => ({ size, values: outputs[`mask_${size}`] }));
    return picture(outputs.image, masks);
  }

  run(signature, inputs, signal) {
    signal?.throwIfAborted();
    return this.runtime.ask({ signature, inputs });
  }
}

/** The worker; questions are answered in turn. */
class Runtime {
  constructor(accelerator) {
    this.worker = new Worker(new URL("litert_worker.js", import.meta.url));
    this.waiting = [];
    this.worker.onmessage = ({ data }) => this.answered(data);
    this.worker.onerror = (event) => this.answered({ error: event.message ?? "The worker did not start." });
    this.ready = this.ask({ accelerator });
  }

  ask(question) {
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.worker.postMessage(question);
    });
  }

  answered({ error, outputs }) {
    const { resolve, reject } = this.waiting.shift() ?? {};
    if (error) {
      reject?.(new Refused(`LiteRT: ${error}`));
    } else {
      resolve?.(outputs);
    }
  }

  stop() {
    this.worker.terminate();
  }
}
