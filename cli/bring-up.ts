import path from "node:path";
import { RunFailed, type RunResult } from "../automation/index.ts";
import { COLORS, type Color, type Head } from "../release/contract/head.ts";
import { Controller } from "../release/controller.ts";
import { initial, takenBack, undoable } from "../release/decisions.ts";
import { PROJECT, stateFolder } from "../stacks/settings.ts";
import { UserError } from "./errors.ts";
import { colorStack, ENVIRONMENT, type LocalPlatform, outputsOf, STACKS } from "./platform.ts";
import { openJournal, openSite } from "./site.ts";
import { isChange, showEvent } from "./view.ts";

/** How long the gateway may take to find its models ready. */
const READY_TIMEOUT_MS = 30_000;
const READY_INTERVAL_MS = 100;
const READY_PROBE_MS = 5000;

/**
 * Brings up, and heals, all that serves: the environment, the colors that the release journal says, the weights.
 * @returns whether anything changed.
 */
export async function bringUp(platform: LocalPlatform, signal: AbortSignal): Promise<boolean> {
  await requireSameProject(platform);
  const up = (name: keyof LocalPlatform) => platform[name].up({ refresh: true, onEvent: showEvent, signal });
  const results = [await up("local")];
  const head = openJournal().latest()?.head;
  if (head) await new Controller(await openSite(platform)).reconcile();
  for (const color of servingColors(openJournal().latest()?.head)) {
    await up(colorStack(color)).then((result) => results.push(result), giveUpOn(color));
  }
  for (const color of spareColors(openJournal().latest()?.head)) {
    await up(colorStack(color)).then((result) => results.push(result), warnOf(color));
  }
  results.push(await up("local-traffic"));
  await waitUntilReady(platform, signal);
  if (!head) await recordFirst(platform);
  else if (!head.rollout) await coolDown(platform, signal);
  return results.some(({ steps }: RunResult) => steps.some(isChange));
}

function servingColors(head: Head | undefined): Color[] {
  return COLORS.filter((color) => (head ? head.weights[color] > 0 : color === "blue"));
}

/** A color of a release under way that cannot be healed loses its traffic; any other failure stands. */
function giveUpOn(color: Color) {
  return (error: Error) => {
    const latest = openJournal().latest();
    const rollout = latest?.head.rollout;
    if (!(error instanceof RunFailed) || !latest || rollout?.to !== color) throw error;
    const decision = takenBack(
      latest.head,
      rollout,
      `${color} could not be healed: ${error.problems.join("; ")}`,
    );
    openJournal().append(latest.revision, decision);
    console.error(`warning: ${decision.text}`);
  };
}

/** The color before a release, under way or done: where nobody is served by it, a rollback would be. */
function spareColors(head: Head | undefined): Color[] {
  const from = head && undoable(head)?.from;
  return from === undefined || head?.weights[from] !== 0 ? [] : [from];
}

function warnOf(color: Color) {
  return (error: Error) =>
    console.error(`warning: ${color}, which only a rollback needs, cannot be brought up: ${error.message}`);
}

/** Ends the color before the last release once its time is over. */
async function coolDown(platform: LocalPlatform, signal: AbortSignal): Promise<void> {
  await new Controller(await openSite(platform)).tick({ progress: () => {}, event: showEvent }, signal);
}

/** The first release is what the first start found in the working tree. */
async function recordFirst(platform: LocalPlatform): Promise<void> {
  const { release } = await outputsOf(platform["local-blue"]);
  const { generation } = await (await openSite(platform)).router.read();
  const decision = initial({ release: String(release) });
  openJournal().append(0, { ...decision, head: { ...decision.head, generation } });
}

/** @throws UserError when the state was made under another project's name: nothing in it could be matched. */
async function requireSameProject(platform: LocalPlatform): Promise<void> {
  const resources = await Promise.all(STACKS.map((name) => platform[name].resources()));
  const projects = new Set(resources.flat().map(({ urn }) => urn.split("::")[1]));
  const other = [...projects].find((project) => project !== PROJECT);
  if (other === undefined) return;
  throw new UserError(
    `the state in ${stateFolder()} was made by project "${other}", this is "${PROJECT}".\n` +
      "remedy: run `npm stop -- --purge` to begin anew, or set PLATFORM_STATE to another folder.",
  );
}

async function waitUntilReady(platform: LocalPlatform, signal: AbortSignal): Promise<void> {
  const { url } = await outputsOf(platform.local);
  const deadline = performance.now() + READY_TIMEOUT_MS;
  while (performance.now() < deadline) {
    if (signal.aborted)
      throw new UserError("interrupted while waiting for the models.\nremedy: run the command again.");
    const response = await fetch(`${url}/ready`, { signal: AbortSignal.timeout(READY_PROBE_MS) }).catch(
      () => undefined,
    );
    await response?.body?.cancel();
    if (response?.ok) return;
    await new Promise((resolve) => setTimeout(resolve, READY_INTERVAL_MS));
  }
  throw new UserError(
    `the gateway at ${url} has no chat model that answers.\n` +
      `remedy: read the logs in ${path.join(stateFolder(), "logs")}; ` +
      `models with \`urls\` in stacks/Pulumi.${ENVIRONMENT}.yaml must be running already.`,
  );
}
