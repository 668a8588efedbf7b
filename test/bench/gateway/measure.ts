import { loadavg } from "node:os";
import { MODEL } from "./answer.ts";
import { readStreams, type StreamLoad } from "./client.ts";
import { cpuSeconds, type Started } from "./processes.ts";
import { SLOW_MODEL, STREAMING_MODEL } from "./settings.ts";
import { percentile } from "./statistics.ts";
import { CHUNKS, type Field, NAMES, type Target, type TargetName } from "./targets.ts";
import { CONNECTIONS, load } from "./wrk.ts";

// Until then a JavaScript engine is still compiling what is hot.
const WARM_UP_SECONDS = 10;
// The slow model's delay, over which the connections are spread.
const DELAY_MS = 50;
const FIRST_CHUNK_STREAMS = 4;

/** One figure of one target in one round. */
export interface Sample {
  readonly target: TargetName;
  readonly round: number;
  readonly figure: Figure;
  readonly value: number;
}

export type Figure =
  | "requestsPerSecond"
  | "cpuMicrosecondsPerRequest"
  | "p50Ms"
  | "p99Ms"
  | "firstChunkP50Ms"
  | "cpuMicrosecondsPerChunk";

export interface Measured {
  readonly samples: readonly Sample[];
  /** Answers other than 2xx and connections that broke, by target. */
  readonly errors: Readonly<Partial<Record<TargetName, number>>>;
  /** The machine's load average when each round began: what else it was busy with is part of the figures. */
  readonly loadAverage: readonly number[];
}

export interface Effort {
  readonly rounds: number;
  /** Of each target in each round. */
  readonly seconds: number;
  readonly folder: string;
}

/** Measures every target in turn, round after round, so that what disturbs the machine disturbs all alike. */
export async function measureField({ targets }: Field, effort: Effort): Promise<Measured> {
  const sheet = new Sheet();
  await warmUp(targets, effort);
  for (let round = 0; round < effort.rounds; round += 1) {
    sheet.beginRound(round);
    for (const target of targets) await throughput(target, sheet, effort);
    for (const target of targets) await latency(target, sheet, effort);
    for (const target of targets) await firstChunk(target, sheet);
    for (const target of targets) await chunkCost(target, sheet);
  }
  return sheet;
}

/** Collects what is found. */
class Sheet implements Measured {
  readonly samples: Sample[] = [];
  readonly errors: Partial<Record<TargetName, number>> = {};
  readonly loadAverage: number[] = [];
  #round = 0;

  beginRound(round: number): void {
    this.#round = round;
    this.loadAverage.push(loadavg()[0] ?? Number.NaN);
  }

  add({ name }: Target, figure: Figure, value: number): void {
    this.samples.push({ target: name, round: this.#round, figure, value });
  }

  fail({ name }: Target, errors: number): void {
    this.errors[name] = (this.errors[name] ?? 0) + errors;
  }
}

async function warmUp(targets: readonly Target[], { folder }: Effort): Promise<void> {
  for (const { instant, streaming, headers } of targets) {
    await load({ port: instant.port, model: MODEL, seconds: WARM_UP_SECONDS, headers, folder });
    if (streaming) await readStreams(streamsOf(streaming));
  }
}

async function throughput(target: Target, sheet: Sheet, { seconds, folder }: Effort): Promise<void> {
  const { instant, headers } = target;
  const before = cpuSeconds(instant.pid);
  const found = await load({ port: instant.port, model: MODEL, seconds, headers, folder });
  const after = cpuSeconds(instant.pid);
  sheet.add(target, "requestsPerSecond", found.requestsPerSecond);
  sheet.fail(target, found.errors);
  if (before === undefined || after === undefined) return;
  sheet.add(target, "cpuMicrosecondsPerRequest", ((after - before) / found.requests) * 1e6);
}

async function latency(target: Target, sheet: Sheet, { seconds, folder }: Effort): Promise<void> {
  if (!target.slow) return;
  const { port } = target.slow;
  const found = await load({ port, model: SLOW_MODEL, seconds, folder, spreadMs: DELAY_MS });
  sheet.add(target, "p50Ms", found.p50Ms);
  sheet.add(target, "p99Ms", found.p99Ms);
  sheet.fail(target, found.errors);
}

async function firstChunk(target: Target, sheet: Sheet): Promise<void> {
  if (!target.slow) return;
  const { port } = target.slow;
  const perConnection = FIRST_CHUNK_STREAMS;
  const firsts = await readStreams({ port, model: SLOW_MODEL, perConnection, spreadMs: DELAY_MS });
  sheet.add(target, "firstChunkP50Ms", percentile(firsts, 0.5));
}

/** CPU of the proxy alone: what the model and this client take does not count. */
async function chunkCost(target: Target, sheet: Sheet): Promise<void> {
  if (!target.streaming || target.name === NAMES.model) return;
  const { pid } = target.streaming;
  const before = cpuSeconds(pid);
  await readStreams(streamsOf(target.streaming));
  const after = cpuSeconds(pid);
  if (before === undefined || after === undefined) return;
  sheet.add(target, "cpuMicrosecondsPerChunk", ((after - before) / (CHUNKS * CONNECTIONS)) * 1e6);
}

/** One long stream on each connection. */
function streamsOf({ port }: Started): StreamLoad {
  return { port, model: STREAMING_MODEL, perConnection: 1, spreadMs: 0 };
}
