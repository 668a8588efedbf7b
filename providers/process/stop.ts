import { isAlive, isGroupAlive, mayHaveLeftGroup, type ProcessRecord, signalGroup } from "./identity.ts";
import { until } from "./wait.ts";

const KILL_MS = 10_000;

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
  // Its children free their ports a moment later.
  if (isGroupLeft) {
    await until(() => !isGroupAlive(record.pid), { timeoutMs: KILL_MS, firstMs: 5, longestMs: 100 });
  }
}
