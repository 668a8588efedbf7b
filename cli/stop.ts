import path from "node:path";
import { stopRecordedProcesses } from "../providers/process/recorded.ts";
import { stateFolder } from "../stacks/settings.ts";
import { isStateFolder } from "../stacks/state-folder.ts";
import { UserError } from "./errors.ts";
import { readOptions } from "./options.ts";
import { openStates } from "./platform.ts";
import { stopProcesses } from "./processes.ts";
import { exists, lockPlatform, purge } from "./state-folder.ts";

/** `npm stop`: ends every process of this machine's platform. With `--purge` its data, keys and logs go, too. */
export async function stop(args: string[]): Promise<void> {
  const { purge: withData = false } = readOptions(args, { purge: { type: "boolean" } });
  if (exists()) await stopPlatform(withData);
  // What plain Pulumi left here has no states of ours.
  else if (withData && isStateFolder()) purge();
  console.log(`The platform is stopped${withData ? ", its data are removed" : ""}.`);
}

async function stopPlatform(withData: boolean): Promise<void> {
  const unlock = lockPlatform();
  try {
    const problem = await stopByState().then(
      () => undefined,
      (error: Error) => error,
    );
    // Pid files find what a lost or unreadable state does not know.
    await stopRecordedProcesses(path.join(stateFolder(), "pids"));
    if (withData) purge();
    else if (problem) throw new UserError(`every process is stopped, but: ${problem.message}`);
  } finally {
    unlock();
  }
}

async function stopByState(): Promise<void> {
  await stopProcesses(openStates());
}
