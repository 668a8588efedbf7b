import { isAbsolute } from "node:path";
import type { CheckFailure } from "@pulumi/pulumi/provider/index.js";
import { z } from "zod";
import { parseWith, schemaFailures } from "../resource-type.ts";
import { isProperties, isUnknown, type Properties, plain } from "../wire.ts";
import { fillPorts, placeholders } from "./placeholders.ts";

export const DEFAULTS = { environment: {}, ports: {}, drainSeconds: 10, startSeconds: 60 };

const MAX_SECONDS = 3600;
const text = z.string({ error: "must be text" }).refine((value) => !value.includes("\0"), {
  error: "may not hold a NUL character: no process can receive it",
});
const variable = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, {
  error: "is no name of an environment variable: use letters, digits and underscores",
});
const absolutePath = text.refine(isAbsolute, { error: "must be an absolute path" });
const RANGE = `must be a number of seconds from 0 to ${MAX_SECONDS}`;
const seconds = z.number({ error: RANGE }).min(0, { error: RANGE }).max(MAX_SECONDS, { error: RANGE });
const PORT = "must be a whole number from 0 to 65535, where 0 picks a free port";
const port = z.int({ error: PORT }).min(0, { error: PORT }).max(65535, { error: PORT });
const texts = z.record(variable, text, { error: namesOrMessage("must map environment variables to texts") });

const processArguments = z.strictObject({
  command: z
    .array(text, { error: "must be a list of texts, the executable first" })
    .refine((items) => items.length > 0 && items[0] !== "", {
      error: "must name the executable as its first item",
    }),
  environment: texts.default(DEFAULTS.environment),
  cwd: absolutePath.optional(),
  ports: z
    .record(variable, port, { error: namesOrMessage("must map environment variables to port numbers") })
    .default(DEFAULTS.ports),
  healthUrl: text.optional(),
  logFile: absolutePath,
  drainSeconds: seconds.default(DEFAULTS.drainSeconds),
  startSeconds: seconds.default(DEFAULTS.startSeconds),
  trigger: z.record(z.string(), text, { error: "must map names to texts" }).optional(),
  pidDir: absolutePath,
});

export type ProcessArguments = z.infer<typeof processArguments>;

/** What the state adds to the arguments, to find the process again. */
const processState = z.object({
  ...processArguments.shape,
  pid: z.int().nonnegative(),
  identity: z.string(),
  startedAt: z.string(),
});

export type ProcessState = z.infer<typeof processState>;

/** The arguments in a bag of inputs or of outputs, secrets opened and defaults filled in. */
export function parseArguments(bag: Properties): ProcessArguments {
  const known = Object.entries(plain(bag)).filter(([key]) => Object.hasOwn(processArguments.shape, key));
  return parseWith(processArguments, Object.fromEntries(known));
}

export function parseState(bag: Properties): ProcessState {
  return parseWith(processState, plain(bag));
}

/** Everything wrong with the arguments, given with secrets opened; no message shows a value. */
export function argumentFailures(inputs: Properties): CheckFailure[] {
  return [...schemaFailures(processArguments, inputs), ...crossFailures(inputs)];
}

function crossFailures(inputs: Properties): CheckFailure[] {
  const ports = isProperties(inputs.ports) ? inputs.ports : {};
  const environment = isProperties(inputs.environment) ? inputs.environment : {};
  const both = Object.keys(ports).filter((name) => Object.hasOwn(environment, name));
  const failures = both.map((name) => ({
    property: `environment.${name}`,
    reason: "is set by ports already: remove one of the two",
  }));
  if (process.platform === "win32") {
    failures.push({ property: "command", reason: "needs a POSIX system: on Windows, run inside WSL" });
  }
  const isOpen = isUnknown(inputs.ports) || isUnknown(inputs.healthUrl);
  return isOpen ? failures : [...failures, ...healthUrlFailures(inputs.healthUrl, ports)];
}

function healthUrlFailures(healthUrl: unknown, ports: Properties): CheckFailure[] {
  if (typeof healthUrl !== "string") return [];
  const fail = (reason: string): CheckFailure[] => [{ property: "healthUrl", reason }];
  const missing = placeholders(healthUrl).filter((name) => !Object.hasOwn(ports, name));
  if (missing.length > 0) return fail(`names ${missing.join(", ")}, which ports does not have: add it there`);
  const anyPort = Object.fromEntries(Object.keys(ports).map((name) => [name, 1]));
  const filled = fillPorts(healthUrl, anyPort);
  if (!URL.canParse(filled)) return fail("is no URL: write http://host:port/path or tcp://host:port");
  const url = new URL(filled);
  if (url.protocol === "http:") return [];
  if (url.protocol === "tcp:" && url.hostname !== "" && url.port !== "") return [];
  return fail("must be http://host:port/path or tcp://host:port");
}

/** A record reports a bad name as an issue of its own: say what is wrong with the name, else what was expected. */
function namesOrMessage(message: string) {
  return (issue: { code?: string | undefined }) =>
    issue.code === "invalid_key"
      ? "is no name of an environment variable: use letters, digits and underscores"
      : message;
}
