import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import stringify from "safe-stable-stringify";
import { z } from "zod";
import { digestOf, ROOT } from "../components/shared/source.ts";
import { latestEntry, releaseFiles } from "../release/contract/files.ts";
import type { Head } from "../release/contract/head.ts";
import { keepSnapshot, openSnapshot, type Snapshot, type SnapshotSource } from "../release/snapshot.ts";
import { bundleService } from "../services/shared/bundle.ts";
import {
  type ModelSettings,
  type ReleaseSettings,
  releaseSettings,
  requireConsistency,
} from "./release-settings.ts";
import { type ColorSettings, stateFolder } from "./settings.ts";

const SERVICES = ["gateway", "model-simulator"] as const;
type Bundled = (typeof SERVICES)[number];

/** A release as a color's program uses it. */
export interface KeptRelease {
  id: string;
  label: string | undefined;
  settings: ReleaseSettings;
  /** Absolute path of a service's code in the release. */
  bundle(service: Bundled): string;
  /** Absolute path of its feature flags. */
  flagsFile: string;
  /** Absolute path of its gateway's settings. */
  settingsFile: string;
}

/** Keeps what the working tree would serve as a release: code of the services, prompts, flags, models. */
export async function snapshotWorkingTree(environment: string, settings: ReleaseSettings): Promise<Snapshot> {
  const { snapshots } = releaseFiles(stateFolder(), environment);
  return keepSnapshot(snapshots, await sourceOf(settings));
}

async function sourceOf({ models, flags, gateway, credentials }: ReleaseSettings): Promise<SnapshotSource> {
  const bundles = await Promise.all(
    SERVICES.map(async (service) => [service, await bundle(service)] as const),
  );
  const code = Object.fromEntries(bundles) as Record<Bundled, Buffer>;
  const prompts = globSync("prompts/*.yaml", { cwd: ROOT }).sort();
  return {
    parts: {
      ...Object.fromEntries(bundles.map(([name, content]) => [name, { file: `${name}.mjs`, content }])),
      ...Object.fromEntries(
        prompts.map((file) => [
          file.replace(/\.yaml$/, ""),
          { file, content: readFileSync(path.join(ROOT, file)) },
        ]),
      ),
      configuration: {
        file: "configuration.json",
        content: JSON.stringify({ models, credentials }, null, 2),
      },
      flags: { file: "flags.json", content: JSON.stringify({ flags }, null, 2) },
      "gateway settings": { file: "gateway.json", content: toJson(priced(gateway, models)) },
    },
    models: models.map((model) => ({
      name: model.name,
      revision: revisionOf(model, code["model-simulator"]),
    })),
  };
}

// On their way through a stack's outputs, fields that no schema puts in order lose theirs.
function toJson(settings: object): string {
  return stringify(settings, null, 2) ?? "";
}

/** A model that is only simulated costs nothing unless the settings say so; any other one needs a price there. */
function priced(gateway: ReleaseSettings["gateway"], models: readonly ModelSettings[]) {
  const { cost, ...others } = gateway;
  const { prices, ...rest } = asMap(cost);
  const simulated = models.filter((model) => !("urls" in model));
  const free = Object.fromEntries(simulated.map(({ name }) => [name, { promptUsd: 0 }]));
  return { ...others, cost: { ...rest, prices: { ...free, ...asMap(prices) } } };
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** What decides a model's answers: its weights, or the simulator's code and its settings. */
function revisionOf(model: ModelSettings, simulator: Buffer): string {
  if ("urls" in model) return model.revision ?? "unknown";
  return digestOf(simulator.toString("base64"), JSON.stringify(model));
}

async function bundle(service: Bundled): Promise<Buffer> {
  const folder = mkdtempSync(path.join(tmpdir(), "bundle-"));
  try {
    const file = path.join(folder, `${service}.mjs`);
    await bundleService(service, file);
    return readFileSync(file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** How the environment's releases stand; undefined where none was ever made. */
export function headOf(environment: string): Head | undefined {
  return latestEntry(releaseFiles(stateFolder(), environment).journal)?.head;
}

/**
 * The release that a color is to serve, by the environment's release journal. Where no release was ever made, as
 * under a plain `pulumi up`, it is what the working tree holds.
 */
export async function releaseOf(
  { environment, color }: Pick<ColorSettings, "environment" | "color">,
  outputs: pulumi.StackReference,
): Promise<KeptRelease> {
  const head = headOf(environment);
  const assigned = head?.colors[color];
  if (head && !assigned) {
    throw new Error(
      `no release is assigned to ${color}.\nremedy: \`npm run release -- ${environment}\` puts one there.`,
    );
  }
  const { snapshots } = releaseFiles(stateFolder(), environment);
  const snapshot = assigned
    ? openSnapshot(snapshots, assigned.release)
    : await snapshotWorkingTree(environment, await settingsOf(environment, outputs));
  return { ...kept(snapshot), label: assigned?.label };
}

/** The environment's settings, as its stack tells them. */
async function settingsOf(environment: string, outputs: pulumi.StackReference): Promise<ReleaseSettings> {
  const { value } = await outputs.getOutputDetails("release");
  if (value === undefined) {
    throw new Error(
      `stack ${environment} has no outputs yet.\nremedy: bring it up first: pulumi up -s ${environment}.`,
    );
  }
  return check(value);
}

function kept({ id, folder }: Snapshot): Omit<KeptRelease, "label"> {
  const read = (file: string): unknown => JSON.parse(readFileSync(path.join(folder, file), "utf8"));
  const settings = check({
    ...(read("configuration.json") as object),
    ...(read("flags.json") as object),
    // Releases of versions that knew no such settings have no such file.
    gateway: existsSync(path.join(folder, "gateway.json")) ? read("gateway.json") : {},
  });
  return {
    id,
    settings,
    bundle: (service) => path.join(folder, `${service}.mjs`),
    flagsFile: path.join(folder, "flags.json"),
    settingsFile: path.join(folder, "gateway.json"),
  };
}

function check(value: unknown): ReleaseSettings {
  const parsed = releaseSettings.superRefine(requireConsistency).safeParse(value);
  if (parsed.success) return parsed.data;
  throw new Error(`the release's configuration is wrong:\n${z.prettifyError(parsed.error)}`);
}
