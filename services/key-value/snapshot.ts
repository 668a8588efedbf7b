import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import writeFileAtomic from "write-file-atomic";
import { z } from "zod";
import { Keyspace } from "./keyspace.ts";
import { SortedSet } from "./sorted-set.ts";

const VERSION = 1;

const SCORE = /^(?:-?Infinity|-?\d+(?:\.\d+)?(?:e[+-]\d+)?)$/;

const entrySchema = z.strictObject({
  key: z.base64(),
  expiresAt: z.int().min(0).optional(),
  string: z.base64().optional(),
  hash: z.array(z.tuple([z.base64(), z.base64()])).optional(),
  /** Scores are texts: JSON knows no infinity. */
  sortedSet: z.array(z.tuple([z.base64(), z.string().regex(SCORE)])).optional(),
});

const snapshotSchema = z.strictObject({ version: z.literal(VERSION), entries: z.array(entrySchema) });

type Snapshot = z.infer<typeof snapshotSchema>;

function base64(key: string): string {
  return Buffer.from(key, "latin1").toString("base64");
}

function bytes(encoded: string): Buffer {
  return Buffer.from(encoded, "base64");
}

function toSnapshot(keyspace: Keyspace): Snapshot {
  const entries = Array.from(keyspace.entries(), ([key, { value, expiresAt }]) => {
    const head = { key: base64(key), expiresAt };
    if (Buffer.isBuffer(value)) return { ...head, string: value.toString("base64") };
    if (value instanceof SortedSet) {
      const sortedSet = value.members.map(({ member, score }): [string, string] => [
        base64(member),
        String(score),
      ]);
      return { ...head, sortedSet };
    }
    const hash = Array.from(value, ([field, content]): [string, string] => [
      base64(field),
      content.toString("base64"),
    ]);
    return { ...head, hash };
  });
  return { version: VERSION, entries };
}

function restore(keyspace: Keyspace, { entries }: Snapshot): void {
  for (const { key: encoded, expiresAt, string, hash = [], sortedSet = [] } of entries) {
    const key = bytes(encoded).toString("latin1");
    if (string !== undefined) keyspace.set(key, bytes(string), expiresAt);
    for (const [field, content] of hash)
      keyspace.setField(key, bytes(field).toString("latin1"), bytes(content));
    for (const [member, score] of sortedSet)
      keyspace.setScore(key, bytes(member).toString("latin1"), Number(score));
    if (string === undefined && expiresAt !== undefined) keyspace.expire(key, expiresAt);
  }
}

/** Writes the file whole or not at all: a crash leaves the one before. */
export async function saveSnapshot(file: string, keyspace: Keyspace): Promise<void> {
  await writeFileAtomic(file, JSON.stringify(toSnapshot(keyspace)), { mode: 0o600 });
}

/** The data of the last run; empty when there is no file. Throws when the file is not valid. */
export async function loadSnapshot(file: string): Promise<Keyspace> {
  const keyspace = new Keyspace();
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return keyspace;
    throw error;
  }
  try {
    restore(keyspace, snapshotSchema.parse(JSON.parse(content)));
  } catch {
    // Starting empty would look like success and overwrite what may still be saved.
    throw new Error(`the data file ${file} is not valid; remedy: restore it, or delete it to start empty`);
  }
  return keyspace;
}
