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

async function start({ site, platform, rate }: Loaded): Promise<Load> {
  const { url } = await outputsOf(platform.local);
  const head = site.journal.latest()?.head;
  const { models } = await addressOf(site, head?.active ?? "blue");
  const chat = models.find(({ task }) => task === "chat")?.name ?? "";
  const embeddings = models.find(({ task }) => task === "embeddings")?.name;
  return startLoad({
    url: String(url),
    key: site.key,
    models: { chat, ...(embeddings === undefined ? {} : { embeddings }) },
    ratePerSecond: rate,
  });
}

function summary({ started, succeeded, failed, skipped }: LoadStats): string {
  const few = skipped === 0 ? "" : `, ${skipped} not sent as too many were open`;
  return `The load: ${started} requests, ${succeeded} answered, ${failed} failed${few}.`;
}
