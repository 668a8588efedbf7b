import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statfsSync, writeFileSync } from "node:fs";
import path from "node:path";
import { EmbeddedStack, readStackConfig } from "../automation/embedded/index.ts";
import { platformProvider } from "../providers/provider.ts";
import program from "../stacks/index.ts";
import { PROJECT, parseSettings, stateFolder } from "../stacks/settings.ts";

const ROOT = path.resolve(import.meta.dirname, "..");
const PASSPHRASE_BYTES = 32;
const MEBIBYTE = 1024 * 1024;
/** A fresh database takes about 40 MiB; its log and the processes' logs grow from there. */
const FREE_SPACE_MIB = 256;

/** The stacks of this machine, in the order in which they need each other. */
export const STACKS = ["local", "local-blue", "local-traffic"] as const;
export type StackName = (typeof STACKS)[number];

/** Settings by full key (`project:name`) that win over a stack's file. */
export type Overrides = Partial<Record<StackName, Record<string, string>>>;

/** An error whose message says the problem and the remedy; no stack trace helps its reader. */
export class UserError extends Error {}

/** The local environment: its stacks, and the folder that keeps all that outlives a command. */
export interface LocalPlatform {
  stateFolder: string;
  stacks: Record<StackName, EmbeddedStack>;
}

/**
 * Makes the state folder and the passphrase of its secrets, where they are missing.
 * @throws UserError when the disk is full or the folder cannot be written.
 */
export function prepareStateFolder(): void {
  const folder = stateFolder();
  try {
    mkdirSync(path.join(folder, "stacks"), { recursive: true, mode: 0o700 });
    const { bavail, bsize } = statfsSync(folder);
    const free = Math.floor((bavail * bsize) / MEBIBYTE);
    if (free < FREE_SPACE_MIB) {
      throw new UserError(
        `only ${free} MiB are free on the disk of ${folder}, ${FREE_SPACE_MIB} MiB are needed.\n` +
          "remedy: free some space, or set PLATFORM_STATE to a folder on another disk.",
      );
    }
    const file = passphraseFile(folder);
    if (existsSync(file)) return;
    if (readdirSync(path.join(folder, "stacks")).some((name) => name.endsWith(".json"))) {
      throw new UserError(
        `${file} is missing, and without it the secrets in ${folder} stay closed.\n` +
          "remedy: restore the file, or begin anew with `npm stop -- --purge`.",
      );
    }
    writeFileSync(file, randomBytes(PASSPHRASE_BYTES).toString("base64url"), { mode: 0o600, flag: "wx" });
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `the state folder ${folder} cannot be written: ${(error as Error).message}\n` +
        "remedy: make it writable, or set PLATFORM_STATE to another folder.",
    );
  }
}

const passphraseFile = (folder: string) => path.join(folder, "passphrase");

/** Whether `npm start` ever ran with this state folder. */
export const wasStarted = (): boolean => existsSync(passphraseFile(stateFolder()));

/**
 * Opens the stacks of this machine, the settings of all checked first.
 * @throws with every problem of a stack's settings at once.
 */
export async function openPlatform(overrides: Overrides = {}): Promise<LocalPlatform> {
  const folder = stateFolder();
  const passphrase = readFileSync(passphraseFile(folder), "utf8").trim();
  const open = async (name: StackName): Promise<EmbeddedStack> => {
    const file = path.join(ROOT, "stacks", `Pulumi.${name}.yaml`);
    const { config, secretKeys } = await readStackConfig(file, PROJECT, passphrase);
    const merged = { ...config, ...overrides[name] };
    parseSettings(name, merged);
    return new EmbeddedStack({
      project: PROJECT,
      name,
      program,
      config: merged,
      secretKeys,
      providers: { platform: platformProvider },
      stateFolder: path.join(folder, "stacks"),
      passphrase,
    });
  };
  const stacks = Object.fromEntries(
    await Promise.all(STACKS.map(async (name) => [name, await open(name)] as const)),
  );
  return { stateFolder: folder, stacks: stacks as LocalPlatform["stacks"] };
}

/** The clear values of a stack's outputs; empty for a stack that was never brought up. */
export async function outputsOf(stack: EmbeddedStack): Promise<Record<string, unknown>> {
  const outputs = (await stack.outputs()) ?? {};
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}
