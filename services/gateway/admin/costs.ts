import { ApiError } from "../api/errors.ts";
import { costReport, reportCosts, reportQuery } from "../cost/report.ts";
import { reportNodes } from "../cost/self-hosted.ts";
import { unpricedModels } from "../cost/unpriced.ts";
import { adminRoute } from "./route.ts";

const report = adminRoute({
  method: "get",
  path: "/costs",
  operationId: "reportCosts",
  summary:
    "Sums what requests cost, of the last 30 days by day and tenant by default. Operators also see what own nodes cost, used and idle.",
  action: "read",
  resource: "costs",
  query: reportQuery,
  response: costReport,
  async handle({ database, gateway, principal, query }) {
    const { cost } = gateway.settings;
    if (!principal.operator) {
      if (query.tenant !== undefined && query.tenant !== principal.tenant.id) throw new ApiError("not_found");
      const own = { ...query, tenant: principal.tenant.id };
      return database.report((db) => reportCosts(db, own, cost));
    }
    const whole = { ...query, tenant: query.tenant };
    const costs = await database.report((db) => reportCosts(db, whole, cost));
    // What nodes cost is one sum for all tenants: it says nothing about one of them alone.
    const selfHosted = await database.report((db) => reportNodes(db, whole, cost));
    return { ...costs, selfHosted, unpricedModels: unpricedModels(gateway) };
  },
});

export const COST_ROUTES = [report];
