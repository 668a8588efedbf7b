import { local } from "./local.ts";

/** What the stacks are built from, by what they stand on. */
export const TARGETS = { local };
