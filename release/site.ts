import type { RunEvent, Stack } from "../automation/index.ts";
import type { Color, Head, Rollout, Weights } from "./contract/head.ts";
import type { Figures } from "./figures/figures.ts";
import type { FiguresSource } from "./figures/source.ts";
import type { Decision, Journal } from "./journal.ts";
import type { Verdict } from "./verdict.ts";

/** The router or Gateway before the colors, as a release moves it. */
export interface TrafficSwitch {
  /** What is in force. */
  read(): Promise<{ generation: number; weights: Weights }>;
  /**
   * Puts weights in force under the number of a decision; doing so again changes nothing.
   * @throws Overtaken when a later decision is in force.
   */
  move(generation: number, weights: Weights): Promise<void>;
}

/** A later decision about the traffic is in force already: this one has lost. */
export class Overtaken extends Error {
  constructor() {
    super("somebody else has moved the traffic meanwhile");
    this.name = "Overtaken";
  }
}

/** An environment's stacks and what a release needs to know of them. */
export interface Site {
  environment: string;
  colors: Record<Color, Stack>;
  traffic: Stack;
  router: TrafficSwitch;
  journal: Journal;
  /** Folder of the snapshots. */
  snapshots: string;
  figures: FiguresSource;
  /** A key for smoke suite and prompt tests, whose requests the gateways keep apart from clients'. */
  key: string;
}

/** What a color's stack tells about itself. */
export interface ColorAddress {
  /** Base URL of the color alone. */
  url: string;
  /** Those behind a feature flag are not there for every client. */
  models: { name: string; task: "chat" | "embeddings"; flag?: string }[];
}

/** Told while a tick works. */
export interface Listener {
  /** What is being done at the moment. */
  progress(text: string): void;
  event(event: RunEvent): void;
}

/** @throws when the color was never brought up. */
export async function addressOf(site: Site, color: Color): Promise<ColorAddress> {
  const outputs = await site.colors[color].outputs();
  const url = outputs?.url?.value;
  const models = outputs?.models?.value;
  if (typeof url !== "string" || !Array.isArray(models)) {
    throw new Error(`${color} has no address: it was never brought up.\nremedy: bring its stack up first.`);
  }
  return { url, models };
}

/** What a phase works with. */
export interface Step {
  site: Site;
  head: Head;
  rollout: Rollout;
  listener: Listener;
  signal: AbortSignal;
}

/** A decision to write down, with what was seen on the way to it. */
export interface Outcome {
  decision?: Decision;
  /** Done once the decision is written; a crash before it is made up for by a later tick. */
  afterwards?: () => Promise<void>;
  /** Where a stage was judged. */
  judged?: {
    verdict: Verdict;
    figures: Partial<Record<Color, Figures>>;
    /** Whether the stage was watched for as long as its plan asks. */
    timeIsUp: boolean;
  };
}
