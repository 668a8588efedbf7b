import { once } from "node:events";
import { createServer } from "node:http";
import { closeServer, listen } from "./support.ts";

interface Value {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
}
interface Attribute {
  readonly key: string;
  readonly value: Value;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Attribute[];
  readonly status: { readonly code: number };
  readonly events: { readonly name: string }[];
}
interface Request {
  readonly resourceSpans: {
    readonly resource: { readonly attributes: Attribute[] };
    readonly scopeSpans: { readonly spans: OtlpSpan[] }[];
  }[];
}

/** A span as the collector got it, its attributes by name. */
export interface CollectedSpan extends Omit<OtlpSpan, "attributes"> {
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly resource: Readonly<Record<string, unknown>>;
}

/** A collector that takes OTLP/HTTP as JSON. */
export interface Collector {
  readonly url: string;
  readonly spans: CollectedSpan[];
  /** Everything that was sent to it, as text. */
  readonly text: () => string;
  /** What it does with a request: takes it, refuses it, or never answers. */
  mode: "take" | "refuse" | "hang";
  readonly requests: () => number;
  close(): Promise<void>;
}

const plain = ({ stringValue, intValue, doubleValue, boolValue }: Value): unknown =>
  stringValue ?? (intValue === undefined ? (doubleValue ?? boolValue) : Number(intValue));

const byName = (attributes: Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]));

function spansOf({ resourceSpans }: Request): CollectedSpan[] {
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        ...span,
        attributes: byName(span.attributes),
        resource: byName(resource.attributes),
      })),
    ),
  );
}

export async function startCollector(): Promise<Collector> {
  const bodies: string[] = [];
  let requests = 0;
  const server = createServer(async (request, response) => {
    requests += 1;
    if (collector.mode === "hang") return;
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    if (collector.mode === "refuse" || request.url !== "/v1/traces") {
      response.writeHead(400).end();
      return;
    }
    const body = Buffer.concat(chunks).toString();
    bodies.push(body);
    collector.spans.push(...spansOf(JSON.parse(body) as Request));
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
    await once(response, "close");
  });
  const url = await listen(server);
  const collector: Collector = {
    url,
    spans: [],
    text: () => bodies.join("\n"),
    mode: "take",
    requests: () => requests,
    close: () => closeServer(server),
  };
  return collector;
}
