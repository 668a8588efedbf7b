import type { Color } from "./contract/head.ts";
import { becomesReady, hasGone } from "./look.ts";
import { addressOf, type Step } from "./site.ts";

/**
 * Heals a color that has stopped answering, and waits for it.
 * @throws when it does not become ready: nothing was moved, and the next run tries again.
 */
export async function revive({ site, rollout, listener, signal }: Step, color: Color): Promise<void> {
  if (!(await hasGone((await addressOf(site, color)).url, signal))) return;
  listener.progress(`healing ${color}`);
  await site.colors[color].up({ refresh: true, signal, onEvent: listener.event });
  // Its address may be another one by now.
  const { url } = await addressOf(site, color);
  if (await becomesReady(url, rollout.plan.readySeconds * 1000, signal)) return;
  throw new Error(
    `${color} does not become ready, so it is given nothing.\nremedy: read its logs, then run the command again.`,
  );
}
