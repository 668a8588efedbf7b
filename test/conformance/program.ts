import * as pulumi from "@pulumi/pulumi";
import { CASES } from "./cases.ts";

/** The program of every stack: the configuration names the case and the stage that it stands for. */
export default async function program(): Promise<Record<string, unknown> | undefined> {
  const config = new pulumi.Config("program");
  const stage = CASES[config.require("case")]?.[config.requireNumber("stage")];
  if (!stage) throw new Error(`no stage ${config.get("stage")} of ${config.get("case")}`);
  return ((await stage.program?.()) ?? {}) as Record<string, unknown>;
}
