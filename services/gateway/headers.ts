import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import helmet from "helmet";
import { RELEASE_HEADER } from "./contract.ts";

// Nothing that the gateway answers is a page: what only pages need is left out.
const HELMET = helmet({
  contentSecurityPolicy: {
    useDefaults: false,
    directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  },
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  xDnsPrefetchControl: false,
  xDownloadOptions: false,
  xPermittedCrossDomainPolicies: false,
  xXssProtection: false,
});

/**
 * The headers that every answer has, names and values in turn. They are made once: setting them one by one, for each
 * answer anew, takes longer than all routing.
 */
export function commonHeaders(release: string): readonly string[] {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  HELMET(response.req, response, () => undefined);
  const pairs = Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]);
  return [RELEASE_HEADER, release, ...pairs.flat()];
}
