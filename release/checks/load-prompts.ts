import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { parseDocument } from "yaml";
import type { z } from "zod";
import { type PromptFile, promptFile } from "./prompt-file.ts";

const EXTENSION = ".yaml";
const MAX_FILE_CHARACTERS = 256 * 1024;

/** A prompt and the file that it was read from. */
export interface Prompt extends PromptFile {
  readonly file: string;
}

/**
 * The prompts of a folder, by name; none where there is no such folder.
 * @throws Error that tells every problem of every file, with file and path.
 */
export async function loadPrompts(folder: string): Promise<Prompt[]> {
  const names = (await namesIn(folder)).sort();
  const read = await Promise.all(names.map((name) => readPrompt(path.join(folder, name))));
  const prompts = read.flatMap(({ prompt }) => prompt ?? []);
  const problems = [...read.flatMap((one) => one.problems), ...repeatedNames(prompts)];
  if (problems.length > 0) throw new Error(`these prompts cannot be used:\n${problems.join("\n")}`);
  return prompts.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).filter((name) => /\.ya?ml$/i.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

interface Read {
  readonly prompt?: Prompt;
  readonly problems: string[];
}

async function readPrompt(file: string): Promise<Read> {
  if (!file.endsWith(EXTENSION))
    return { problems: [`${file}: is not read; let its name end in ${EXTENSION}`] };
  const text = await readFile(file, "utf8");
  if (text.length > MAX_FILE_CHARACTERS) {
    return { problems: [`${file}: has more than ${MAX_FILE_CHARACTERS} characters; shorten it`] };
  }
  const document = parseDocument(text, { prettyErrors: true, logLevel: "error" });
  const broken = document.errors.map(({ message }) => `${file}: ${message.split("\n", 1)[0]}`);
  if (broken.length > 0) return { problems: broken };
  return check(file, () => document.toJS() as unknown);
}

function check(file: string, content: () => unknown): Read {
  let value: unknown;
  try {
    value = content();
  } catch (error) {
    // Aliases that multiply each other.
    return { problems: [`${file}: ${error instanceof Error ? error.message : error}`] };
  }
  const parsed = promptFile.safeParse(value);
  if (!parsed.success) return { problems: parsed.error.issues.map((issue) => `${file}: ${describe(issue)}`) };
  return { prompt: { ...parsed.data, file }, problems: [] };
}

function describe(issue: z.core.$ZodIssue): string {
  const where = issue.path.join(".") || "the file";
  if (issue.code === "unrecognized_keys") return `${where} has unknown fields: ${issue.keys.join(", ")}`;
  if (issue.code !== "invalid_union") return `${where} ${issue.message}`;
  return `${where} is none of what it may be; give true or a JSON schema`;
}

function repeatedNames(prompts: readonly Prompt[]): string[] {
  return prompts.flatMap(({ name, file }, index) => {
    const first = prompts.findIndex((prompt) => prompt.name === name);
    return first < index ? [`${file}: name is that of ${prompts[first]?.file} too; rename one`] : [];
  });
}
