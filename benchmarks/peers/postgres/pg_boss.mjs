// pg-boss: one handler call per batch, rows kept when done.

import { PgBoss } from "pg-boss";
import { CONCURRENCY, FIGURE, TEXT, URL_OF_STORE, chunks, handle } from "./inside.mjs";

const NAME = "jobs";
const FETCHERS = 2;

async function started(options = {}) {
  const boss = new PgBoss({ connectionString: URL_OF_STORE, max: 20, ...options });
  boss.on("error", console.error);
  await boss.start();
  return boss;
}

export async function prepare() {
  const boss = await started();
  await boss.createQueue(NAME, { notify: true });
  await boss.stop({ graceful: false });
}

export async function producer() {
  const boss = await started({ supervise: false, schedule: false });
  return [(n, text) => boss.send(NAME, { n, text }), () => boss.stop({ graceful: false })];
}

export async function fill(count) {
  const boss = await started({ supervise: false, schedule: false });
  for (const chunk of chunks(count)) {
    await boss.insert(NAME, chunk.map((n) => ({ data: { n, text: TEXT } })));
  }
  await boss.stop({ graceful: false });
}

export async function work() {
  const boss = await started({ useListenNotify: true });
  const options = {
    batchSize: FIGURE === "noop" ? 2000 : CONCURRENCY / FETCHERS,
    localConcurrency: FETCHERS,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
  };
  await boss.work(NAME, options, (jobs) =>
    Promise.all(jobs.map((job) => handle(job.data.n, job.data.text))),
  );
}
