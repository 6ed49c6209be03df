// BullMQ: a script settles a job and claims the next; ioredis sends what one tick queued together.

import { Queue, Worker } from "bullmq";
import { CONCURRENCY, TEXT, URL_OF_STORE, chunks, handle } from "./inside.mjs";

const NAME = "jobs";
const { hostname: host, port } = new URL(URL_OF_STORE);
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const opts = { removeOnComplete: { count: 0 } };

export async function producer() {
  const queue = new Queue(NAME, { connection, defaultJobOptions: opts });
  await queue.waitUntilReady();
  return [(n, text) => queue.add("job", { n, text }), () => queue.close()];
}

export async function fill(count) {
  const queue = new Queue(NAME, { connection });
  for (const chunk of chunks(count)) {
    await queue.addBulk(chunk.map((n) => ({ name: "job", data: { n, text: TEXT }, opts })));
  }
  await queue.close();
}

export async function work() {
  new Worker(NAME, (job) => handle(job.data.n, job.data.text), {
    connection,
    concurrency: CONCURRENCY,
  });
}
