import { createHash } from "node:crypto";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type Created,
  checkResult,
  PartialStateError,
  type ResourceType,
  type Subject,
} from "../resource-type.ts";
import { hasUnknown, normalise, type Properties, secretTexts } from "../wire.ts";
import {
  argumentFailures,
  DEFAULTS,
  type ProcessArguments,
  type ProcessState,
  parseArguments,
  parseState,
} from "./arguments.ts";
import { isHealthy } from "./health.ts";
import { isAlive, type ProcessRecord } from "./identity.ts";
import { mask } from "./log-file.ts";
import { type PidFile, readPidFile, removePidFile } from "./pid-file.ts";
import { fillPorts, type Ports } from "./placeholders.ts";
import { assertCanStart, startProcess } from "./start.ts";
import { stopProcess } from "./stop.ts";
import { until } from "./wait.ts";

const PROBES = 3;
const PROBE_MS = 1_000;
const PROBE_INTERVAL_MS = 200;

/** Arguments that say how to start and stop, not what runs: a change of these alone restarts nothing. */
const WITHOUT_RESTART: readonly string[] = ["drainSeconds", "startSeconds"];

export const processType: ResourceType = {
  check(_subject, news) {
    return checkResult(news, DEFAULTS, argumentFailures);
  },

  diff(_subject, olds, news) {
    if (hasUnknown(news)) return { changes: true };
    const [before, after] = [comparable(olds, olds), comparable(news, olds)];
    // A pid file must stay where a crash leaves it to be found: another folder means another process.
    if (!isDeepStrictEqual(before.pidDir, after.pidDir)) {
      return { changes: true, replaces: ["pidDir"], deleteBeforeReplace: true };
    }
    const mustStart = olds.pid === 0 || olds.unresponsive === true;
    return { changes: mustStart || !isDeepStrictEqual(before, after) };
  },

  async create(subject, inputs) {
    return { id: idOf(subject), outs: outputs(inputs, await start(subject, inputs, {})) };
  },

  /** A process that hangs still exists: forgotten, it would outlive the stack. It is marked for a restart instead. */
  async read(_subject, props) {
    const { unresponsive: _before, ...state } = props;
    if (isAlive(parseState(state)) && (await answers(parseState(state)))) return state;
    // Asked again: a process that was about to die is gone by now.
    return isAlive(parseState(state)) ? { ...state, unresponsive: true } : undefined;
  },

  async update(subject, olds, news) {
    const before = parseState(olds);
    if (!needsRestart(before, olds, news)) return outputs(news, before);
    const args = parseArguments(news);
    await naming(subject, news, async () => assertCanStart(args, pidFileOf(subject, args)));
    await stop(subject, before);
    try {
      return outputs(news, await start(subject, news, before.ports));
    } catch (error) {
      throw await startOldAgain(subject, olds, error);
    }
  },

  async delete(subject, props) {
    await stop(subject, parseState(props));
  },

  async recover(subject, inputs) {
    const args = parseArguments(inputs);
    const found = readPidFile(pidFileOf(subject, args));
    if (found === undefined) return undefined;
    const outs = outputs(inputs, found);
    if (isAlive(found) && (await answers(parseState(outs)))) return { id: idOf(subject), outs };
    await stop(subject, parseState(outs));
    return undefined;
  },
};

/** The same for the same URN, so that what a crash left behind is found again. */
function idOf({ urn, name }: Subject): string {
  const readable = name.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 60);
  return `${readable}-${createHash("sha256").update(urn).digest("hex").slice(0, 12)}`;
}

function pidFileOf(subject: Subject, { pidDir }: ProcessArguments): string {
  return join(pidDir, `${idOf(subject)}.pid`);
}

function outputs(inputs: Properties, { pid, identity, ports, startedAt }: PidFile): Properties {
  return { ...normalise(inputs), pid, identity, ports, startedAt };
}

/** The arguments in a bag for a comparison, secrets still marked; a port left to the provider stays what it was. */
function comparable(bag: Properties, olds: Properties): Properties {
  const {
    pid: _pid,
    identity: _identity,
    startedAt: _startedAt,
    unresponsive: _hung,
    ...args
  } = normalise(bag);
  const picked = parseState(olds).ports;
  const resolved = Object.entries(parseArguments(args).ports).map(([name, port]) => [
    name,
    port === 0 ? (picked[name] ?? 0) : port,
  ]);
  return { ...DEFAULTS, ...args, ports: Object.fromEntries(resolved) };
}

function needsRestart(before: ProcessState, olds: Properties, news: Properties): boolean {
  if (!isAlive(before) || olds.unresponsive === true) return true;
  const decisive = (bag: Properties): [string, unknown][] =>
    Object.entries(parseArguments(comparable(bag, olds))).filter(([key]) => !WITHOUT_RESTART.includes(key));
  return !isDeepStrictEqual(Object.fromEntries(decisive(olds)), Object.fromEntries(decisive(news)));
}

async function start(subject: Subject, inputs: Properties, lastPorts: Ports): Promise<PidFile> {
  const args = parseArguments(inputs);
  const pidFile = pidFileOf(subject, args);
  return await naming(subject, inputs, async () => {
    const leftover = readPidFile(pidFile);
    if (leftover !== undefined) await stopProcess(leftover, args.drainSeconds);
    removePidFile(pidFile);
    const preferredPorts = { ...leftover?.ports, ...lastPorts };
    return await startProcess({
      args,
      pidFile,
      preferredPorts,
      secrets: secretTexts(inputs),
      signal: subject.signal,
    });
  });
}

/** Errors name the process and show no secret. */
async function naming<T>(subject: Subject, inputs: Properties, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new Error(mask(`process ${subject.name}: ${messageOf(error)}`, secretTexts(inputs)));
  }
}

/** Stops the process of a state, and whatever a cut-off update started in its place. */
async function stop(subject: Subject, state: ProcessState): Promise<void> {
  const pidFile = pidFileOf(subject, state);
  const registered = readPidFile(pidFile);
  const records: ProcessRecord[] = registered === undefined ? [state] : [state, registered];
  for (const record of records) await stopProcess(record, state.drainSeconds);
  removePidFile(pidFile);
}

async function startOldAgain(subject: Subject, olds: Properties, cause: unknown): Promise<PartialStateError> {
  const id = idOf(subject);
  const { ports } = parseState(olds);
  const calm = { ...subject, signal: new AbortController().signal };
  try {
    const outs = outputs(olds, await start(calm, { ...olds, ports }, ports));
    return new PartialStateError(`${messageOf(cause)}\nThe old process serves again.`, { id, outs });
  } catch (error) {
    const message = `${messageOf(cause)}\nThe old process could not be started again either: ${messageOf(error)}`;
    const outs: Created["outs"] = { ...olds, pid: 0 };
    return new PartialStateError(`${message}\nNothing runs now: correct the arguments and run again.`, {
      id,
      outs,
    });
  }
}

async function answers({ healthUrl, ports }: ProcessState): Promise<boolean> {
  if (healthUrl === undefined) return true;
  const url = fillPorts(healthUrl, ports);
  for (let probe = 1; ; probe += 1) {
    if (await isHealthy(url, PROBE_MS)) return true;
    if (probe === PROBES) return false;
    await until(() => false, {
      timeoutMs: PROBE_INTERVAL_MS,
      firstMs: PROBE_INTERVAL_MS,
      longestMs: PROBE_INTERVAL_MS,
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
