import { openPlatform, outputsOf, UserError, wasStarted } from "./platform.ts";

/** `npm run key`: prints the demo key alone, for scripts. */
export async function key(): Promise<void> {
  const { demoKey } = wasStarted() ? await outputsOf((await openPlatform()).stacks.local) : {};
  if (typeof demoKey !== "string") {
    throw new UserError("there is no demo key yet.\nremedy: run `npm start` first, which makes one.");
  }
  console.log(demoKey);
}
