import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { EMBEDDER, MODEL } from "./support.ts";

export const BETA = "beta-model";
export const FLAG = "beta";

/** A boolean flag that is off, unless its targeting says otherwise. */
export function flag(targeting: object, more: object = {}) {
  return { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "off", targeting, ...more };
}

/** A flag that is on where the value of the context is this one. */
export function flagFor(name: string, value: string) {
  return flag({ if: [{ "==": [{ var: name }, value] }, "on", "off"] });
}

/** A file with this content; gone after the test. */
export async function flagsFile(content: unknown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "gateway-flags-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = join(folder, "flags.json");
  await writeFile(file, typeof content === "string" ? content : JSON.stringify(content));
  return file;
}

/** Settings with the usual models and one more that the flag decides about. */
export async function flagged(url: string, flags: Record<string, unknown>): Promise<Record<string, string>> {
  const replicas = [{ url }];
  const models = [
    { name: EMBEDDER, task: "embeddings", replicas },
    { name: MODEL, task: "chat", replicas },
    { name: BETA, task: "chat", replicas, flag: FLAG },
  ];
  return { GATEWAY_FLAGS_FILE: await flagsFile({ flags }), GATEWAY_MODELS: JSON.stringify(models) };
}
