import { COLORS, type Color, type Head } from "../release/contract/head.ts";
import { ROUTER_ADMIN_PATHS } from "../services/router/contract.ts";
import type { ServiceEntry } from "../stacks/reference.ts";
import { readOptions } from "./options.ts";
import { colorStack, type LocalPlatform, openStates, outputsOf, STACKS } from "./platform.ts";
import { inspectProcesses, type ProcessState } from "./processes.ts";
import { openJournal } from "./site.ts";
import { exists } from "./state-folder.ts";
import { tell } from "./tell.ts";

/** How long a service may take to answer before it counts as not healthy. */
const PROBE_TIMEOUT_MS = 2000;

interface ColorStatus {
  url: string;
  release: string;
  label: string;
  healthy: boolean;
}

export interface Status {
  /** The address that clients use; null while the platform is stopped. */
  gateway: string | null;
  /** The color with the greater share of the traffic; null while there is none. */
  active: string | null;
  /** Percent of the traffic by color, as the router has them now. */
  weights: { blue: number; green: number };
  /** How far a release under way is, or until when the one before can be gone back to; null for neither. */
  release: string | null;
  colors: Record<string, ColorStatus>;
  services: (ServiceEntry & { stack: string; healthy: boolean })[];
  stacks: { name: string; resources: number }[];
}

/** `npm run status`: what runs on this machine, and how it is. */
export async function status(args: string[]): Promise<void> {
  const { json } = readOptions(args, { json: { type: "boolean" } });
  const current = await readStatus();
  tell(json ? JSON.stringify(current, null, 2) : describe(current));
}

async function readStatus(): Promise<Status> {
  const stopped: Status = {
    gateway: null,
    active: null,
    weights: { blue: 0, green: 0 },
    release: null,
    colors: {},
    services: [],
    stacks: [],
  };
  if (!exists()) return stopped;
  const platform = openStates();
  const stacks = await Promise.all(
    STACKS.map(async (name) => ({ name, resources: (await platform[name].resources()).length })),
  );
  const processes = await inspectProcesses(platform);
  if (processes.length === 0) return { ...stopped, stacks };
  const local = await outputsOf(platform.local);
  const weights = await readWeights(local);
  const head = openJournal().latest()?.head;
  const active = weights.blue + weights.green === 0 ? null : (head?.active ?? "blue");
  return {
    gateway: typeof local.url === "string" ? local.url : null,
    active,
    weights,
    release: releaseStatus(head),
    colors: await readColors(platform),
    services: await readServices(platform, processes),
    stacks,
  };
}

function releaseStatus(head: Head | undefined): string | null {
  if (head?.rollout) {
    const { phase, to, stage, plan } = head.rollout;
    return `onto ${to}: ${phase}, stage ${stage + 1} of ${plan.stages.length} (${plan.strategy})`;
  }
  return head?.warm
    ? `done; ${head.warm.rollout.from} stays ready for a rollback until ${head.warm.until}`
    : null;
}

async function probe(url: string, headers: Record<string, string> = {}): Promise<Response | undefined> {
  return fetch(url, { headers, signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).catch(() => undefined);
}

/** Whether a server that is not ours answers, as the gateway judges it: not every engine has /health. */
async function answers(address: string): Promise<boolean> {
  const response = await probe(`${address}/health`);
  await response?.body?.cancel();
  return response !== undefined && response.status < 500;
}

async function readWeights(local: Record<string, unknown>): Promise<Status["weights"]> {
  const response = await probe(`${local.routerAdminUrl}${ROUTER_ADMIN_PATHS.traffic}`, {
    authorization: `Bearer ${local.routerAdminToken}`,
  });
  if (!response?.ok) return { blue: 0, green: 0 };
  const { backends } = (await response.json()) as {
    backends: Record<string, { weight: number } | undefined>;
  };
  return { blue: backends.blue?.weight ?? 0, green: backends.green?.weight ?? 0 };
}

/** A color that was ended leaves its outputs behind; the journal says which ones there are. */
function existingColors(): Color[] {
  const head = openJournal().latest()?.head;
  return COLORS.filter((color) => head === undefined || head.colors[color] !== undefined);
}

async function readColors(platform: LocalPlatform): Promise<Record<string, ColorStatus>> {
  const colors = await Promise.all(
    existingColors().map(async (color) => [color, await readColor(platform, color)] as const),
  );
  return Object.fromEntries(colors.flatMap(([color, status]) => (status ? [[color, status] as const] : [])));
}

async function readColor(platform: LocalPlatform, color: Color): Promise<ColorStatus | undefined> {
  const { url, release, label } = await outputsOf(platform[colorStack(color)]);
  if (typeof url !== "string") return undefined;
  const response = await probe(`${url}/ready`);
  await response?.body?.cancel();
  return { url, release: String(release), label: String(label), healthy: response?.ok ?? false };
}

async function readServices(platform: LocalPlatform, processes: ProcessState[]): Promise<Status["services"]> {
  const existing = new Set<string>(["local", ...existingColors().map(colorStack), "local-traffic"]);
  const lists = STACKS.filter((stack) => existing.has(stack)).map(async (stack) => {
    const { services = [] } = (await outputsOf(platform[stack])) as { services?: ServiceEntry[] };
    return Promise.all(
      services.map(async (service) => {
        const own = processes.find((process) => process.stack === stack && process.name === service.name);
        const healthy = own ? own.healthy : await answers(service.address);
        return { ...service, stack, healthy };
      }),
    );
  });
  return (await Promise.all(lists)).flat();
}

function describe(current: Status): string {
  if (current.gateway === null && current.services.length === 0) {
    return "The platform is stopped. `npm start` brings it up.";
  }
  const health = (healthy: boolean) => (healthy ? "healthy" : "NOT HEALTHY");
  const colors = Object.entries(current.colors).map(([name, { url, release, label, healthy }]) => {
    const weight = current.weights[name as keyof Status["weights"]];
    return `  ${name.padEnd(6)} ${String(weight).padStart(3)} %  release ${release}${label && ` (${label})`}  ${url}  ${health(healthy)}`;
  });
  const services = current.services.map(
    ({ name, address, kind, healthy }) =>
      `  ${name.padEnd(36)} ${kind.padEnd(9)} ${address.padEnd(28)} ${health(healthy)}`,
  );
  const stacks = current.stacks.map(({ name, resources }) => `  ${name.padEnd(36)} ${resources} resources`);
  return [
    `Gateway: ${current.gateway ?? "none yet, npm start was not finished"}  (active: ${current.active ?? "none"})`,
    ...(current.release === null ? [] : [`Release: ${current.release}`]),
    ...["Colors", ...colors],
    ...["Services", ...services],
    ...["Stacks", ...stacks],
  ].join("\n");
}
