import type * as pulumi from "@pulumi/pulumi";
import type { Model } from "../models/index.ts";

/** What a color serves: which code and configuration, by content. */
export interface Release {
  /** Digest of all that decides how the color answers. */
  readonly id: string;
  /** What people call it. Default: none. */
  readonly label?: string | undefined;
}

/** A key that clients show. The gateway knows only its hash. */
export interface ClientKey {
  /** Name of the key in logs. */
  readonly id: string;
  readonly tenant: string;
  /** Whether it is that of the platform's own checks, which are counted apart and see every model. Default: false. */
  readonly probe?: boolean;
  /** Whether it may look at and change all tenants. Default: false. */
  readonly operator?: boolean;
  /** `action:resource`. Default: what a tenant's application needs. */
  readonly permissions?: string[];
  readonly value: pulumi.Input<string>;
}

/** Encrypts the keys of what the gateway stores of clients: files, and requests and answers of batches. */
export interface ContentKey {
  /** Stored beside what it encrypted. */
  readonly id: string;
  /** 32 bytes in base64; secret. */
  readonly value: pulumi.Input<string>;
}

export interface GatewayArgs {
  /** Color of the stack that this gateway belongs to, for its metrics. */
  color: string;
  release: Release;
  /** In the order in which clients see them. */
  models: Model[];
  keys: ClientKey[];
  /** Absolute path of the release's feature flags. */
  flagsFile: string;
  /** Absolute path of the release's settings of the gateway. */
  settingsFile: string;
  /** What providers of models ask for, by the names that the settings call it. Secret. */
  credentials: pulumi.Input<Record<string, string>>;
  /** Signs what clients show when they rate an answer; the same for both colors. Secret. */
  feedbackKey: pulumi.Input<string>;
  /** The first one encrypts, all decrypt; the same for both colors. */
  contentKeys: ContentKey[];
  /** Connection URL of the key-value store; secret. */
  redisUrl: pulumi.Input<string>;
  /** Connection URL of the ledger's database; secret. */
  databaseUrl: pulumi.Input<string>;
}

/** What every gateway offers, whatever runs it. */
export interface Gateway {
  /** Base URL of this color alone; clients use the environment's. */
  readonly url: pulumi.Output<string>;
}
