// Runs the model. No module, because the runtime loads its WASM by importScripts, which modules have not.

const here = (file) => new URL(file, self.location.href).href;

let litert, model;
let turn = Promise.resolve();

self.onmessage = ({ data }) => {
  turn = turn.then(() => answer(data));
};

async function answer({ accelerator, signature, inputs }) {
  try {
    const outputs = accelerator ? await start(accelerator) : await run(signature, inputs);
    self.postMessage({ outputs });
  } catch (error) {
    self.postMessage({ error: error?.message ?? String(error) });
  }
}

async function start(accelerator) {
  // Else the runtime looks for its .wasm beside this file.
  self.Module = { locateFile: (file) => here(`runtime/wasm/${file}`) };
  litert = await import(here("runtime/litert.js")).catch(() => {
    throw new Error("the runtime is missing. Run npm ci in the folder of this page.");
  });
  await litert.loadLiteRt(here("runtime/wasm/"), { jspi: accelerator === "webgpu" });
  const file = await fetch(here("model.tflite"), { cache: "no-cache" }); // it may be a newer one
  if (!file.ok) {
    throw new Error(`model.tflite is missing: ${file.status} ${file.statusText}.`);
  }
  // Named, because without a name it takes a GPU that then fails at the first operator it lacks.
  model = await litert.loadAndCompile(new Uint8Array(await file.arrayBuffer()), { accelerator });
}

/** All inputs are vectors but one, which has the size of the picture. */
function shapeOf(name, length) {
  const size = Math.sqrt(length);
  return name === "mask_overrides" ? [1, size, size, 1] : [1, length];
}

async function run(signature, inputs) {
  const given = Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => [name, new litert.Tensor(values, shapeOf(name, values.length))]),
  );
  const made = await model.run(signature, given);
  try {
    const read = async ([name, tensor]) => [name, (await tensor.data()).slice()];
    return Object.fromEntries(await Promise.all(Object.entries(made).map(read)));
  } finally {
    for (const tensor of [...Object.values(given), ...Object.values(made)]) {
      tensor.delete();
    }
  }
}
