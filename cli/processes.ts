import type { Stack } from "../automation/index.ts";
import { platformProvider } from "../providers/provider.ts";
import { type LocalPlatform, STACKS, type StackName } from "./platform.ts";
import { showEvent } from "./view.ts";

const PROCESS_TYPE = "platform:process:Process";

export interface ProcessState {
  stack: StackName;
  name: string;
  healthy: boolean;
}

async function processesOf(stack: Stack) {
  return (await stack.resources()).filter(({ type }) => type === PROCESS_TYPE);
}

/** The processes that the state knows, and whether each is there and answers. */
export async function inspectProcesses(platform: LocalPlatform): Promise<ProcessState[]> {
  const states = STACKS.map(async (stack) => {
    const resources = await processesOf(platform[stack]);
    return Promise.all(
      resources.map(async ({ id = "", urn, outputs = {} }) => {
        const found = await platformProvider.read(id, urn, outputs);
        const healthy = Boolean(found.id) && found.props.unresponsive !== true;
        return { stack, name: urn.split("::").at(-1) ?? urn, healthy };
      }),
    );
  });
  return (await Promise.all(states)).flat();
}

/** Whether the state holds any process: a platform that was stopped, or never started, has none. */
export async function isRunning(platform: LocalPlatform): Promise<boolean> {
  const counts = await Promise.all(STACKS.map(async (name) => (await processesOf(platform[name])).length));
  return counts.some((count) => count > 0);
}

/** Ends every process, last started first; keys and data stay. */
export async function stopProcesses(platform: LocalPlatform): Promise<void> {
  for (const name of [...STACKS].reverse()) {
    await platform[name].destroy({ excludeProtected: true, onEvent: showEvent });
  }
}
