import type { CommandTable } from "./command.ts";
import { EXPIRY_COMMANDS } from "./expiry.ts";
import { HASH_COMMANDS } from "./hashes.ts";
import { KEY_COMMANDS } from "./keys.ts";
import { SORTED_SET_COMMANDS } from "./sorted-sets.ts";
import { STRING_COMMANDS } from "./strings.ts";

/** Every command on the data, by its name in lower case. */
export const DATA_COMMANDS: ReadonlyMap<string, CommandTable[string]> = new Map(
  Object.entries({
    ...STRING_COMMANDS,
    ...EXPIRY_COMMANDS,
    ...HASH_COMMANDS,
    ...SORTED_SET_COMMANDS,
    ...KEY_COMMANDS,
  }),
);
