import { afterAll, beforeAll, expect, test } from "vitest";
import { COLORS } from "../../release/contract/head.ts";
import { type Load, type LoadStats, startLoad } from "../../release/load/load.ts";
import { ReleasePlatform, until } from "./release-support.ts";

const REQUESTS = Number(process.env.SOAK_REQUESTS ?? 6000);
const PER_SECOND = 230;
const HELD_STREAMS = 8;
/** At 10 ms a token, a held stream outlasts a switch. */
const MODEL = { timePerOutputTokenMs: 10 };
const HELD_STREAM_TOKENS = 600;
const HELD_STREAM_MS = 10 * HELD_STREAM_TOKENS;
const LIMIT_MS = 180_000 + (REQUESTS / PER_SECOND) * 2000;

/** Both colors serve for a while; the few requests of a second prove what is asked for. */
const QUICK = {
  strategy: "canary",
  secondsPerHour: 1,
  readySeconds: 30,
  patienceSeconds: 60,
  warmSeconds: 900,
  plans: {
    canary: {
      stages: [
        { weight: 30, hours: 1, gates: { errorRate: 0.05 } },
        { weight: 100, hours: 0, gates: { errorRate: 0.05 } },
      ],
      minimumRequests: 20,
      // Two processors that all of this shares say nothing about the speed of a release.
      slowdown: 1000,
    },
  },
};

let platform: ReleasePlatform;
let load: Load;
let edition = 0;

beforeAll(async () => {
  platform = await ReleasePlatform.create(QUICK, MODEL);
}, 180_000);
afterAll(async () => {
  await load?.stop();
  await platform?.close();
}, 120_000);

const succeeded = ({ byRelease }: LoadStats, release: string) => byRelease[release]?.succeeded ?? 0;

function activeRelease(): string {
  const { colors, active } = platform.head;
  return colors[active]?.release ?? "";
}

/** Moves all traffic by a command, and proves that both releases answered and streams outlasted the switch. */
async function switchBy(command: string, ...args: string[]): Promise<void> {
  const before = activeRelease();
  const begin = load.stats();
  const moving = platform.begin(command, "local", ...args);
  const moved = until(`${command} moves all traffic`, () => isMovedFrom(before), LIMIT_MS).then(() =>
    load.stats(),
  );
  const { code, stdout, stderr } = await moving.outcome;
  expect(stderr).toBe("");
  expect(code, stdout).toBe(0);
  const after = activeRelease();
  const atSwitch = await moved;
  expect(after).not.toBe(before);
  expect(succeeded(atSwitch, before)).toBeGreaterThan(succeeded(begin, before));
  await until(`${after} answers`, () => succeeded(load.stats(), after) > succeeded(atSwitch, after));
  await until(
    `streams of ${before} end after ${command}`,
    () => succeeded(load.stats(), before) >= succeeded(atSwitch, before) + HELD_STREAMS / 2,
    2 * HELD_STREAM_MS,
  );
}

/** Whether every request that comes now goes elsewhere. */
function isMovedFrom(release: string): boolean {
  const { colors, weights, rollout } = platform.head;
  const serves = COLORS.some((color) => weights[color] > 0 && colors[color]?.release === release);
  return !serves && rollout?.phase !== "shifting";
}

async function releaseNext(): Promise<void> {
  edition = (edition + 1) % 50;
  platform.setChatModel({ answerTokens: 20 + edition });
  await switchBy("release", "--no-load");
}

test(
  `${REQUESTS} requests through release, rollback and release again, then none is lost`,
  async () => {
    const { url, key } = await platform.access();
    load = startLoad({
      ...{ url, key, ratePerSecond: PER_SECOND, streamShare: 0.5, newConnectionShare: 0.5 },
      models: { chat: "simulated-chat", embeddings: "simulated-embeddings" },
      ...{ heldStreams: HELD_STREAMS, heldStreamTokens: HELD_STREAM_TOKENS },
    });
    let switches = 0;
    do {
      await releaseNext();
      await switchBy("rollback");
      await releaseNext();
      switches += 3;
    } while (load.stats().started < REQUESTS);
    const stats = await load.stop();
    const { started, failed, skipped, failures, seconds, latency } = stats;
    console.log(
      `${started} requests in ${Math.round(seconds)} s through ${switches} switches: ${stats.succeeded} answered, ` +
        `${failed} failed, ${skipped} not sent; p95 ${latency.p95Ms?.toFixed(0)} ms`,
    );
    expect(failures).toEqual([]);
    expect({ failed, skipped, answered: stats.succeeded }).toEqual({
      failed: 0,
      skipped: 0,
      answered: started,
    });
    expect(stats.byRelease).not.toHaveProperty("none");
  },
  LIMIT_MS,
);
