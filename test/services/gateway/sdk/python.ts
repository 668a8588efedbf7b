import { execFile } from "node:child_process";
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const run = promisify(execFile);

const VERSION = "3.52.0";
const CACHE = fileURLToPath(
  new URL(`../../../../node_modules/.cache/openai-python-${VERSION}`, import.meta.url),
);
const LIMIT_MS = 100_000;

/** A Python that has the official package, or why there is none. */
export type Python = { readonly executable: string } | { readonly missing: string };

/** Installs the package into a cache of the checkout, once. */
export async function preparePython(): Promise<Python> {
  const executable = join(CACHE, process.platform === "win32" ? "Scripts/python.exe" : "bin/python");
  const complete = join(CACHE, "complete");
  if (await exists(complete)) return { executable };
  try {
    await run("python3", ["--version"]);
  } catch {
    return { missing: "python3 is not on PATH" };
  }
  await rm(CACHE, { recursive: true, force: true });
  await mkdir(CACHE, { recursive: true });
  try {
    await run("python3", ["-m", "venv", CACHE], { timeout: LIMIT_MS });
    const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"];
    await run(executable, [...pip, `openai==${VERSION}`], { timeout: LIMIT_MS });
  } catch {
    return { missing: `openai ${VERSION} for Python could not be installed` };
  }
  await writeFile(complete, VERSION);
  return { executable };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
