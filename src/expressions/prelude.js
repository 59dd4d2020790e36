// Runs before the first expression, and makes the interpreter the same everywhere and at any time: the clock stands
// still and shows UTC, the random source is seeded, text cannot become code, and the data is frozen.
(function (now, seed, names, json) {
  "use strict";

  // --- The clock.
  const RealDate = Date;
  const { UTC: utc, parse: realParse } = RealDate;
  const withoutZone = /^[+-]?\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/;
  const parse = (text) => realParse(withoutZone.test(text) ? text.replace(" ", "T") + "Z" : text);
  function FixedDate(...parts) {
    if (!new.target) return new RealDate(now).toISOString();
    let made;
    if (parts.length === 0) made = new RealDate(now);
    else if (parts.length > 1) made = new RealDate(utc(...parts));
    else made = new RealDate(typeof parts[0] === "string" ? parse(parts[0]) : parts[0]);
    return Object.setPrototypeOf(made, new.target.prototype);
  }
  const shape = RealDate.prototype;
  const set = (target, name, value) =>
    Object.defineProperty(target, name, { value, writable: false, enumerable: false, configurable: false });
  for (const part of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
    set(shape, "get" + part, shape["getUTC" + part]);
    if (part !== "Day") set(shape, "set" + part, shape["setUTC" + part]);
  }
  const { toISOString, toUTCString } = shape;
  set(shape, "getTimezoneOffset", () => 0);
  set(shape, "toString", toUTCString);
  set(shape, "toLocaleString", function () { return toISOString.call(this).slice(0, 19).replace("T", " "); });
  for (const name of ["toDateString", "toLocaleDateString"]) {
    set(shape, name, function () { return toISOString.call(this).slice(0, 10); });
  }
  for (const name of ["toTimeString", "toLocaleTimeString"]) {
    set(shape, name, function () { return toISOString.call(this).slice(11, 19); });
  }
  set(shape, "constructor", FixedDate);
  set(FixedDate, "prototype", shape);
  set(FixedDate, "now", () => now);
  set(FixedDate, "parse", parse);
  set(FixedDate, "UTC", utc);
  set(globalThis, "Date", FixedDate);

  // --- The random source: mulberry32.
  let state = seed >>> 0;
  set(Math, "random", () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  });

  // --- No code out of text.
  for (const made of [function () {}, function* () {}, async function () {}, async function* () {}]) {
    set(Object.getPrototypeOf(made), "constructor", undefined);
  }
  // Nor anything that waits: what a promise would do later never happens.
  for (const name of ["Function", "eval", "Promise", "queueMicrotask", "AsyncDisposableStack"]) delete globalThis[name];

  // --- The data.
  const { freeze, isFrozen } = Object;
  const values = JSON.parse(json);
  const open = [values];
  while (open.length > 0) {
    const value = open.pop();
    for (const key in value) {
      const inner = value[key];
      if (inner !== null && typeof inner === "object" && !isFrozen(inner)) open.push(inner);
    }
    freeze(value);
  }
  for (const name of names) set(globalThis, name, values[name]);
})
