import { existsSync, readFileSync } from "node:fs";
import { parse } from "yaml";
import { z } from "zod";
import { Crypter } from "./crypter.ts";
import { isObject, mapValues } from "./values.ts";

const fileSchema = z.strictObject({
  encryptionsalt: z.string().optional(),
  config: z.record(z.string(), z.unknown()).nullish(),
});

interface StackConfig {
  /** Values by full key (`project:name`); objects and lists as JSON. */
  config: Record<string, string>;
  /** Keys whose values hold a secret. */
  secretKeys: string[];
}

type SecureValue = { secure: string };
const isSecure = (value: unknown): value is SecureValue =>
  isObject(value) && Object.keys(value).length === 1 && typeof value.secure === "string";

/**
 * Reads a stack's configuration file (`Pulumi.<stack>.yaml`), secrets opened with the stack's passphrase.
 * @throws when the file is missing, is not of that form, or has secrets that the passphrase does not open.
 */
export async function readStackConfig(
  file: string,
  project: string,
  passphrase: string,
): Promise<StackConfig> {
  if (!existsSync(file)) {
    throw new Error(
      `${file} does not exist.\nremedy: every stack needs its configuration file; restore or write it.`,
    );
  }
  const content = parseFile(file);
  const { encryptionsalt } = content;
  // A salt alone says nothing: `pulumi stack init` writes one for states of its own, under a passphrase of its own.
  const isSealed = Object.values(content.config ?? {}).some(holdsSecure);
  const crypter = isSealed && encryptionsalt ? await opened(file, passphrase, encryptionsalt) : undefined;
  const config: Record<string, string> = {};
  const secretKeys: string[] = [];
  for (const [key, sealedValue] of Object.entries(content.config ?? {})) {
    const name = key.includes(":") ? key : `${project}:${key}`;
    let isSecret = false;
    const value = mapValues(sealedValue, (part) => {
      if (!isSecure(part)) return part;
      if (!crypter) throw new Error(`${file}: ${key} is encrypted, but the file has no encryptionsalt`);
      isSecret = true;
      return crypter.decrypt(part.secure);
    });
    config[name] = typeof value === "object" ? JSON.stringify(value) : String(value);
    if (isSecret) secretKeys.push(name);
  }
  return { config, secretKeys };
}

function holdsSecure(value: unknown): boolean {
  let found = false;
  mapValues(value, (part) => {
    found ||= isSecure(part);
    return part;
  });
  return found;
}

async function opened(file: string, passphrase: string, salt: string): Promise<Crypter> {
  try {
    return await Crypter.open(passphrase, salt);
  } catch (error) {
    throw new Error(
      `${file} holds secrets that cannot be opened: ${(error as Error).message}\n` +
        "remedy: seal them with the passphrase of these states, or restore the one that they were sealed with.",
    );
  }
}

function parseFile(file: string): z.infer<typeof fileSchema> {
  try {
    return fileSchema.parse(parse(readFileSync(file, "utf8")) ?? {});
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : (error as Error).message;
    throw new Error(`${file} is no configuration of a stack: ${reason}`);
  }
}
