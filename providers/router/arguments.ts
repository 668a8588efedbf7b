import { z } from "zod";

const URL_RULE = "must be the origin of a server, such as http://127.0.0.1:8080, without a path";
const WEIGHT_RULE = "must be a whole number of percent from 0 to 100";

/** An origin in its usual form, as the router gives it back. */
const origin = z
  .string({ error: URL_RULE })
  .refine(isOrigin, { error: URL_RULE })
  .transform((value) => new URL(value).origin);
const weight = z.int({ error: WEIGHT_RULE }).min(0, { error: WEIGHT_RULE }).max(100, { error: WEIGHT_RULE });
const backend = z.strictObject({ url: origin, weight }, { error: "must be {url, weight}" });

export const backends = z
  .strictObject(
    { blue: backend.optional(), green: backend.optional() },
    { error: "must map blue and green to {url, weight}" },
  )
  .refine(({ blue, green }) => [0, 100].includes((blue?.weight ?? 0) + (green?.weight ?? 0)), {
    error: "must have weights that add up to 100, or to 0 when nothing is to be served",
  });

const admin = {
  adminUrl: origin,
  token: z.string({ error: "must be text" }).min(1, { error: "must be the router's admin token" }),
  backends,
};

export const trafficArguments = z.strictObject({
  ...admin,
  generation: z.int({ error: "must be a whole number" }).min(1, { error: "must be above 0" }).optional(),
});

/** The arguments with what the router answered last. */
export const trafficState = z.object({ ...admin, generation: z.int().nonnegative() });

export type TrafficArguments = z.infer<typeof trafficArguments>;
export type TrafficState = z.infer<typeof trafficState>;

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, pathname, search, hash, username, password } = new URL(text);
  const isHttp = protocol === "http:" || protocol === "https:";
  return isHttp && pathname === "/" && search + hash + username + password === "";
}
