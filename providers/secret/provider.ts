import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { checkResult, parseWith, type ResourceType, schemaFailures } from "../resource-type.ts";
import { normalise, plain, secret } from "../wire.ts";

const DEFAULTS = { bytes: 32, prefix: "" };
const RANGE = "must be a whole number of bytes from 16 to 1024";

const secretArguments = z.strictObject({
  bytes: z.int({ error: RANGE }).min(16, { error: RANGE }).max(1024, { error: RANGE }),
  prefix: z.string({ error: "must be text" }).regex(/^[!-~]*$/, {
    error: "may hold printable ASCII characters without spaces only",
  }),
});

/** Keeps its whole life in the state: nothing outside it can be created, found or lost. */
export const secretType: ResourceType = {
  check(_subject, news) {
    return checkResult(news, DEFAULTS, (inputs) => schemaFailures(secretArguments, inputs));
  },

  diff(_subject, olds, news) {
    const [before, after] = [plain(olds), plain(news)];
    const replaces = Object.keys(DEFAULTS).filter((key) => !isDeepStrictEqual(before[key], after[key]));
    return { changes: replaces.length > 0, replaces };
  },

  async create(_subject, inputs) {
    const { bytes, prefix } = parseWith(secretArguments, plain(inputs));
    const value = secret(prefix + randomBytes(bytes).toString("base64url"));
    return { id: randomBytes(8).toString("hex"), outs: { ...normalise(inputs), value } };
  },

  async read(_subject, props) {
    return props;
  },

  async update(subject) {
    throw new Error(`secret ${subject.name}: its arguments cannot change in place, only by a replacement`);
  },

  async delete() {},

  async recover() {
    return undefined;
  },
};
