import {
  decideTraffic,
  type RouterAdmin,
  RouterUnreachableError,
  readTraffic,
  StaleGenerationError,
} from "../providers/router/admin-client.ts";
import { COLORS, type Color, type Weights } from "../release/contract/head.ts";
import { gatewayFigures } from "../release/figures/source.ts";
import { FileJournal, type Journal } from "../release/journal.ts";
import { Overtaken, type Site, type TrafficSwitch } from "../release/site.ts";
import { UserError } from "./errors.ts";
import { colorStack, ENVIRONMENT, files, type LocalPlatform, outputsOf } from "./platform.ts";

export const openJournal = (): Journal => new FileJournal(files().journal);

/** This machine's environment, as the release controller acts on it. */
export async function openSite(platform: LocalPlatform): Promise<Site> {
  const { probeKey, routerAdminUrl, routerAdminToken } = await outputsOf(platform.local);
  if (typeof probeKey !== "string" || typeof routerAdminUrl !== "string") {
    throw new UserError("the platform was never started here.\nremedy: run `npm start` first.");
  }
  return {
    environment: ENVIRONMENT,
    colors: { blue: platform["local-blue"], green: platform["local-green"] },
    traffic: platform["local-traffic"],
    router: new RouterSwitch(platform, { adminUrl: routerAdminUrl, token: String(routerAdminToken) }),
    journal: openJournal(),
    snapshots: files().snapshots,
    figures: gatewayFigures,
    key: probeKey,
  };
}

const never = new AbortController().signal;

/** The local router, by its admin address. */
class RouterSwitch implements TrafficSwitch {
  readonly #platform: LocalPlatform;
  readonly #admin: RouterAdmin;

  constructor(platform: LocalPlatform, admin: RouterAdmin) {
    this.#platform = platform;
    this.#admin = admin;
  }

  async read() {
    const { generation, backends } = await this.#ask(() => readTraffic(this.#admin, never));
    const weights: Weights = { blue: backends.blue?.weight ?? 0, green: backends.green?.weight ?? 0 };
    return { generation, weights };
  }

  async move(generation: number, weights: Weights): Promise<void> {
    const serving = COLORS.filter((color) => weights[color] > 0);
    const entries = await Promise.all(
      serving.map(
        async (color) => [color, { url: await this.#urlOf(color), weight: weights[color] }] as const,
      ),
    );
    const backends = Object.fromEntries(entries);
    await this.#ask(() => decideTraffic(this.#admin, never, { generation, backends }));
  }

  async #urlOf(color: Color): Promise<string> {
    const { url } = await outputsOf(this.#platform[colorStack(color)]);
    if (typeof url === "string") return url;
    throw new Error(`${color} has no address: its stack was never brought up.`);
  }

  async #ask<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (error) {
      if (error instanceof StaleGenerationError) throw new Overtaken();
      if (error instanceof RouterUnreachableError) {
        throw new UserError(
          `the router at ${this.#admin.adminUrl} does not answer.\nremedy: run \`npm start\`, which heals it.`,
        );
      }
      throw error;
    }
  }
}
