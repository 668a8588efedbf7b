import type { ProcessArguments } from "./arguments.ts";
import { isHealthy } from "./health.ts";
import { assertStartable, type Launch, type Launched, launchProcess } from "./launch.ts";
import { logTail } from "./log-file.ts";
import { type PidFile, removePidFile } from "./pid-file.ts";
import { fillPorts, type Ports } from "./placeholders.ts";
import { isHeldOutside } from "./port-holder.ts";
import { busyPort, isFree, reservePorts } from "./ports.ts";
import { stopProcess } from "./stop.ts";
import { until } from "./wait.ts";

const PORT_ATTEMPTS = 3;
const PROBE_MS = 2_000;
/** Without a health URL, a process that is still there after this time counts as started. */
const SETTLE_MS = 200;
const PORT_TAKEN = /EADDRINUSE|address already in use/i;

export interface Start {
  readonly args: ProcessArguments;
  readonly pidFile: string;
  /** Ports of the run before, taken again where they are free. */
  readonly preferredPorts: Ports;
  /** Texts that no message may show. */
  readonly secrets: readonly string[];
  readonly signal: AbortSignal;
}

/** A process that did not become healthy; it is stopped. */
class StartFailure extends Error {
  readonly isPortTaken: boolean;

  constructor(message: string, isPortTaken: boolean) {
    super(message);
    this.isPortTaken = isPortTaken;
  }
}

/** Starts a process and waits until it is healthy. If that fails, nothing is left running and no pid file remains. */
export async function startProcess(start: Start): Promise<PidFile> {
  const hasPicks = Object.values(start.args.ports).includes(0);
  for (let attempt = 1; ; attempt += 1) {
    const preferred = attempt === 1 ? start.preferredPorts : {};
    const { ports, release } = await reservePorts(start.args.ports, preferred);
    try {
      return await startOn(ports, start);
    } catch (error) {
      const mayRetry =
        hasPicks && attempt < PORT_ATTEMPTS && error instanceof StartFailure && error.isPortTaken;
      if (!mayRetry) throw error;
    } finally {
      release();
    }
  }
}

/** Finds what would keep a process from starting, without starting it. */
export function assertCanStart(args: ProcessArguments, pidFile: string): void {
  assertStartable(launchOf(args, args.ports, pidFile));
}

async function startOn(ports: Ports, start: Start): Promise<PidFile> {
  const { args, pidFile, signal } = start;
  signal.throwIfAborted();
  const launch = launchOf(args, ports, pidFile);
  assertStartable(launch);
  const launched = await launchProcess(launch);
  try {
    const problem = await waitUntilHealthy(launched, ports, start);
    signal.throwIfAborted();
    const foreign = Object.entries(ports).find(([, port]) => isHeldOutside(port, launched.pid));
    if (foreign !== undefined) throw new StartFailure(busyPort(...foreign), true);
    if (problem !== undefined) throw failureOf(problem, launched, start);
    return launched;
  } catch (error) {
    await stopProcess(launched, args.drainSeconds);
    removePidFile(pidFile);
    throw await withPortsSeen(error, ports);
  }
}

function launchOf(args: ProcessArguments, ports: Ports, pidFile: string): Launch {
  const environment = Object.entries(args.environment).map(([name, value]) => [
    name,
    fillPorts(value, ports),
  ]);
  return {
    command: args.command.map((item) => fillPorts(item, ports)),
    environment: Object.fromEntries(environment),
    cwd: args.cwd ?? "/",
    ports,
    logFile: args.logFile,
    pidFile,
  };
}

/** What is wrong with the process, undefined once it is healthy. */
async function waitUntilHealthy(launched: Launched, ports: Ports, start: Start): Promise<string | undefined> {
  const { healthUrl, startSeconds } = start.args;
  const ended = launched.ended.then(() => false);
  const isDone = async (): Promise<boolean> => launched.ending() !== undefined || start.signal.aborted;
  if (healthUrl === undefined) {
    await until(isDone, { timeoutMs: SETTLE_MS, firstMs: SETTLE_MS / 10, longestMs: SETTLE_MS / 10 });
    return launched.ending();
  }
  const url = fillPorts(healthUrl, ports);
  let isWell = false;
  await until(
    async () => {
      if (await isDone()) return true;
      isWell = await Promise.race([isHealthy(url, PROBE_MS), ended]);
      return isWell;
    },
    { timeoutMs: startSeconds * 1000, firstMs: 10, longestMs: 100 },
  );
  const ending = launched.ending();
  if (ending !== undefined) return `${ending} before it was healthy`;
  return isWell
    ? undefined
    : `was not healthy within ${startSeconds} s (${url}; startSeconds gives it longer)`;
}

function failureOf(problem: string, launched: Launched, { secrets }: Start): StartFailure {
  const lines = logTail(launched.log.path, launched.log.start, secrets);
  const shown =
    lines.length === 0 ? " It logged nothing." : `\n${lines.map((line) => `  | ${line}`).join("\n")}`;
  const isPortTaken = lines.some((line) => PORT_TAKEN.test(line));
  return new StartFailure(`the process ${problem}. The end of ${launched.log.path}:${shown}`, isPortTaken);
}

// Once our process is gone, a port that is still in use was taken by something else.
async function withPortsSeen(error: unknown, ports: Ports): Promise<unknown> {
  if (!(error instanceof StartFailure) || error.isPortTaken) return error;
  for (const [variable, port] of Object.entries(ports)) {
    if (!(await isFree(port))) return new StartFailure(`${error.message}\n${busyPort(variable, port)}`, true);
  }
  return error;
}
