import pc from "picocolors";
import type { Operation, RunEvent, StepSummary } from "../automation/index.ts";

const VERBS: Partial<Record<Operation, string>> = {
  create: pc.green("+ created "),
  "create-replacement": pc.green("+ replaced"),
  delete: pc.red("- deleted "),
  "delete-replaced": pc.red("- deleted "),
  update: pc.yellow("~ updated "),
};
const NAME_WIDTH = 36;
const TYPE_WIDTH = 10;

/** Whether a step changed something that people care about: components and providers only group others. */
export function isChange({ operation, type }: Pick<StepSummary, "operation" | "type">): boolean {
  return operation in VERBS && type.startsWith("platform:");
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** Shows each resource that changed, with its time, as soon as it has. */
export function showEvent(event: RunEvent): void {
  if (event.kind === "warning") console.log(`  ${pc.yellow("warning:")} ${event.urn}: ${event.message}`);
  if (event.kind !== "step-finished" || !isChange(event)) return;
  const type = event.type.split(":").at(-1) ?? "";
  const time = seconds(event.milliseconds).padStart(7);
  console.log(
    `  ${VERBS[event.operation]} ${event.name.padEnd(NAME_WIDTH)} ${type.padEnd(TYPE_WIDTH)} ${time}`,
  );
}
