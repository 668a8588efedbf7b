import { METRICS, PATHS } from "../../services/gateway/contract.ts";
import type { Counters, Histogram } from "../contract/head.ts";
import { parseMetrics, type Series } from "./prometheus-text.ts";

/** Whose requests are looked at: clients', or those of our own checks. */
export type Asker = "clients" | "checks";

/** Where the figures about the colors come from. */
export interface FiguresSource {
  /**
   * What the colors at these addresses have counted, in the same order; undefined for one that tells nothing.
   * @param colors with the ids of the releases that they serve, for what is counted by release.
   */
  read(
    colors: { address: string; release: string }[],
    signal: AbortSignal,
    asker?: Asker,
  ): Promise<(Counters | undefined)[]>;
}

const TIMEOUT_MS = 3000;
const MAX_PAGE_BYTES = 16 * 1024 * 1024;
/** What is judged: not the lists of models, the documents and the probes beside them. */
const ENDPOINTS: readonly string[] = [PATHS.chatCompletions, PATHS.completions, PATHS.embeddings];
/** Answered, or failed by our fault. What a client did wrong (4xx) or left behind (499) says nothing about a release. */
const JUDGED = /^[25]/;

/** The gateways' own metrics, read from each color's address. */
export const gatewayFigures: FiguresSource = {
  async read(colors, signal, asker = "clients") {
    const pages = await Promise.all(colors.map(({ address }) => readPage(address, signal)));
    const complaints = pages.flatMap((page) => page ?? []).filter(isComplaint);
    const isWhole = pages.every((page) => page !== undefined);
    return colors.map(({ release }, index) => {
      const page = pages[index];
      // Either color may have taken a complaint about the other's answer.
      const about = complaints.filter(({ labels }) => labels.about === release);
      return page && { ...countersOf(page, asker), ...(isWhole ? { complaints: sum(about) } : {}) };
    });
  },
};

async function readPage(address: string, signal: AbortSignal): Promise<Series[] | undefined> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const response = await fetch(`${address}${PATHS.metrics}`, { signal: patience });
    const page = await response.text();
    return response.ok && page.length <= MAX_PAGE_BYTES ? parseMetrics(page) : undefined;
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

const isComplaint = ({ name }: Series) => name === METRICS.complainingUsers.name;

const sum = (series: Series[]): number => series.reduce((total, { value }) => total + value, 0);

function countersOf(page: Series[], asker: Asker): Omit<Counters, "complaints"> {
  const probe = asker === "checks" ? "true" : "false";
  const judged = page.filter(
    ({ labels }) => labels.probe === probe && ENDPOINTS.includes(labels.endpoint ?? ""),
  );
  const named = (name: string) => judged.filter((series) => series.name === name);
  const answered = named(METRICS.requests.name).filter(({ labels }) => JUDGED.test(labels.status ?? ""));
  const durations = named(`${METRICS.duration.name}_bucket`);
  return {
    startedAt: page.find(({ name }) => name === "process_start_time_seconds")?.value ?? 0,
    requests: sum(answered),
    failures: sum(named(METRICS.failures.name)),
    duration: histogramOf(
      durations.filter(({ labels }) => JUDGED.test(labels.status_class ?? "")),
      METRICS.duration.buckets,
    ),
    firstToken: histogramOf(
      named(`${METRICS.timeToFirstToken.name}_bucket`),
      METRICS.timeToFirstToken.buckets,
    ),
  };
}

function histogramOf(buckets: Series[], finite: readonly number[]): Histogram {
  const bounds = [...finite, Number.POSITIVE_INFINITY];
  const counts = bounds.map((bound) => sum(buckets.filter(({ labels }) => boundOf(labels.le) === bound)));
  return { bounds: [...finite], counts };
}

const boundOf = (text = "") => (text === "+Inf" ? Number.POSITIVE_INFINITY : Number(text));
