/** One settled request, as the ledger keeps it. */
export interface UsageRecord {
  /** Tells the request from all others, also across gateways: the ledger keeps each id once. */
  readonly id: string;
  /** When it arrived, in milliseconds since 1970. */
  readonly at: number;
  /** As the client knows it; two requests may share it. */
  readonly requestId: string;
  readonly tenant: string;
  readonly project: string;
  readonly keyId: string;
  /** What the client calls its user; undefined where it named none. */
  readonly user: string | undefined;
  /** As the client named it. */
  readonly model: string;
  /** What answered: a model of this gateway, or of a provider. */
  readonly backend: string;
  readonly release: string;
  readonly color: string;
  readonly endpoint: string;
  readonly status: number;
  readonly stream: boolean;
  readonly promptTokens: number;
  readonly cachedPromptTokens: number;
  readonly completionTokens: number;
  /** Whether the tokens are the gateway's own estimate, since the backend never told them. */
  readonly estimated: boolean;
  /** Billionths of a US dollar. */
  readonly nanoUsd: number;
  readonly latencyMs: number;
  readonly firstTokenMs: number | undefined;
  readonly probe: boolean;
}
