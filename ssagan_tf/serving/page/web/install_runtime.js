// Copies what the page needs of @litertjs/core from node_modules/ to runtime/; `npm ci` runs it.

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";

const FROM = new URL("node_modules/@litertjs/", import.meta.url);
const TO = new URL("runtime/", import.meta.url);
const UTILS = '"@litertjs/wasm-utils"';
// For the CPU, for browsers without relaxed SIMD, and for GPUs.
const WASM = ["litert_wasm_internal", "litert_wasm_compat_internal", "litert_wasm_jspi_internal"];

await mkdir(new URL("wasm/", TO), { recursive: true });
const code = await readFile(new URL("core/dist/index.js", FROM), "utf8");
if (code.split(UTILS).length !== 2) {
  throw new Error("This version of @litertjs/core is built in another way. Use the one that package.json names.");
}
// A bare name needs an import map, and workers have none.
await writeFile(new URL("litert.js", TO), code.replace(UTILS, '"./wasm_utils.js"'));
await copyFile(new URL("wasm-utils/dist/index.js", FROM), new URL("wasm_utils.js", TO));
for (const file of WASM.flatMap((name) => [`${name}.js`, `${name}.wasm`])) {
  await copyFile(new URL(`core/wasm/${file}`, FROM), new URL(`wasm/${file}`, TO));
}
console.log("runtime/ is complete. node_modules/ is not needed any more.");
