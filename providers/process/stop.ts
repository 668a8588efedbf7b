import { errorCode } from "./errors.ts";
import { isAlive, mayHaveLeftGroup, type ProcessRecord } from "./identity.ts";
import { until } from "./wait.ts";

const KILL_MS = 10_000;
const GROUP_MS = 1_000;

/** Ends a process with its group: asks, waits for the drain, then kills. Nothing happens if it is not ours. */
export async function stopProcess(record: ProcessRecord, drainSeconds: number): Promise<void> {
  if (isAlive(record)) {
    signalGroup(record.pid, "SIGTERM");
    // A stopped process would only see the request when it goes on.
    signalGroup(record.pid, "SIGCONT");
    await until(() => !isAlive(record), { timeoutMs: drainSeconds * 1000, firstMs: 5, longestMs: 100 });
  } else if (!mayHaveLeftGroup(record)) {
    return;
  }
  const isGroupLeft = signalGroup(record.pid, "SIGKILL");
  if (!(await until(() => !isAlive(record), { timeoutMs: KILL_MS, firstMs: 5, longestMs: 100 }))) {
    throw new Error(
      `process ${record.pid} does not end, not even killed: end it as the user that owns it, then run again`,
    );
  }
  // Its children free their ports a moment later; a zombie that nobody collects never leaves, hence the short wait.
  if (isGroupLeft) {
    await until(() => !signalGroup(record.pid, 0), { timeoutMs: GROUP_MS, firstMs: 2, longestMs: 50 });
  }
}

/** Whether there was a group to receive the signal. Some systems answer EPERM for one that holds zombies only. */
function signalGroup(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if (errorCode(error) === "ESRCH" || errorCode(error) === "EPERM") return false;
    throw error;
  }
}
