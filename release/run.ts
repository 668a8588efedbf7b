import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Entry } from "./contract/files.ts";
import { Controller, type Tick } from "./controller.ts";
import { isLeaving } from "./decisions.ts";
import { JournalConflict } from "./journal.ts";
import { keepSample, Sampler } from "./sampler.ts";
import type { Sample } from "./samples.ts";
import type { Listener, Site } from "./site.ts";
import { reasonsOf, type Verdict } from "./verdict.ts";

/** How often another writer's decision is looked for while a step works. */
const WATCH_INTERVAL_MS = 250;
const CONFLICT_PAUSE_MS = 100;
/** Looks between two checks, so that a release of hours leaves no more samples than one of seconds. */
const SAMPLES_PER_CHECK = 20;
const LEAST_SAMPLE_INTERVAL_MS = 1000;
const LEAST_CHECK_INTERVAL_MS = 250;

export interface RunOptions extends Listener {
  site: Site;
  /** Folder for the samples of releases; one folder by number in it. */
  rollouts: string;
  signal: AbortSignal;
  /** Milliseconds that a release may hold until the run ends and leaves it there. Default: twice its plan's patience. */
  holdMs?: number | undefined;
  /** Told of each decision, of this run or of another. */
  onEntry(entry: Entry): void;
  onSample(sample: Sample): void;
}

/** How a run ended. A release that holds goes on with the next run. */
export type RunEnd = "settled" | "holding";

/** Ticks until the release has come to its end, or holds for too long. */
export async function run(options: RunOptions): Promise<RunEnd> {
  const controller = new Controller(options.site);
  const watching = new AbortController();
  const seen: Seen = { verdict: undefined };
  const sampling = sample(options, seen, watching.signal);
  try {
    return await repeat(options, controller, seen);
  } finally {
    watching.abort();
    await sampling;
  }
}

interface Seen {
  verdict: Verdict | undefined;
  /** The last look, which a decision that follows it is shown with. */
  sample?: Sample;
}

async function repeat(options: RunOptions, controller: Controller, seen: Seen): Promise<RunEnd> {
  const number = options.site.journal.latest()?.head.number;
  const hold = new HoldClock();
  for (;;) {
    options.signal.throwIfAborted();
    const tick = await tickOnce(options, controller);
    if (tick === undefined) continue;
    seen.verdict = tick.judged?.verdict;
    if (tick.moved && seen.verdict) showDecision(options, seen, tick.entry);
    // The next release is somebody else's.
    if (tick.settled || tick.entry.head.number !== number) return "settled";
    hold.see(tick);
    if (tick.moved) continue;
    if (hold.milliseconds > patienceOf(options, tick.entry)) return "holding";
    await delay(checkInterval(tick.entry), undefined, { signal: options.signal });
  }
}

/** How long a release has held. A stage that is watched for its time does not hold. */
class HoldClock {
  #since: number | undefined;

  see({ moved, judged }: Tick): void {
    if (moved || judged?.timeIsUp === false) this.#since = undefined;
    else this.#since ??= performance.now();
  }

  get milliseconds(): number {
    return this.#since === undefined ? 0 : performance.now() - this.#since;
  }
}

function patienceOf({ holdMs }: RunOptions, { head }: Entry): number {
  // A stage without enough figures gets its patience, and as much again: what can be judged is judged by then.
  return holdMs ?? 2 * (head.rollout?.plan.patienceSeconds ?? 0) * 1000;
}

function checkInterval({ head }: Entry): number {
  const { checkHours = 0, secondsPerHour = 0 } = head.rollout?.plan ?? {};
  return Math.max(checkHours * secondsPerHour * 1000, LEAST_CHECK_INTERVAL_MS);
}

/** One tick; undefined where somebody else decided meanwhile, which ends what was under way. */
async function tickOnce(options: RunOptions, controller: Controller): Promise<Tick | undefined> {
  const { site, signal } = options;
  const before = site.journal.latest()?.revision;
  const overtaken = new AbortController();
  const watch = setInterval(() => {
    try {
      if (site.journal.latest()?.revision !== before) overtaken.abort(new JournalConflict((before ?? 0) + 1));
    } catch (error) {
      overtaken.abort(error);
    }
  }, WATCH_INTERVAL_MS);
  try {
    const tick = await controller.tick(options, AbortSignal.any([signal, overtaken.signal]));
    if (tick.entry.revision !== before) options.onEntry(tick.entry);
    return tick;
  } catch (error) {
    signal.throwIfAborted();
    const latest = site.journal.latest();
    const isNews = latest !== undefined && latest.revision !== before;
    // What fails after somebody else has decided, such as a stack that lost to their weights, is no failure of ours.
    if (!(error instanceof JournalConflict) && !isNews) throw error;
    if (isNews) options.onEntry(latest);
    await delay(CONFLICT_PAUSE_MS, undefined, { signal });
    return undefined;
  } finally {
    clearInterval(watch);
  }
}

/** Looks at the colors again and again, whatever the release waits for, until the run is over. */
async function sample(options: RunOptions, seen: Seen, stop: AbortSignal): Promise<void> {
  const sampler = new Sampler(options.site);
  while (!stop.aborted) {
    const latest = options.site.journal.latest();
    try {
      if (latest?.head.rollout) await takeSample(options, sampler, { latest, seen, stop });
    } catch (error) {
      if (!stop.aborted) options.progress(`the figures cannot be read: ${(error as Error).message}`);
    }
    const interval = latest ? checkInterval(latest) / SAMPLES_PER_CHECK : 0;
    const wait = delay(Math.max(interval, LEAST_SAMPLE_INTERVAL_MS), undefined, { signal: stop });
    // Only the end of the run ends it early.
    await wait.catch(() => {});
  }
}

async function takeSample(
  { rollouts, onSample }: RunOptions,
  sampler: Sampler,
  { latest: { head }, seen, stop }: { latest: Entry; seen: Seen; stop: AbortSignal },
): Promise<void> {
  const isLost = head.rollout !== undefined && isLeaving(head.rollout);
  const taken = withVerdict(await sampler.sample(head, stop), isLost ? undefined : seen.verdict);
  keepSample(path.join(rollouts, String(head.number)), taken);
  seen.sample = taken;
  onSample(taken);
}

/** What a stage ended with is told with the last figures: the next look is at another stage, or at none. */
function showDecision(
  { rollouts, onSample }: RunOptions,
  { sample, verdict }: Seen,
  { at, head }: Entry,
): void {
  if (!sample) return;
  const last = withVerdict({ ...sample, at }, verdict);
  keepSample(path.join(rollouts, String(head.number)), last);
  onSample(last);
}

function withVerdict(taken: Sample, verdict: Verdict | undefined): Sample {
  return verdict ? { ...taken, decision: verdict.decision, reasons: reasonsOf(verdict) } : taken;
}
