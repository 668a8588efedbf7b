import { UserError } from "./errors.ts";
import { readOptions } from "./options.ts";
import { openStates, outputsOf } from "./platform.ts";
import { exists } from "./state-folder.ts";

/** `npm run key`: prints the demo key alone, for scripts. */
export async function key(args: string[]): Promise<void> {
  readOptions(args, {});
  const { demoKey } = exists() ? await outputsOf(openStates().local) : {};
  if (typeof demoKey !== "string") {
    throw new UserError("there is no demo key yet.\nremedy: run `npm start` first, which makes one.");
  }
  console.log(demoKey);
}
