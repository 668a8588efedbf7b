import { RunFailed } from "../automation/index.ts";
import { SettingsError } from "../stacks/settings.ts";
import { audit } from "./audit.ts";
import { costs } from "./costs.ts";
import { UserError } from "./errors.ts";
import { key } from "./key.ts";
import { keys } from "./keys.ts";
import { projects } from "./projects.ts";
import { release } from "./release.ts";
import { releases } from "./releases.ts";
import { rollback } from "./rollback.ts";
import { start } from "./start.ts";
import { status } from "./status.ts";
import { stop } from "./stop.ts";
import { plainLines } from "./tell.ts";
import { tenants } from "./tenants.ts";
import { tick } from "./tick.ts";

const COMMANDS: Record<string, (args: string[]) => Promise<void>> = {
  audit,
  costs,
  key,
  keys,
  projects,
  release,
  releases,
  rollback,
  start,
  status,
  stop,
  tenants,
  tick,
};

// A reader that goes early, such as `head`, must not end a command in the middle of its work.
process.stdout.on("error", () => {});

const [name = "", ...args] = process.argv.slice(2);
try {
  const command = COMMANDS[name];
  if (!command)
    throw new UserError(`"${name}" is no command.\nremedy: use ${Object.keys(COMMANDS).join(", ")}.`);
  await command(args);
} catch (error) {
  console.error(`error: ${plainLines(messageOf(error as Error))}`);
  process.exitCode = 1;
}

/** The problem and its remedy; the stack trace only of an error that nobody foresaw. */
function messageOf(error: Error): string {
  const foreseen = error instanceof UserError || error instanceof RunFailed || error instanceof SettingsError;
  if (foreseen || process.env.DEBUG === undefined) return error.message;
  return error.stack ?? error.message;
}
