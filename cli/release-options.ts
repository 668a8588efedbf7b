import { isStrategy, type RolloutSettings, type StrategyName } from "../release/contract/strategy.ts";
import { plainText } from "../release/report/text.ts";
import { UserError } from "./errors.ts";

const MAX_LABEL = 128;
const MAX_RATE = 2000;
const MAX_HOLD_SECONDS = 1_000_000;
/** Requests a second of `--with-load` where the settings ask for no load. */
const DEFAULT_RATE = 300;

export const RELEASE_OPTIONS = {
  label: { type: "string" },
  strategy: { type: "string" },
  to: { type: "string" },
  again: { type: "boolean" },
  "with-load": { type: "boolean" },
  "no-load": { type: "boolean" },
  rate: { type: "string" },
  hold: { type: "string" },
} as const;

/** The options as a command line gives them. */
export type GivenOptions = {
  [Name in keyof typeof RELEASE_OPTIONS]?: (typeof RELEASE_OPTIONS)[Name]["type"] extends "string"
    ? string
    : boolean;
};

export interface ReleaseOptions {
  label?: string | undefined;
  strategy?: StrategyName | undefined;
  /** A kept release, by its id or label, instead of the working tree. */
  to?: string | undefined;
  again?: boolean | undefined;
  /** Requests a second that the release brings along. */
  rate: number;
  /** Seconds to hold at most. */
  hold?: number | undefined;
}

/** @throws UserError that tells every problem at once. */
export function readReleaseOptions(given: GivenOptions, { loadPerSecond }: RolloutSettings): ReleaseOptions {
  const { label, strategy, to, again } = given;
  const [rate, hold] = [numberIn(given, "rate", MAX_RATE), numberIn(given, "hold", MAX_HOLD_SECONDS)];
  const isKnown = strategy === undefined || isStrategy(strategy);
  const problems = [
    isLabel(label)
      ? ""
      : `--label is empty, longer than ${MAX_LABEL} characters, or has control characters; give plain text`,
    isKnown ? "" : '--strategy is unknown; use "blue-green" or "canary"',
    rate === "wrong" ? `--rate is no number from 0 to ${MAX_RATE}; give one` : "",
    hold === "wrong" ? `--hold is no number from 0 to ${MAX_HOLD_SECONDS}; give one` : "",
    given["with-load"] && given["no-load"] ? "--with-load and --no-load exclude each other; give one" : "",
  ].filter((problem) => problem !== "");
  if (problems.length > 0 || rate === "wrong" || hold === "wrong" || !isKnown)
    throw new UserError(problems.join("\n"));
  const usual = given["with-load"] ? loadPerSecond || DEFAULT_RATE : loadPerSecond;
  return { label, strategy, to, again, hold, rate: given["no-load"] ? 0 : (rate ?? usual) };
}

function isLabel(label: string | undefined): boolean {
  return label === undefined || (label !== "" && label.length <= MAX_LABEL && plainText(label) === label);
}

function numberIn(given: GivenOptions, name: "rate" | "hold", most: number): number | undefined | "wrong" {
  const text = given[name];
  if (text === undefined) return undefined;
  return /^\d+(\.\d+)?$/.test(text) && Number(text) <= most ? Number(text) : "wrong";
}
