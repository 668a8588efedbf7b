import path from "node:path";
import { Stack as AutomationStack, LocalWorkspace } from "@pulumi/pulumi/automation/index.js";
import { CommandFailed, findCommand } from "./command.ts";

export interface WorkspaceSettings {
  /** The stack's full name (`organization/project/stack`). */
  stack: string;
  folder: string;
  projectFolder: string;
  backend: string;
  passphrase: string;
  environment: Record<string, string>;
}

async function openWorkspace(settings: WorkspaceSettings): Promise<LocalWorkspace> {
  // The CLI starts the first node that it finds: the one that the project has pinned, else the one that runs this.
  const nodes = [path.join(settings.projectFolder, "node_modules/.bin"), path.dirname(process.execPath)];
  return LocalWorkspace.create({
    workDir: settings.folder,
    pulumiCommand: await findCommand(),
    envVars: {
      ...settings.environment,
      PATH: [...nodes, process.env.PATH].join(path.delimiter),
      PULUMI_BACKEND_URL: settings.backend,
      PULUMI_CONFIG_PASSPHRASE: settings.passphrase,
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      PULUMI_SKIP_UPDATE_CHECK: "true",
    },
  });
}

/** Opens a stack. @returns undefined where the backend does not know it. */
export async function selectStack(settings: WorkspaceSettings): Promise<AutomationStack | undefined> {
  try {
    return await AutomationStack.select(settings.stack, await openWorkspace(settings));
  } catch (error) {
    if (error instanceof CommandFailed && /no stack named .* found/.test(error.stderr)) return undefined;
    throw error;
  }
}

export async function createStack(settings: WorkspaceSettings): Promise<AutomationStack> {
  return AutomationStack.create(settings.stack, await openWorkspace(settings));
}
