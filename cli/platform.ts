import path from "node:path";
import { CliStack } from "../automation/cli/index.ts";
import { EmbeddedStack, readStackConfig } from "../automation/embedded/index.ts";
import type { Stack } from "../automation/index.ts";
import { platformProvider } from "../providers/provider.ts";
import { releaseFiles } from "../release/contract/files.ts";
import type { Color } from "../release/contract/head.ts";
import type { RolloutSettings } from "../release/contract/strategy.ts";
import program from "../stacks/index.ts";
import { type ReleaseSettings, releaseIn } from "../stacks/release-settings.ts";
import { PROJECT, parseSettings, type Settings, stateFolder } from "../stacks/settings.ts";
import { UserError } from "./errors.ts";
import { readPassphrase, readRunner, rememberedPort } from "./state-folder.ts";

export const ROOT = path.resolve(import.meta.dirname, "..");

/** The environment of this machine. */
export const ENVIRONMENT = "local";

/** The stacks of this machine, in the order in which they need each other. */
export const STACKS = ["local", "local-blue", "local-green", "local-traffic"] as const;
export type StackName = (typeof STACKS)[number];

/** The stacks of the local environment. */
export type LocalPlatform = Record<StackName, Stack>;

export const colorStack = (color: Color) => `${ENVIRONMENT}-${color}` as const;

type StackConfig = Awaited<ReturnType<typeof readStackConfig>>;

/** Where this machine's releases are kept. */
export const files = () => releaseFiles(stateFolder(), ENVIRONMENT);

function collect<T>(values: (stack: StackName) => T): Record<StackName, T> {
  return Object.fromEntries(STACKS.map((stack) => [stack, values(stack)])) as Record<StackName, T>;
}

/** The stacks as their states are: for looking at them and for ending them, whatever their settings say by now. */
export function openStates(): LocalPlatform {
  return open(collect(() => ({ config: {}, secretKeys: [] })));
}

export type RouterSettings = Extract<Settings, { kind: "environment" }>["router"];

/** The stacks ready to be brought up, with the settings that commands go by. */
export interface OpenPlatform {
  platform: LocalPlatform;
  /** Where the router will listen. */
  router: RouterSettings;
  /** What a release carries. */
  release: ReleaseSettings;
  /** How a release proceeds. */
  rollout: RolloutSettings;
}

/**
 * @param port of the router: what a command line asked for now, or else last; it wins over the settings.
 * @throws with every problem of a stack's settings at once, before anything is changed.
 */
export async function openPlatform(port: string | undefined = rememberedPort()): Promise<OpenPlatform> {
  const passphrase = readPassphrase();
  const read = async (stack: StackName): Promise<StackConfig & { settings: Settings }> => {
    const file = path.join(ROOT, "stacks", `Pulumi.${stack}.yaml`);
    const { config, secretKeys } = await readStackConfig(file, PROJECT, passphrase);
    // What the command line's port takes the place of must be right as well.
    parseSettings(stack, config);
    const overridden = stack === "local" && port !== undefined ? withPort(config, port) : config;
    return { config: overridden, secretKeys, settings: parseSettings(stack, overridden) };
  };
  const configs = await Promise.all(STACKS.map(async (stack) => [stack, await read(stack)] as const));
  const stacks = Object.fromEntries(configs) as Record<StackName, StackConfig & { settings: Settings }>;
  const environment = ofKind("environment", "local", stacks.local.settings);
  const { rollout } = ofKind("traffic", "local-traffic", stacks["local-traffic"].settings);
  const { router } = environment;
  return { platform: open(stacks), router, release: releaseIn(environment), rollout };
}

function withPort(config: Record<string, string>, port: string): Record<string, string> {
  const key = `${PROJECT}:router`;
  const wanted = /^\d+$/.test(port) ? Number(port) : port;
  return { ...config, [key]: JSON.stringify({ ...JSON.parse(config[key] ?? "{}"), port: wanted }) };
}

type Kind = Settings["kind"];

function ofKind<K extends Kind>(
  kind: K,
  stack: StackName,
  settings: Settings,
): Extract<Settings, { kind: K }> {
  if (settings.kind === kind) return settings as Extract<Settings, { kind: K }>;
  throw new UserError(`the stack ${stack} is of kind ${settings.kind}.\nremedy: set its kind to ${kind}.`);
}

function open(configs: Record<StackName, StackConfig>): LocalPlatform {
  const passphrase = readPassphrase();
  const create = readRunner() === "cli" ? throughCli : embedded;
  return collect((name) => create(name, configs[name], passphrase));
}

function embedded(name: StackName, { config, secretKeys }: StackConfig, passphrase: string): Stack {
  return new EmbeddedStack({
    ...{ config, secretKeys, project: PROJECT, name, program, passphrase },
    providers: { platform: platformProvider },
    stateFolder: path.join(stateFolder(), "stacks"),
  });
}

function throughCli(name: StackName, { config, secretKeys }: StackConfig, passphrase: string): Stack {
  return new CliStack({
    ...{ config, secretKeys, project: PROJECT, name, passphrase },
    projectFolder: ROOT,
    workFolder: path.join(stateFolder(), "pulumi"),
    environment: { PLATFORM_STATE: stateFolder() },
  });
}

/** The clear values of a stack's outputs; empty for a stack that was never brought up. */
export async function outputsOf(stack: Stack): Promise<Record<string, unknown>> {
  const outputs = (await stack.outputs()) ?? {};
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value]));
}
