import { COLORS } from "../components/traffic/index.ts";
import { stackNamed } from "./reference.ts";
import type { TrafficSettings } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** The weights between the two colors of an environment, and nothing else. */
export function runTraffic({ target, environment, weights }: TrafficSettings) {
  const shared = stackNamed(environment);
  // A color without traffic may not exist yet, so only the others are looked up.
  const urls = COLORS.filter((color) => weights[color] > 0).map(
    (color) => [color, stackNamed(`${environment}-${color}`).requireOutput("url")] as const,
  );
  new TARGETS[target].Traffic(`${environment}-weights`, {
    adminUrl: shared.requireOutput("routerAdminUrl"),
    adminToken: shared.requireOutput("routerAdminToken"),
    weights,
    urls: Object.fromEntries(urls),
  });
  return { weights };
}
