import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import pLimit from "p-limit";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import type { Traffic } from "./contract.ts";

const originSchema = z
  .url({ protocol: /^https?$/, error: "must be an http or https URL" })
  .refine((value) => URL.canParse(value) && isOrigin(new URL(value)), {
    error: "must be an origin without path, query or credentials",
  })
  .transform((value) => new URL(value).origin);

const backendSchema = z.strictObject({ url: originSchema, weight: z.int().min(0).max(100) });

export const trafficSchema = z
  .strictObject({
    generation: z.int().min(1),
    backends: z.strictObject({ blue: backendSchema.optional(), green: backendSchema.optional() }),
  })
  .refine(({ backends }) => [0, 100].includes((backends.blue?.weight ?? 0) + (backends.green?.weight ?? 0)), {
    path: ["backends"],
    error: "weights must add up to 100, or to 0 when nothing is to be served",
  });

function isOrigin(url: URL): boolean {
  return (
    url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "" && url.password === ""
  );
}

/** The writer's generation is not above the current one: another writer was here since. */
export class StaleGenerationError extends Error {
  readonly current: number;
  constructor(current: number) {
    super(`the generation must be above ${current}`);
    this.current = current;
  }
}

/** Keeps the traffic in memory for the data plane and in a file for the next start. */
export interface TrafficStore {
  current(): Traffic;
  /** Throws StaleGenerationError; a failed write leaves the old traffic in force. */
  replace(next: Traffic): Promise<void>;
}

const NO_TRAFFIC: Traffic = { generation: 0, backends: {} };

async function load(file: string): Promise<Traffic> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return NO_TRAFFIC;
    throw error;
  }
  try {
    return trafficSchema.parse(JSON.parse(text));
  } catch {
    // Starting with other weights than the last ones would silently undo a rollback.
    throw new Error(
      `the state file ${file} is not valid; remedy: restore it, or delete it and set the weights again`,
    );
  }
}

/** Opens the state file, or starts with generation 0 and no backends when there is none. */
export async function openTrafficStore(
  file: string,
  onChange: (traffic: Traffic) => void,
): Promise<TrafficStore> {
  await mkdir(dirname(file), { recursive: true });
  let traffic = await load(file);
  onChange(traffic);
  const oneAtATime = pLimit(1);
  return {
    current: () => traffic,
    replace: (next) =>
      oneAtATime(async () => {
        if (next.generation <= traffic.generation) throw new StaleGenerationError(traffic.generation);
        await writeFileAtomic(file, `${JSON.stringify(next, null, 2)}\n`, { mode: 0o600 });
        traffic = next;
        onChange(next);
      }),
  };
}
