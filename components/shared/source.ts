import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import path from "node:path";

/** The folder of the project: where package.json stands. */
export const ROOT = path.resolve(import.meta.dirname, "../..");

/** The Node.js that the lockfile pins, whichever one runs this program. */
export const NODE = path.join(ROOT, "node_modules/.bin/node");

/** Length of a digest's prefix: 48 bits tell the releases of one project apart. */
const DIGEST_LENGTH = 12;

/** A short digest of texts, for names and for telling versions apart. */
export function digestOf(...texts: string[]): string {
  const hash = createHash("sha256");
  for (const text of texts) hash.update(`${text.length}:`).update(text);
  return hash.digest("hex").slice(0, DIGEST_LENGTH);
}

/** A digest of the code that a service runs: its folder, what services share, and the packages that the lockfile pins. */
export function sourceDigest(service: string): string {
  const files = globSync([`services/{${service},shared}/**/*.ts`, "package-lock.json"], { cwd: ROOT }).sort();
  return digestOf(...files.flatMap((file) => [file, readFileSync(path.join(ROOT, file), "utf8")]));
}
