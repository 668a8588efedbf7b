import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { portPlaceholder } from "../../providers/process/resource.ts";
import { POSTGRES_DATABASE, POSTGRES_ENV, POSTGRES_USER } from "../../services/postgres/contract.ts";
import { GeneratedSecret } from "../secrets/generated.ts";
import { type LocalHost, localService } from "../shared/local-service.ts";
import type { Postgres } from "./index.ts";

/** The first message of PostgreSQL's protocol that every server answers, before anybody logs in. */
const SSL_REQUEST = "%00%00%00%08%04%D2%16%2F";

export interface PglitePostgresArgs {
  host: LocalHost;
}

/** PostgreSQL with pgvector as a process of this machine: PGlite behind the real wire protocol, on loopback. */
export class PglitePostgres extends pulumi.ComponentResource implements Postgres {
  readonly url: pulumi.Output<string>;
  readonly address: pulumi.Output<string>;

  constructor(name: string, { host }: PglitePostgresArgs, opts?: pulumi.ComponentResourceOptions) {
    super("llm-platform:postgres:PglitePostgres", name, {}, opts);
    const password = new GeneratedSecret(`${name}-password`, {}, { parent: this });
    const server = localService(
      name,
      {
        host,
        service: "postgres",
        ports: { [POSTGRES_ENV.port]: 0 },
        environment: {
          [POSTGRES_ENV.dataDir]: path.join(host.stateFolder, "data", name),
          [POSTGRES_ENV.password]: password.value,
        },
        healthUrl: `tcp://127.0.0.1:${portPlaceholder(POSTGRES_ENV.port)}?send=${SSL_REQUEST}`,
      },
      { parent: this },
    );
    this.address = pulumi.interpolate`127.0.0.1:${server.ports.apply((ports) => ports[POSTGRES_ENV.port])}`;
    this.url = pulumi.secret(
      pulumi.interpolate`postgresql://${POSTGRES_USER}:${password.value}@${this.address}/${POSTGRES_DATABASE}`,
    );
    this.registerOutputs({ url: this.url, address: this.address });
  }
}
