import { type Load, startLoad } from "../../release/load/load.ts";
import { type Command, ReleasePlatform, until } from "../local/release-support.ts";

const ROUNDS = 5;
const PER_SECOND = 200;
const COMMAND_LIMIT_MS = 120_000;

/** One switch, with a few requests to judge it by: what is measured is the way of the traffic, not the watching. */
const QUICK = {
  strategy: "blue-green",
  secondsPerHour: 1,
  warmSeconds: 900,
  plans: {
    "blue-green": {
      stages: [{ weight: 100, hours: 0, gates: { errorRate: 0.05 } }],
      minimumRequests: 20,
      slowdown: 1000,
    },
  },
};

/** Milliseconds from the start of a command. */
interface Round {
  /** Release: until the first request that the new color was given. */
  forwardFirst: number;
  /** Release: until the last request that the old color was given. */
  forwardLast: number;
  release: number;
  /** Rollback: until the last request that the new color was given. */
  backLast: number;
  /** Rollback: what the command itself says. */
  backOwn: number;
  rollback: number;
}

export interface ReleaseBench {
  readonly rounds: readonly Round[];
  /** Seconds of a blue-green release as the repository's settings have it, under its own load. */
  readonly wholeSeconds: number;
  readonly requests: number;
  /** Requests that failed or were never sent. */
  readonly lost: number;
}

/** Times releases and rollbacks of a real platform under load. Takes two to three minutes. */
export async function benchRelease(): Promise<ReleaseBench> {
  const platform = await ReleasePlatform.create(undefined);
  try {
    const wholeSeconds = await timeWhole(platform);
    platform.setRollout(QUICK);
    const load = await loadOn(platform);
    const rounds = await timeRounds(platform, load).finally(() => load.stop());
    const { started, failed, skipped } = load.stats();
    return { rounds, wholeSeconds, requests: started, lost: failed + skipped };
  } finally {
    await platform.close();
  }
}

async function timeRounds(platform: ReleasePlatform, load: Load): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let index = 0; index < ROUNDS; index += 1) {
    platform.setChatModel({ answerTokens: 30 + index });
    rounds.push({ ...(await timeForward(platform, load)), ...(await timeBack(platform, load)) });
  }
  return rounds;
}

/** The release as people make it, with the load that it brings along. */
async function timeWhole(platform: ReleasePlatform): Promise<number> {
  platform.setChatModel({ answerTokens: 20 });
  const begin = performance.now();
  await ended(platform.begin("release", "local"));
  return (performance.now() - begin) / 1000;
}

async function loadOn(platform: ReleasePlatform): Promise<Load> {
  const { url, key } = await platform.access();
  const models = { chat: "simulated-chat", embeddings: "simulated-embeddings" };
  return startLoad({ url, key, models, ratePerSecond: PER_SECOND });
}

async function timeForward(platform: ReleasePlatform, load: Load) {
  const old = activeRelease(platform);
  const known = new Set(Object.keys(load.stats().byRelease));
  const begin = Date.now();
  const command = platform.begin("release", "local", "--no-load");
  const isNew = (release: string) => !known.has(release) && release !== old;
  const first = until("a request reaches the new color", () => newest(load, isNew) !== undefined).then(
    () => newest(load, isNew) ?? 0,
  );
  await ended(command);
  const release = Date.now() - begin;
  return { forwardFirst: (await first) - begin, forwardLast: lastAt(load, old) - begin, release };
}

async function timeBack(platform: ReleasePlatform, load: Load) {
  const lost = activeRelease(platform);
  const begin = Date.now();
  const stdout = await ended(platform.begin("rollback", "local"));
  const backOwn = Number(/\((\d+) ms\)/.exec(stdout)?.[1]);
  return { backLast: lastAt(load, lost) - begin, backOwn, rollback: Date.now() - begin };
}

async function ended(command: Command): Promise<string> {
  await until("the command ends", () => command.hasEnded, COMMAND_LIMIT_MS);
  const { code, stdout, stderr } = await command.outcome;
  if (code !== 0) throw new Error(`a command failed: ${stderr || stdout}`);
  return stdout;
}

function activeRelease({ head: { colors, active } }: ReleasePlatform): string {
  const release = colors[active]?.release;
  if (release === undefined) throw new Error(`${active} serves no release`);
  return release;
}

const lastAt = (load: Load, release: string): number => load.stats().byRelease[release]?.lastAt ?? Number.NaN;

function newest(load: Load, isNew: (release: string) => boolean): number | undefined {
  return Object.entries(load.stats().byRelease).find(([release]) => isNew(release))?.[1].lastAt;
}

/** Prints the figures. @returns whether every request was answered. */
export function printReleaseBench({ rounds, wholeSeconds, requests, lost }: ReleaseBench): boolean {
  console.log(`release and rollback under ${PER_SECOND} requests/s, ${rounds.length} rounds`);
  const row = (what: string, key: keyof Round) => {
    const values = rounds.map((round) => round[key]).sort((a, b) => a - b);
    const median = values[Math.floor(values.length / 2)] ?? Number.NaN;
    const most = values.at(-1) ?? Number.NaN;
    console.log(`  ${what.padEnd(62)} median ${ms(median)}  max ${ms(most)}`);
  };
  row("rollback: command to the last request on the new color", "backLast");
  row("rollback: as the command says", "backOwn");
  row("rollback: until the new color is ended", "rollback");
  row("release: command to the first request on the new color", "forwardFirst");
  row("release: command to the last request on the old color", "forwardLast");
  row("release: until it is finished", "release");
  console.log(`  ${"whole blue-green release, as settings have it".padEnd(62)} ${wholeSeconds.toFixed(1)} s`);
  console.log(
    `  ${`${requests} requests, lost`.padEnd(62)} ${lost} (${((100 * lost) / requests).toFixed(4)} %)`,
  );
  return lost === 0;
}

const ms = (value: number): string => `${Math.round(value)} ms`.padStart(9);
