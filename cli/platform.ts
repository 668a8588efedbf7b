import path from "node:path";
import { EmbeddedStack, readStackConfig } from "../automation/embedded/index.ts";
import { platformProvider } from "../providers/provider.ts";
import program from "../stacks/index.ts";
import { PROJECT, parseSettings, stateFolder } from "../stacks/settings.ts";
import { readPassphrase } from "./state-folder.ts";

const ROOT = path.resolve(import.meta.dirname, "..");

/** The stacks of this machine, in the order in which they need each other. */
export const STACKS = ["local", "local-blue", "local-traffic"] as const;
export type StackName = (typeof STACKS)[number];

/** The stacks of the local environment. */
export type LocalPlatform = Record<StackName, EmbeddedStack>;

type StackConfig = Awaited<ReturnType<typeof readStackConfig>>;

/** Changes the configuration of one stack that was read from its file. */
export type Override = (stack: StackName, config: Record<string, string>) => Record<string, string>;

function collect<T>(values: (stack: StackName) => T): Record<StackName, T> {
  return Object.fromEntries(STACKS.map((stack) => [stack, values(stack)])) as Record<StackName, T>;
}

/** The stacks as their states are: for looking at them and for ending them, whatever their settings say by now. */
export function openStates(): LocalPlatform {
  return open(collect(() => ({ config: {}, secretKeys: [] })));
}

/**
 * The stacks ready to be brought up.
 * @throws with every problem of a stack's settings at once, before anything is changed.
 */
export async function openPlatform(override: Override): Promise<LocalPlatform> {
  const passphrase = readPassphrase();
  const configs = collect(async (stack) => {
    const file = path.join(ROOT, "stacks", `Pulumi.${stack}.yaml`);
    const { config, secretKeys } = await readStackConfig(file, PROJECT, passphrase);
    const overridden = override(stack, config);
    parseSettings(stack, overridden);
    return { config: overridden, secretKeys };
  });
  await Promise.all(Object.values(configs));
  return open({
    local: await configs.local,
    "local-blue": await configs["local-blue"],
    "local-traffic": await configs["local-traffic"],
  });
}

function open(configs: Record<StackName, StackConfig>): LocalPlatform {
  const passphrase = readPassphrase();
  return collect(
    (name) =>
      new EmbeddedStack({
        ...configs[name],
        project: PROJECT,
        name,
        program,
        providers: { platform: platformProvider },
        stateFolder: path.join(stateFolder(), "stacks"),
        passphrase,
      }),
  );
}

/** The clear values of a stack's outputs; empty for a stack that was never brought up. */
export async function outputsOf(stack: EmbeddedStack): Promise<Record<string, unknown>> {
  const outputs = (await stack.outputs()) ?? {};
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}
