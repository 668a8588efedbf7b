import { type Load, type LoadStats, startLoad } from "../release/load/load.ts";
import { addressOf, type Site } from "../release/site.ts";
import type { LocalPlatform } from "./platform.ts";
import { outputsOf } from "./platform.ts";
import type { ReleaseView } from "./release-view.ts";

interface Loaded {
  site: Site;
  platform: LocalPlatform;
  /** Requests a second; 0 for none. */
  rate: number;
  view: ReleaseView;
}

/** Sends requests through the router while `work` goes on, and tells what became of them. */
export async function withLoad<T>(loaded: Loaded, work: () => Promise<T>): Promise<T> {
  const load = loaded.rate > 0 ? await start(loaded) : undefined;
  try {
    return await work();
  } finally {
    if (load) loaded.view.note(summary(await load.stop()));
  }
}

async function start({ site, platform, rate, view }: Loaded): Promise<Load | undefined> {
  const { url, demoKey } = await outputsOf(platform.local);
  const head = site.journal.latest()?.head;
  const { models } = await addressOf(site, head?.active ?? "blue");
  // A model behind a flag is not there for everybody.
  const open = models.filter(({ flag }) => flag === undefined);
  const chat = open.find(({ task }) => task === "chat")?.name;
  const embeddings = open.find(({ task }) => task === "embeddings")?.name;
  if (chat === undefined) {
    view.note("No load is sent: every chat model is behind a feature flag.");
    return undefined;
  }
  return startLoad({
    url: String(url),
    key: String(demoKey),
    // The router's own address, wherever the settings have it listen.
    allowedOrigins: [new URL(String(url)).origin],
    models: { chat, ...(embeddings === undefined ? {} : { embeddings }) },
    ratePerSecond: rate,
  });
}

function summary({ started, succeeded, failed, skipped }: LoadStats): string {
  const few = skipped === 0 ? "" : `, ${skipped} not sent as too many were open`;
  return `The load: ${started} requests, ${succeeded} answered, ${failed} failed${few}.`;
}
