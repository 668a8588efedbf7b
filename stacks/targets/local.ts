import { LocalGateway } from "../../components/gateway/local.ts";
import { ExternalModel } from "../../components/models/external.ts";
import { SimulatedModel } from "../../components/models/simulator.ts";
import { PglitePostgres } from "../../components/postgres/pglite.ts";
import { LocalRedis } from "../../components/redis/local.ts";
import { GeneratedSecret } from "../../components/secrets/generated.ts";
import { LocalRouter, RouterTraffic } from "../../components/traffic/router.ts";

/** Which implementation serves which capability on this machine. */
export const local = {
  Entrance: LocalRouter,
  ExternalModel,
  Gateway: LocalGateway,
  Postgres: PglitePostgres,
  Redis: LocalRedis,
  Secret: GeneratedSecret,
  SimulatedModel,
  Traffic: RouterTraffic,
};
