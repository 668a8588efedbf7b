import { type ParseArgsConfig, parseArgs } from "node:util";
import { UserError } from "./errors.ts";

/** Reads a command's options. @throws UserError for one that it does not have. */
export function readOptions<T extends NonNullable<ParseArgsConfig["options"]>>(args: string[], options: T) {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const known = Object.keys(options).map((name) => `--${name}`);
    const remedy = known.length > 0 ? `use ${known.join(", ")}, after \`--\`` : "it takes none";
    throw new UserError(`${(error as Error).message}\nremedy: ${remedy}.`);
  }
}
