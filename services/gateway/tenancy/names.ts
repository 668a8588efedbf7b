import { z } from "zod";
import { RESOURCES } from "./principal.ts";

/** Of tenants, projects and issuers: fit for labels, paths and keys of data stores as they are. */
export const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export const plainName = z
  .string({ error: "is missing; name it" })
  .regex(PLAIN_NAME, "is no plain name; use 1 to 63 letters, digits, dots, dashes or underscores");

const PERMISSION = new RegExp(`^(\\*|create|read|write):(\\*|${RESOURCES.join("|")})$`);

/** `action:resource`, such as `create:chat`. */
export const permission = z
  .string()
  .regex(
    PERMISSION,
    `is no permission; use create, read, write or * with one of ${RESOURCES.join(", ")} or *`,
  );

export function isPermission(text: string): boolean {
  return PERMISSION.test(text);
}
