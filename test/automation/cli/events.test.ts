import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import { expect, test } from "vitest";
import { RunRecorder } from "../../../automation/cli/events.ts";
import { describeOutputs } from "../../../automation/embedded/outputs.ts";
import type { RunEvent } from "../../../automation/index.ts";
import { readEvents } from "../../conformance/record.ts";

/** Replays what the CLI's engine told of one run. */
function replay(events: readonly EngineEvent[]) {
  const told: RunEvent[] = [];
  const recorder = new RunRecorder({
    onEvent: (event) => told.push(event),
    mask: (text) => text.replaceAll("swordfish", "[secret]"),
  });
  for (const event of events) recorder.receive(event);
  const ofSteps = told.filter((event) => event.kind !== "warning");
  return {
    recorder,
    told,
    steps: ofSteps.map(({ kind, operation, name }) => `${kind} ${operation} ${name}`),
  };
}

const diagnostic = (event: Partial<NonNullable<EngineEvent["diagnosticEvent"]>>): EngineEvent => ({
  sequence: 1,
  timestamp: 1,
  diagnosticEvent: { message: "", color: "never", severity: "error", ...event },
});
const URN = "urn:pulumi:one::demo::demo:index:Group$demo:index:Thing::a";

test("a step that fails is told as started and failed with the provider's message, and ends no step", () => {
  const { recorder, told, steps } = replay(readEvents("failure of a creation"));
  expect(steps.filter((step) => step.endsWith(" b"))).toEqual([
    "step-started create b",
    "step-failed create b",
  ]);
  expect(steps).toContain("step-finished create a");
  expect(told).toContainEqual(
    expect.objectContaining({ kind: "step-failed", message: expect.stringContaining("quota exceeded") }),
  );
  expect(recorder.steps.map(({ name }) => name)).not.toContain("b");
  expect(recorder.problems).toEqual([
    expect.stringMatching(/^b \(conformance:index:Thing\): .*quota exceeded/s),
  ]);
});

test("a replacement is its creation and its deletion, and what announces both is no step", () => {
  const { recorder, steps } = replay(readEvents("replace, deleting first"));
  expect(recorder.steps.map(({ operation, name }) => `${operation} ${name}`)).toEqual(
    expect.arrayContaining([
      "delete-replaced goes",
      "delete-replaced a",
      "create-replacement a",
      "create-replacement goes",
    ]),
  );
  expect(steps.join("\n")).not.toMatch(/ replace /);
  expect(recorder.problems).toEqual([]);
});

test("each step that starts ends once, although a component tells its end again with its outputs", () => {
  for (const name of ["replace, deleting first", "refresh after drift", "secrets"]) {
    const { steps } = replay(readEvents(name));
    const of = (kind: string) =>
      steps.filter((step) => step.startsWith(kind)).map((step) => step.slice(kind.length));
    expect(of("step-finished").sort(), name).toEqual(of("step-started").sort());
  }
});

test("a refresh ends as a refresh, whatever it found", () => {
  const { recorder } = replay(readEvents("refresh after drift"));
  expect(new Set(recorder.steps.map(({ operation }) => operation))).toEqual(new Set(["refresh"]));
  expect(recorder.steps.map(({ name }) => name)).toEqual(
    expect.arrayContaining(["changed", "gone", "steady"]),
  );
});

test("outputs that a preview masks are secret and unknown, the others are known", () => {
  const { recorder } = replay(readEvents("secrets"));
  const outputs = describeOutputs(recorder.outputs);
  expect(outputs.value).toEqual({ value: undefined, secret: true, unknown: true });
  expect(outputs.nested).toEqual({ value: undefined, secret: true, unknown: true });
  expect(outputs.plain).toEqual({ value: 1, secret: false });
});

test("a warning is told with its resource, and what the program only prints is not", () => {
  const { told, recorder } = replay([
    diagnostic({ severity: "warning", urn: URN, message: "nearly full: swordfish\n" }),
    diagnostic({ severity: "info", urn: URN, message: "hello" }),
    diagnostic({ severity: "info#err", message: "hello" }),
  ]);
  expect(told).toEqual([{ kind: "warning", urn: URN, message: "nearly full: [secret]" }]);
  expect(recorder.problems).toEqual([]);
});

test("problems name their resource, come once, hold no secret, and drop the closing remark", () => {
  const { recorder } = replay([
    diagnostic({ urn: URN, message: "wrong: swordfish\n" }),
    diagnostic({ urn: URN, message: "wrong: swordfish" }),
    diagnostic({ message: "the plugin died" }),
    diagnostic({ urn: "urn:pulumi:one::demo::pulumi:pulumi:Stack::demo-one", message: "update failed" }),
  ]);
  expect(recorder.problems).toEqual(["a (demo:index:Thing): wrong: [secret]", "the plugin died"]);
});
