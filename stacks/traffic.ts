import { COLORS } from "../components/traffic/index.ts";
import { weightsFor } from "../release/contract/head.ts";
import { stackNamed } from "./reference.ts";
import { headOf } from "./release.ts";
import type { TrafficSettings } from "./settings.ts";
import { TARGETS } from "./targets/index.ts";

/** The weights between the two colors of an environment, as the release journal has them, and nothing else. */
export function runTraffic({ target, environment }: TrafficSettings) {
  const shared = stackNamed(environment);
  const head = headOf(environment);
  const weights = head?.weights ?? weightsFor("blue");
  // A color without traffic may not exist yet, so only the others are looked up.
  const urls = COLORS.filter((color) => weights[color] > 0).map(
    (color) => [color, stackNamed(`${environment}-${color}`).requireOutput("url")] as const,
  );
  new TARGETS[target].Traffic(`${environment}-weights`, {
    adminUrl: shared.requireOutput("routerAdminUrl"),
    adminToken: shared.requireOutput("routerAdminToken"),
    weights,
    generation: head?.generation,
    urls: Object.fromEntries(urls),
  });
  return { weights };
}
