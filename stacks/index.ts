import * as pulumi from "@pulumi/pulumi";
import { runColor } from "./color.ts";
import { runEnvironment } from "./environment.ts";
import { parseSettings, type Settings } from "./settings.ts";
import { claimStateFolder } from "./state-folder.ts";
import { runTraffic } from "./traffic.ts";

async function run(settings: Settings): Promise<Record<string, unknown>> {
  switch (settings.kind) {
    case "environment":
      return runEnvironment(settings);
    case "color":
      return runColor(settings);
    case "traffic":
      return runTraffic(settings);
  }
}

/** The program of every stack: reads the stack's settings and runs the program of that kind. */
export default async function program(): Promise<Record<string, unknown>> {
  // Whatever runs the program: what it keeps on this machine lies in a folder that is known as the platform's.
  claimStateFolder();
  return run(parseSettings(pulumi.getStack(), pulumi.runtime.allConfig()));
}
