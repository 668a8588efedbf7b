import type { Stack as AutomationStack } from "@pulumi/pulumi/automation/index.js";
import { z } from "zod";
import { type ResourceState, resourceSchema } from "../embedded/state.ts";
import { isSecret, mapValues, secret } from "../embedded/values.ts";

const deploymentSchema = z.object({ resources: z.array(resourceSchema).optional() });

/** The state of a stack as the CLI exports it, secrets in clear inside their markers. */
export async function readResources(stack: AutomationStack): Promise<ResourceState[]> {
  const { deployment } = await stack.exportStack();
  return (deploymentSchema.parse(deployment).resources ?? []).map(
    (resource) => mapValues(resource, opened) as ResourceState,
  );
}

/** The CLI shows an opened secret as JSON under `plaintext`. */
function opened(value: unknown): unknown {
  if (!isSecret(value)) return value;
  const { plaintext } = value as { plaintext?: unknown };
  return typeof plaintext === "string" ? secret(JSON.parse(plaintext)) : value;
}
