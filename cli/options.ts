import { type ParseArgsConfig, parseArgs } from "node:util";
import { UserError } from "./errors.ts";
import { ENVIRONMENT } from "./platform.ts";

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

/** Reads the options of a command about an environment, whose name it must be given. */
export function environmentOption<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  options: T,
) {
  const [name, ...rest] = args;
  if (name === ENVIRONMENT) return readOptions(rest, options);
  const problem =
    name === undefined || name.startsWith("-")
      ? "no environment is given"
      : `"${name}" is no environment of this machine`;
  throw new UserError(`${problem}.\nremedy: name it first, as in \`-- ${ENVIRONMENT}\`.`);
}
