import { Controller } from "../release/controller.ts";
import { JournalConflict } from "../release/journal.ts";
import { UserError } from "./errors.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { openPlatform } from "./platform.ts";
import { conclude } from "./release-follow.ts";
import { openSite } from "./site.ts";
import { exists, lockPlatform } from "./state-folder.ts";
import { tell } from "./tell.ts";

/**
 * `npm run platform -- tick local`: one step of whatever release is under way, for a scheduler to repeat. The exit
 * status is that of a release once it has come to its end with this step, and 0 before.
 */
export async function tick(args: string[]): Promise<void> {
  environmentOption(args, {});
  if (!exists()) throw new UserError("the platform was never started here.\nremedy: run `npm start` first.");
  const unlock = lockPlatform();
  const { signal, done } = interruptible();
  try {
    const { platform } = await openPlatform();
    const site = await openSite(platform);
    const wasUnderWay = site.journal.latest()?.head.rollout !== undefined;
    const { entry, settled } = await new Controller(site).tick(
      { progress: () => {}, event: () => {} },
      signal,
    );
    tell(`${entry.kind}: ${entry.text}`);
    if (settled && wasUnderWay) process.exitCode = await conclude("settled");
    else if (settled) tell("No release is under way.");
  } catch (error) {
    if (signal.aborted) throw new UserError("interrupted.\nremedy: the next tick does this step again.");
    if (!(error instanceof JournalConflict)) throw error;
    throw new UserError("somebody else decided meanwhile.\nremedy: run the next tick as usual.");
  } finally {
    done();
    unlock();
  }
}
