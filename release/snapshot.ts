import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { type Manifest, manifest as manifestSchema } from "./contract/snapshot.ts";

const MANIFEST = "release.json";
/** 48 bits tell the releases of one project apart. */
const ID_LENGTH = 12;

/** What goes into a release: contents by part and file. */
export interface SnapshotSource {
  /** By part: its path below the release's folder and its content. */
  parts: Record<string, { file: string; content: Buffer | string }>;
  models: Manifest["models"];
}

export interface Snapshot {
  id: string;
  folder: string;
  manifest: Manifest;
}

const sha256 = (content: Buffer | string): string => createHash("sha256").update(content).digest("hex");

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function idOf(manifest: Manifest): string {
  return sha256(JSON.stringify({ ...manifest, parts: sorted(manifest.parts) })).slice(0, ID_LENGTH);
}

function manifestOf({ parts, models }: SnapshotSource): Manifest {
  const entries = Object.entries(parts).map(
    ([name, { file, content }]) => [name, { file, sha256: sha256(content) }] as const,
  );
  return { version: 1, parts: sorted(Object.fromEntries(entries)), models };
}

/** Keeps a release in a folder that is named by its content; the same content is kept once. */
export function keepSnapshot(snapshots: string, source: SnapshotSource): Snapshot {
  const manifest = manifestOf(source);
  const id = idOf(manifest);
  const folder = path.join(snapshots, id);
  if (isWhole(snapshots, id)) return { id, folder, manifest };
  mkdirSync(snapshots, { recursive: true, mode: 0o700 });
  const draft = mkdtempSync(path.join(snapshots, ".draft-"));
  try {
    for (const { file, content } of Object.values(source.parts)) write(path.join(draft, file), content);
    write(path.join(draft, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
    // What is in the way was changed or is not complete: what is kept now takes its place.
    if (existsSync(folder)) renameSync(folder, path.join(draft, "damaged"));
    renameSync(draft, folder);
    rmSync(path.join(folder, "damaged"), { recursive: true, force: true });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return { id, folder, manifest };
}

function isWhole(snapshots: string, id: string): boolean {
  try {
    return openSnapshot(snapshots, id).id === id;
  } catch {
    return false;
  }
}

function write(file: string, content: Buffer | string): void {
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, content, { mode: 0o400, flush: true });
}

/**
 * A kept release, its files compared with its id.
 * @throws when it is missing or was changed.
 */
export function openSnapshot(snapshots: string, id: string): Snapshot {
  const folder = path.join(snapshots, id);
  const damaged = (problem: string) =>
    new Error(`release ${id} in ${folder} ${problem}\nremedy: restore the folder, or release anew.`);
  if (!existsSync(path.join(folder, MANIFEST))) throw damaged("is not there.");
  const parsed = manifestSchema.safeParse(jsonIn(path.join(folder, MANIFEST)));
  if (!parsed.success || idOf(parsed.data) !== id)
    throw damaged("is not what its name says: it was changed.");
  for (const { file, sha256: expected } of Object.values(parsed.data.parts)) {
    const whole = path.join(folder, file);
    if (!existsSync(whole) || sha256(readFileSync(whole)) !== expected) {
      throw damaged(`has a changed or missing file, ${file}.`);
    }
  }
  return { id, folder, manifest: parsed.data };
}

function jsonIn(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined;
  }
}

/** Removes the kept releases that nobody needs, and drafts that a crash left behind. */
export function pruneSnapshots(snapshots: string, needed: ReadonlySet<string>): void {
  for (const name of readdirSync(snapshots)) {
    if (!needed.has(name)) rmSync(path.join(snapshots, name), { recursive: true, force: true });
  }
}

/** Names of the parts and models in which two releases differ. */
export function changesBetween(before: Manifest | undefined, after: Manifest): string[] {
  if (before === undefined) return ["first release"];
  const names = new Set([...Object.keys(before.parts), ...Object.keys(after.parts)]);
  const parts = [...names].filter((name) => before.parts[name]?.sha256 !== after.parts[name]?.sha256);
  const revision = ({ models }: Manifest, name: string) =>
    models.find((model) => model.name === name)?.revision;
  const models = new Set([...before.models, ...after.models].map(({ name }) => name));
  const changed = [...models].filter((name) => revision(before, name) !== revision(after, name));
  return [...parts.sort(), ...changed.sort().map((name) => `model ${name}`)];
}
