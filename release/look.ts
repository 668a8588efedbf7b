import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loadPrompts, runPromptTests } from "./checks/prompts.ts";
import { COLORS, type Color, type Counters, type Head, type QualityFigure } from "./contract/head.ts";
import type { Asker } from "./figures/source.ts";
import { addressOf, type Site } from "./site.ts";
import { openSnapshot } from "./snapshot.ts";

/** How often each prompt test is run for one score, at least. */
const LEAST_REPEATS = 2;
const CONCURRENCY = 4;
const PROBE_TIMEOUT_MS = 2000;
const PROBES = 3;
const PROBE_INTERVAL_MS = 500;

export type ByColor<T> = Partial<Record<Color, T>>;

/** What the gateways have counted by now; a color that does not exist or does not tell is left out. */
export async function readCounters(
  site: Site,
  head: Head,
  { signal, asker }: { signal: AbortSignal; asker?: Asker },
): Promise<ByColor<Counters>> {
  const existing = COLORS.filter((color) => head.colors[color] !== undefined);
  const asked = await Promise.all(
    existing.map(async (color) => {
      const address = await addressOf(site, color).catch(() => undefined);
      return address && { color, address: address.url, release: head.colors[color]?.release ?? "" };
    }),
  );
  const known = asked.filter((one) => one !== undefined);
  const counters = await site.figures.read(known, signal, asker);
  const pairs = known.flatMap(({ color }, index) => (counters[index] ? [[color, counters[index]]] : []));
  return Object.fromEntries(pairs);
}

export interface QualityLook {
  figure: QualityFigure | undefined;
  /** What was wrong with answers, or why there are none. */
  problems: string[];
  /** Whether the prompts could not even be asked. Default: false. */
  isBroken?: boolean;
}

/** Two looks at the quality of the same color as one. */
export function together(
  before: QualityFigure | undefined,
  after: QualityFigure | undefined,
): QualityFigure | undefined {
  if (!before || !after) return after ?? before;
  const samples = before.samples + after.samples;
  return { samples, score: (before.score * before.samples + after.score * after.samples) / samples };
}

/**
 * Scores the prompts of a color's own release on the color's own address. A color or prompts that cannot be asked leave
 * the figure unknown and say why.
 */
export async function readQuality(
  site: Site,
  about: { head: Head; color: Color },
  signal: AbortSignal,
): Promise<QualityLook> {
  try {
    return await scorePrompts(site, about, signal);
  } catch (error) {
    signal.throwIfAborted();
    return { figure: undefined, problems: [(error as Error).message], isBroken: true };
  }
}

async function scorePrompts(
  site: Site,
  { head, color }: { head: Head; color: Color },
  signal: AbortSignal,
): Promise<QualityLook> {
  const assignment = head.colors[color];
  if (assignment === undefined) return { figure: undefined, problems: [`${color} serves no release`] };
  const { url, models } = await addressOf(site, color);
  const prompts = await loadPrompts(
    path.join(openSnapshot(site.snapshots, assignment.release).folder, "prompts"),
  );
  if (prompts.length === 0) return { figure: undefined, problems: ["the release carries no prompt tests"] };
  const tests = prompts.reduce((sum, prompt) => sum + prompt.tests.length, 0);
  if (tests === 0) return { figure: undefined, problems: ["the release's prompts have no tests"] };
  const wanted = head.rollout?.plan.minimumQualitySamples ?? 0;
  const repeats = Math.max(LEAST_REPEATS, Math.ceil(wanted / tests));
  const request = { url, key: site.key, prompts, models, repeats, concurrency: CONCURRENCY, signal };
  const { score, samples, cases } = await runPromptTests(request);
  const problems = cases.flatMap(({ prompt, test, problem }) =>
    problem ? [`${prompt} / ${test}: ${problem}`] : [],
  );
  return { figure: samples === 0 ? undefined : { score, samples }, problems };
}

async function isReady(url: string, signal: AbortSignal): Promise<boolean> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PROBE_TIMEOUT_MS)]);
  const response = await fetch(`${url}/ready`, { signal: patience }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok ?? false;
}

/** Whether the color answers its readiness probe, waiting for it for as long as given. */
export async function becomesReady(url: string, milliseconds: number, signal: AbortSignal): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  while (!(await isReady(url, signal))) {
    signal.throwIfAborted();
    if (performance.now() > deadline) return false;
    await delay(PROBE_INTERVAL_MS, undefined, { signal });
  }
  return true;
}

/** Whether the color, which was ready before, has stopped answering: one lost probe alone says nothing. */
export async function hasGone(url: string, signal: AbortSignal): Promise<boolean> {
  return !(await becomesReady(url, PROBES * PROBE_INTERVAL_MS, signal));
}
