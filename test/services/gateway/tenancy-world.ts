import type { RunningGateway } from "../../../services/gateway/server.ts";
import { type StoreKind, type StoreProcess, startPostgres, startRedis } from "../stores.ts";
import { type FakeReplica, post, sha256, startReplica, startTestGateway, until } from "./support.ts";

/** Key of the environment that may do everything for all tenants. */
export const OPERATOR = "sk-test-operator";
/** Key of the environment that belongs to the tenant "fixed", which the settings name. */
export const FIXED = "sk-test-fixed";
/** Key of the environment whose tenant nobody names. */
export const LOOSE = "sk-test-loose";

export const STATIC_KEYS = [
  { id: "admin", sha256: sha256(OPERATOR), tenant: "platform", operator: true, permissions: ["*:*"] },
  { id: "fixed-key", sha256: sha256(FIXED), tenant: "fixed" },
  { id: "loose-key", sha256: sha256(LOOSE), tenant: "loose" },
];

const UNBOUNDED = { requestsPerMinute: null, tokensPerMinute: null, concurrency: null };
const TIERS = { bronze: UNBOUNDED, silver: UNBOUNDED, gold: UNBOUNDED };

export interface WorldOptions {
  readonly postgres?: StoreKind;
  readonly redis?: StoreKind | undefined;
  readonly gateways?: number;
  /** Sections of the settings file. */
  readonly settings?: object;
}

export interface Made {
  readonly id: string;
  readonly secret: string;
}

export interface Call {
  readonly key?: string;
  readonly body?: unknown;
  /** Which gateway. @default the first */
  readonly at?: number;
}

/** Gateways before one replica that share a database and, where it is wanted, a key-value store. */
export class World {
  readonly replica: FakeReplica;
  readonly postgres: StoreProcess;
  readonly redis: StoreProcess | undefined;
  readonly #gateways: RunningGateway[] = [];

  constructor(replica: FakeReplica, postgres: StoreProcess, redis: StoreProcess | undefined) {
    this.replica = replica;
    this.postgres = postgres;
    this.redis = redis;
  }

  static async start({ postgres = "embedded", redis, gateways = 1, settings }: WorldOptions = {}) {
    const world = new World(
      await startReplica(),
      await startPostgres(postgres),
      redis && (await startRedis(redis)),
    );
    for (let index = 0; index < gateways; index += 1) await world.addGateway({ settings });
    return world;
  }

  url(at = 0): string {
    return this.#gateways[at]?.url ?? "";
  }

  /** Starts one more. @returns its number */
  async addGateway({ env = {}, settings = {} }: { env?: Record<string, string>; settings?: object } = {}) {
    const gateway = await startTestGateway({
      replicas: [this.replica.url],
      settings: { limits: { tiers: TIERS }, tenants: { fixed: {} }, ...settings },
      env: {
        GATEWAY_KEYS: JSON.stringify(STATIC_KEYS),
        GATEWAY_DATABASE_URL: this.postgres.url,
        ...(this.redis ? { GATEWAY_REDIS_URL: this.redis.url } : {}),
        ...env,
      },
    });
    const at = this.#gateways.push(gateway) - 1;
    await until(async () => {
      const text = await (await fetch(`${gateway.url}/metrics`)).text();
      return !/^gateway_tenancy_age_seconds\{[^}]*\} -1$/m.test(text);
    }, 100_000);
    return at;
  }

  async closeGateway(at: number): Promise<void> {
    await this.#gateways[at]?.close();
  }

  async close(): Promise<void> {
    this.postgres.resume();
    this.redis?.resume();
    await Promise.all(this.#gateways.map((gateway) => gateway.close()));
    await Promise.all([this.replica.close(), this.postgres.stop(), this.redis?.stop()]);
  }

  /** One call of the admin API. */
  async admin(method: string, path: string, { key = OPERATOR, body, at = 0 }: Call = {}) {
    const response = await fetch(`${this.url(at)}/admin/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async makeTenant(id: string, fields: object = {}): Promise<void> {
    const { status, body } = await this.admin("POST", "/tenants", { body: { id, ...fields } });
    if (status !== 201) throw new Error(JSON.stringify(body));
  }

  async makeKey(tenant: string, fields: object = {}, key = OPERATOR): Promise<Made> {
    const { status, body } = await this.admin("POST", `/tenants/${tenant}/keys`, { body: fields, key });
    if (status !== 201) throw new Error(JSON.stringify(body));
    return { id: String(body.id), secret: String(body.secret) };
  }

  /** The status of a chat with the key. */
  async chat(key: string, at = 0): Promise<number> {
    const response = await post(this.url(at), { headers: { authorization: `Bearer ${key}` } });
    await response.arrayBuffer();
    return response.status;
  }
}
