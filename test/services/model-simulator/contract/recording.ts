import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const FOLDER = join(import.meta.dirname, "../../../fixtures/recordings/vllm-0.32.0");

const exchangeSchema = z.object({
  request: z.object({
    method: z.enum(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
    path: z.string(),
    headers: z.record(z.string(), z.string()),
    body: z.string().nullable(),
  }),
  response: z.object({
    status: z.number(),
    headers: z.array(z.tuple([z.string(), z.string()])),
    body: z.string(),
  }),
});

export type RecordedExchange = z.infer<typeof exchangeSchema>;

/** Every recording's name: its file without ".json". */
export function recordingNames(): string[] {
  return readdirSync(FOLDER).map((file) => file.replace(/\.json$/, ""));
}

export function readExchange(name: string): RecordedExchange {
  return exchangeSchema.parse(readObservation(name));
}

/** A recording that is no request and answer but what was seen. */
export function readObservation(name: string): unknown {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), "utf8"));
}

export function readTable(name: string): string[][] {
  const lines = readFileSync(join(FOLDER, name), "utf8").trimEnd().split("\n");
  return lines.map((line) => line.split("\t"));
}
