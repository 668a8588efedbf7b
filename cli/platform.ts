import path from "node:path";
import { EmbeddedStack, readStackConfig } from "../automation/embedded/index.ts";
import { platformProvider } from "../providers/provider.ts";
import program from "../stacks/index.ts";
import { PROJECT, parseSettings, type Settings, stateFolder } from "../stacks/settings.ts";
import { UserError } from "./errors.ts";
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

export type RouterSettings = Extract<Settings, { kind: "environment" }>["router"];

/**
 * The stacks ready to be brought up, and where the router will listen.
 * @throws with every problem of a stack's settings at once, before anything is changed.
 */
export async function openPlatform(
  override: Override,
): Promise<{ platform: LocalPlatform; router: RouterSettings }> {
  const passphrase = readPassphrase();
  const read = async (stack: StackName): Promise<StackConfig & { settings: Settings }> => {
    const file = path.join(ROOT, "stacks", `Pulumi.${stack}.yaml`);
    const { config, secretKeys } = await readStackConfig(file, PROJECT, passphrase);
    const overridden = override(stack, config);
    return { config: overridden, secretKeys, settings: parseSettings(stack, overridden) };
  };
  const [local, blue, traffic] = await Promise.all([
    read("local"),
    read("local-blue"),
    read("local-traffic"),
  ]);
  if (local.settings.kind !== "environment") {
    throw new UserError("the stack local is no environment.\nremedy: set its kind to environment.");
  }
  const platform = open({ local, "local-blue": blue, "local-traffic": traffic });
  return { platform, router: local.settings.router };
}

function open(configs: Record<StackName, StackConfig>): LocalPlatform {
  const passphrase = readPassphrase();
  return collect(
    (name) =>
      new EmbeddedStack({
        config: configs[name].config,
        secretKeys: configs[name].secretKeys,
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
