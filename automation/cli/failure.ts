import type { ResourceState } from "../embedded/state.ts";
import { masked, messageOf, secret } from "../embedded/values.ts";
import { CommandFailed } from "./command.ts";

const LOCKED = ["the stack is currently locked by", "Another update is currently in progress"];

/** What the CLI said when it told nothing by events: it did not come as far as to run. */
export function problemOf(error: unknown, { stack, backend }: { stack: string; backend: string }): string {
  if (!(error instanceof CommandFailed)) return messageOf(error);
  if (LOCKED.some((text) => error.stderr.includes(text))) {
    const holder = error.stderr.match(/created by .*/)?.[0] ?? "another run";
    return (
      `stack ${stack} is being changed by another run (${holder}).\n` +
      `remedy: wait until it has ended. If it has died: PULUMI_BACKEND_URL='${backend}' pulumi cancel -s ${stack}`
    );
  }
  return error.message.replace(/\berror: /, "").trim();
}

/** Blots out every secret that the state or the configuration knows: a provider may repeat what it was given. */
export function maskOf(
  resources: readonly ResourceState[],
  config: readonly string[],
): (text: string) => string {
  const bags = [...resources, { inputs: { config: config.map((value) => secret(value)) } }];
  return (text) => bags.reduce((rest, bag) => masked(rest, bag), text);
}
