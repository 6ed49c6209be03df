// Graphile Worker: a local queue filled by one statement, completions of a tick in another.

import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { CONCURRENCY, FIGURE, TEXT, URL_OF_STORE, chunks, handle } from "./inside.mjs";

const logger = new Logger(() => () => {});
const shared = { connectionString: URL_OF_STORE, logger };

export async function prepare() {
  const utils = await makeWorkerUtils(shared);
  await utils.migrate();
  await utils.release();
}

export async function producer() {
  const utils = await makeWorkerUtils({ ...shared, maxPoolSize: 20 });
  return [(n, text) => utils.addJob("job", { n, text }), () => utils.release()];
}

export async function fill(count) {
  const utils = await makeWorkerUtils(shared);
  for (const chunk of chunks(count)) {
    await utils.addJobs(chunk.map((n) => ({ identifier: "job", payload: { n, text: TEXT } })));
  }
  await utils.release();
}

export async function work() {
  const batches = { localQueue: { size: 2000 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };
  await run({
    ...shared,
    concurrency: CONCURRENCY,
    maxPoolSize: 20,
    noHandleSignals: true,
    preset: { worker: FIGURE === "latency" ? {} : batches },
    taskList: { job: (payload) => handle(payload.n, payload.text) },
  });
}
