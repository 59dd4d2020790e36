// What loads chunks: `bundles.rs` puts the names in. A bundle is some modules in one file: how many, then of each its
// number and its length, then all of them one after the other. The chunk's own module has the number 0.
import { initSync } from "./agentflow.js";

const bundles = {};
const modules = {};
let imports;

const shared = () => {
  if (!imports) {
    const { NAMES } = initSync();
    imports = { __wasm_split: { PROPS NAMES } };
  }
  return imports;
};

// What has failed is tried again the next time.
const once = (cache, name, make) =>
  (cache[name] ??= make().catch((error) => {
    delete cache[name];
    throw error;
  }));

const start = (name, bytes) => once(modules, name, () => WebAssembly.instantiate(bytes, shared()));

const fetched = async (name) => {
  const answer = await fetch(new URL(`./${name}.bin`, import.meta.url));
  if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
  const bytes = await answer.arrayBuffer();
  const [count] = new Uint32Array(bytes, 0, 1);
  const head = new Uint32Array(bytes, 4, count * 2);
  let at = 4 + count * 8;
  return Array.from({ length: count }, (_, place) => {
    const [number, length] = [head[place * 2], head[place * 2 + 1]];
    at += length;
    return [number, new Uint8Array(bytes, at - length, length)];
  });
};

const load = async (chunk) => {
  const names = ["common", chunk];
  const all = (await Promise.all(names.map((name) => once(bundles, name, () => fetched(name))))).flat();
  await Promise.all(all.filter(([number]) => number).map(([number, bytes]) => start(number, bytes)));
  await Promise.all(all.filter(([number]) => !number).map(([, bytes]) => start(chunk, bytes)));
  // They have started; their bytes can go.
  for (const name of names) bundles[name] = Promise.resolve([]);
};

// The module's own way to be told that it is there: a function by its place in the table.
const told = (chunk) => async (callback, data) => {
  const done = await load(chunk).then(
    () => true,
    (error) => (console.error(error), false),
  );
  shared().__wasm_split.__indirect_function_table.get(callback)(data, done);
};

