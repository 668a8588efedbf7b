import { rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { lock } from "../automation/embedded/index.ts";
import { stateFolder } from "../stacks/settings.ts";
import { openPlatform, wasStarted } from "./platform.ts";
import { stopProcesses } from "./processes.ts";

/** `npm stop`: ends every process of this machine's platform. With `--purge` its data, keys and logs go, too. */
export async function stop(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { purge: { type: "boolean", default: false } } });
  if (wasStarted()) {
    const platform = await openPlatform();
    const unlock = lock(path.join(platform.stateFolder, "platform.lock"), "the platform");
    try {
      await stopProcesses(platform);
    } finally {
      unlock();
    }
  }
  if (values.purge) rmSync(stateFolder(), { recursive: true, force: true });
  console.log(
    values.purge
      ? "The platform is stopped, its data are removed."
      : "The platform is stopped, its data stay.",
  );
}
