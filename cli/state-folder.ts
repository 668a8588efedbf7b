import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statfsSync,
} from "node:fs";
import path from "node:path";
import writeFileAtomic from "write-file-atomic";
import { lock } from "../automation/embedded/index.ts";
import { stateFolder } from "../stacks/settings.ts";
import { claimStateFolder, isStateFolder, MARKER } from "../stacks/state-folder.ts";
import { UserError } from "./errors.ts";

const PASSPHRASE_BYTES = 32;
const MEBIBYTE = 1024 * 1024;
/** A fresh database takes about 40 MiB; its log and the processes' logs grow from there. */
const FREE_SPACE_MIB = 256;

const PASSPHRASE = "passphrase";
const LOCK = "platform.lock";
const PORT = "port";
const RUNNER = "runner";
const CONTENTS = ["data", "logs", "pids", "pulumi", "releases", "stacks", PASSPHRASE, PORT, RUNNER, LOCK];
/** Characters that mean something to the configuration of Redis or to our own placeholders. */
const UNFIT = /["\\\n]|\$\{/;

const inFolder = (name: string) => path.join(stateFolder(), name);

/** Whether `npm start` ever got as far as keeping something. */
export const exists = (): boolean =>
  isStateFolder() && [PASSPHRASE, "stacks"].some((name) => existsSync(inFolder(name)));

/**
 * Makes the state folder where it is missing.
 * @throws UserError when the disk is full, the folder cannot be written, or it is somebody else's.
 */
export function prepare(): void {
  const folder = stateFolder();
  if (UNFIT.test(folder)) {
    throw new UserError(
      `the state folder ${folder} has a quote, a backslash, a line break or "\${" in its path.\n` +
        "remedy: set PLATFORM_STATE to another folder.",
    );
  }
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    requireFreeSpace(folder);
    if (!claimStateFolder()) {
      throw new UserError(
        `${folder} is not empty and no state folder of this platform.\nremedy: set PLATFORM_STATE to a new folder.`,
      );
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `the state folder ${folder} cannot be written: ${(error as Error).message}\n` +
        "remedy: make it writable, or set PLATFORM_STATE to another folder.",
    );
  }
}

function requireFreeSpace(folder: string): void {
  const { bavail, bsize } = statfsSync(folder);
  const free = Math.floor((bavail * bsize) / MEBIBYTE);
  if (free >= FREE_SPACE_MIB) return;
  throw new UserError(
    `only ${free} MiB are free on the disk of ${folder}, ${FREE_SPACE_MIB} MiB are needed.\n` +
      "remedy: free some space, or set PLATFORM_STATE to a folder on another disk.",
  );
}

/** Lets one command at a time change the platform. @returns a function that lets the next one in. */
export function lockPlatform(): () => void {
  return lock(inFolder(LOCK), "the platform");
}

/** Makes the passphrase that seals the secrets of all stacks, where there is none. */
export function preparePassphrase(): void {
  const stacks = inFolder("stacks");
  if (existsSync(inFolder(PASSPHRASE))) return;
  const hasStates = existsSync(stacks) && readdirSync(stacks).some((name) => name.endsWith(".json"));
  if (hasStates || existsSync(inFolder("pulumi"))) throw lostPassphrase();
  writeFileAtomic.sync(inFolder(PASSPHRASE), randomBytes(PASSPHRASE_BYTES).toString("base64url"), {
    mode: 0o600,
  });
}

/** @throws UserError when it is missing or empty. */
export function readPassphrase(): string {
  const file = inFolder(PASSPHRASE);
  const passphrase = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  if (passphrase === "") throw lostPassphrase();
  return passphrase;
}

function lostPassphrase(): UserError {
  return new UserError(
    `${inFolder(PASSPHRASE)} is missing or empty, and without it the secrets beside it stay closed.\n` +
      "remedy: restore the file, or begin anew with `npm stop -- --purge`.",
  );
}

/** The port that a command line asked for last; undefined leaves it to the settings. */
export function rememberedPort(): string | undefined {
  return existsSync(inFolder(PORT)) ? readFileSync(inFolder(PORT), "utf8").trim() : undefined;
}

export function rememberPort(port: string): void {
  writeFileAtomic.sync(inFolder(PORT), `${port}\n`);
}

/** What runs the stacks' programs: this process itself, or the Pulumi CLI. */
const RUNNERS = ["embedded", "cli"] as const;
export type Runner = (typeof RUNNERS)[number];

/** The runner that the platform was started with: the states are in its keeping. */
export function readRunner(): Runner {
  const text = existsSync(inFolder(RUNNER)) ? readFileSync(inFolder(RUNNER), "utf8").trim() : "embedded";
  return text === "cli" ? "cli" : "embedded";
}

/** @throws UserError when another runner has the states already, or the name is none. */
export function chooseRunner(name: string | undefined): void {
  if (name === undefined) return;
  const runner = RUNNERS.find((one) => one === name);
  if (runner === undefined) {
    throw new UserError(`"${name}" is no runner.\nremedy: use ${RUNNERS.join(" or ")}.`);
  }
  if (runner === readRunner()) return;
  if (existsSync(inFolder("stacks")) || existsSync(inFolder("pulumi"))) {
    throw new UserError(
      `the states of this platform are with the runner "${readRunner()}".\n` +
        "remedy: begin anew with `npm stop -- --purge`, or set PLATFORM_STATE to another folder.",
    );
  }
  writeFileAtomic.sync(inFolder(RUNNER), `${runner}\n`);
}

/** Removes all that the platform keeps, and the folder itself unless something else is in it. */
export function purge(): void {
  const folder = realpathSync(stateFolder());
  // A command that was killed while it took the lock leaves a draft of it behind.
  const drafts = readdirSync(folder).filter((name) => name.startsWith(`${LOCK}.`));
  for (const name of [...CONTENTS, ...drafts]) rmSync(inFolder(name), { recursive: true, force: true });
  rmSync(inFolder(MARKER), { force: true });
  if (readdirSync(folder).length === 0) rmdirSync(folder);
}
