import { Controller } from "../release/controller.ts";
import { interruptible } from "./interruption.ts";
import { environmentOption } from "./options.ts";
import { openPlatform } from "./platform.ts";
import { openSite } from "./site.ts";
import { lockPlatform } from "./state-folder.ts";

/** `npm run platform -- tick local`: one step of whatever release is under way, for a scheduler to repeat. */
export async function tick(args: string[]): Promise<void> {
  environmentOption(args, {});
  const unlock = lockPlatform();
  const { signal, done } = interruptible();
  try {
    const { platform } = await openPlatform();
    const controller = new Controller(await openSite(platform));
    const { entry, settled } = await controller.tick({ progress: () => {}, event: () => {} }, signal);
    console.log(`${entry.kind}: ${entry.text}${settled ? "\nNo release is under way." : ""}`);
  } finally {
    done();
    unlock();
  }
}
