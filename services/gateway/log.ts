import pino from "pino";
import type { GatewayConfig } from "./config.ts";
import { describeError } from "./telemetry/error-description.ts";

export type Log = pino.Logger;

/** Takes lines that are made already. */
export interface LineLog {
  /** @param line JSON, with its line break; no level is looked at */
  readonly writeLine: (line: string) => void;
}

const BUFFER_BYTES = 32 * 1024;
const FLUSH_MS = 500;

/** A log of JSON lines on standard output, written in blocks: a line at a time would cost a tenth of the throughput. */
export function createLog({ logLevel, color, release }: GatewayConfig): Log & LineLog {
  const destination = pino.destination({
    fd: 1,
    sync: false,
    minLength: BUFFER_BYTES,
    // What one write may take; it must be more than what it waits for.
    maxWrite: 2 * BUFFER_BYTES,
    periodicFlush: FLUSH_MS,
  });
  const base = { service: "gateway", color, release };
  const log = pino({ level: logLevel, base, serializers: { err: describeError } }, destination);
  return Object.assign(log, { writeLine: (line: string) => void destination.write(line) });
}
