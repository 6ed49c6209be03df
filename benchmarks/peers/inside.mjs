// What runs in Node for the peers from npm: `node inside.mjs ADAPTER VERB …`, as inside.py in Python.
// An adapter exports prepare (if it needs a schema), fill(count), work() and producer(), which
// resolves to [dispatch(n, text), close()].

import fs from "node:fs";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

export const URL_OF_STORE = process.env.PEER_URL;
export const FIGURE = process.env.PEER_FIGURE ?? "noop";
export const CONCURRENCY = Number(process.env.PEER_CONCURRENCY ?? 10);
export const TEXT = "x".repeat(60);

const WARM = 2;
const LATENCIES = 4096;
const cells = new Float64Array(3 + LATENCIES); // count, first start, last end, latencies
const monotonic = () => Number(process.hrtime.bigint()) / 1e9; // as Python's time.monotonic()
let file;

// Node cannot share memory with other processes: the tally is written every few ms instead.
function write() {
  fs.writeSync(file, cells, 0, FIGURE === "latency" ? cells.byteLength : 24, 0);
}

function compute() {
  const taken = () => process.cpuUsage(began).user + process.cpuUsage(began).system; // µs
  const began = process.cpuUsage();
  while (taken() < 1000);
}

export async function handle(n, text) {
  const began = monotonic();
  if (FIGURE === "five_ms") await sleep(5);
  else if (FIGURE === "computing") compute();
  else if (FIGURE === "latency" && n >= 0) cells[3 + n] = began - Number(text);
  if (cells[0] === 0) {
    cells[1] = began;
    file = fs.openSync(path.join(process.env.PEER_TALLIES, String(process.pid)), "w");
    setInterval(write, 5);
  }
  cells[2] = monotonic();
  cells[0] += 1;
}

export function* chunks(count, size = 1000) {
  for (let start = 0; start < count; start += size) {
    yield Array.from({ length: Math.min(size, count - start) }, (_, n) => start + n);
  }
}

async function dispatchRate(producer, milliseconds, callers) {
  const [dispatch, close] = await producer();
  let done = 0;
  const caller = async (until) => {
    for (let n = 0; n < WARM || performance.now() < until; n++, done++) await dispatch(n, TEXT);
  };
  const together = (until) => Promise.all(Array.from({ length: callers }, () => caller(until)));
  await together(0);
  done = 0;
  const began = performance.now();
  await together(began + milliseconds);
  const rate = (done * 1000) / (performance.now() - began);
  await close();
  return rate;
}

async function pace(producer, count) {
  const [dispatch, close] = await producer();
  await dispatch(-1, TEXT);
  while (fs.readdirSync(process.env.PEER_TALLIES).length === 0) await sleep(50);
  for (let n = -20; n < count; n++) {
    await dispatch(n, monotonic().toFixed(9).padStart(60, "0"));
    await sleep(10);
  }
  await close();
}

async function main([name, verb, ...numbers]) {
  const adapter = await import(pathToFileURL(path.resolve(name)).href);
  const counts = numbers.map(Number);
  if (verb === "dispatch") {
    console.log(await dispatchRate(adapter.producer, ...counts));
  } else if (verb === "pace") await pace(adapter.producer, ...counts);
  else if (verb === "fill") {
    const began = performance.now();
    await adapter.fill(...counts);
    console.log((counts[0] * 1000) / (performance.now() - began));
  } else if (verb !== "prepare" || adapter.prepare) await adapter[verb](...counts);
  if (verb !== "work") process.exit(0);
}

// Not awaited here: the adapter imports this module, which must have been evaluated by then. An error
// ends the process with its trace.
main(process.argv.slice(2));
