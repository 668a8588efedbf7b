import { createHmac, createSecretKey } from "node:crypto";

const LENGTH = 16;

/** Tells users apart without naming them: only who has the key can find out whose hash it is. */
export type UserHash = (tenant: string, user: string) => string;

/** @param key the same in all gateways whose logs are read together; secret */
export function userHash(key: string): UserHash {
  const secret = createSecretKey(key, "utf8");
  return (tenant, user) =>
    createHmac("sha256", secret).update(`${tenant}\n${user}`).digest("hex").slice(0, LENGTH);
}
