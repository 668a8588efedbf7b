import { randomFrom } from "./random.ts";

/** What goes wrong with one request. */
export interface Fault {
  /** Answers at once with this HTTP status. */
  readonly status?: number;
  /** Milliseconds before the request is looked at. */
  readonly delay?: number;
  /** Destroys the connection after this many chunks of a stream, or halfway through any other answer. */
  readonly cut?: number;
  /** Goes silent after this many tokens, with the connection open. */
  readonly hang?: number;
  /** Kills the engine when the request arrives. */
  readonly die?: boolean;
  /** Writes plain text where a tool call or JSON was asked for, as a worse model does. */
  readonly unstructured?: boolean;
}

export const FAULT_HEADER = "x-sim-fault";
export const FAULT_SYNTAX =
  'a comma-separated list of status=<400-599>, delay=<ms>, cut[=<chunks>], hang[=<tokens>], die, unstructured, such as "delay=500,status=503"';

const MAX_VALUE = 3_600_000;

function wholeNumber(text: string | undefined, fallback: number | undefined): number | undefined {
  if (text === undefined) return fallback;
  if (!/^\d{1,7}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= MAX_VALUE ? value : undefined;
}

function parsePart(part: string): Fault | undefined {
  const [name, value, ...rest] = part.trim().split("=");
  if (rest.length > 0) return undefined;
  if (name === "die" || name === "unstructured") return value === undefined ? { [name]: true } : undefined;
  const needsValue = name === "status" || name === "delay";
  const number = wholeNumber(value, needsValue ? undefined : 0);
  if (number === undefined) return undefined;
  if (name === "status") return number >= 400 && number <= 599 ? { status: number } : undefined;
  if (name === "delay" || name === "cut" || name === "hang") return { [name]: number };
  return undefined;
}

/** Undefined where the text does not follow FAULT_SYNTAX. */
export function parseFault(text: string): Fault | undefined {
  let fault: Fault = {};
  for (const part of text.split(",")) {
    const parsed = parsePart(part);
    if (parsed === undefined) return undefined;
    fault = { ...fault, ...parsed };
  }
  return fault;
}

/** Gives the configured fault to `rate` of the requests, the same ones for the same seed. */
export function faultSampler(fault: Fault | undefined, rate: number, seed: number): () => Fault | undefined {
  const random = randomFrom(seed);
  return () => (fault !== undefined && random() < rate ? fault : undefined);
}
