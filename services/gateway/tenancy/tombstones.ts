/** Where the key-value store keeps that a key was revoked. All names of a tenant are in one slot of a cluster. */
export function tombstone(tenant: string, keyId: string): string {
  return `{${tenant}}:revoked:${keyId}`;
}

/** Where it keeps that a tenant was disabled. */
export function tenantTombstone(tenant: string): string {
  return `{${tenant}}:disabled`;
}
