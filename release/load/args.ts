import { BlockList } from "node:net";
import { z } from "zod";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

const count = (min: number, max: number, what: string) => {
  const error = `is no whole number from ${min} to ${max}; give ${what}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};

const share = (what: string) => {
  const error = `is no share from 0 to 1; give the share of ${what}`;
  return z.number({ error }).min(0, { error }).max(1, { error });
};

const name = (what: string) =>
  z.string({ error: `is missing; name ${what}` }).min(1, { error: `is empty; name ${what}` });

const RATE = "is no number above 0, 20000 at most; give requests a second";

const loadArgs = z
  .strictObject({
    /** Base of what is to be loaded, without `/v1`. Loopback, unless `allowedOrigins` names it. */
    url: z.url({ protocol: /^https?$/, error: "is no http(s) URL; give one such as http://127.0.0.1:8080" }),
    /** Key that the requests carry. */
    key: z.string({ error: "is missing; give a key that the gateway accepts" }).regex(/^[\x21-\x7e]+$/, {
      error: "is empty or holds what no header may carry; give printable ASCII without spaces",
    }),
    models: z.strictObject({
      chat: name("a chat model"),
      /** Without it nothing asks for embeddings. */
      embeddings: name("an embedding model").optional(),
    }),
    /** Requests that are due a second, whatever the answers' speed. */
    ratePerSecond: z.number({ error: RATE }).positive({ error: RATE }).max(20_000, { error: RATE }),
    /** Requests under way beyond which one that is due is skipped; held streams are not among them. Default: 512. */
    maxInFlight: count(1, 10_000, "a number of requests").default(512),
    /** Share of the requests that are streamed. Default: 0.5. */
    streamShare: share("streamed requests").default(0.5),
    /** Share of the requests, and of the held streams, that open a connection of their own. Default: 0.5. */
    newConnectionShare: share("new connections").default(0.5),
    /** Share of the requests without stream that ask for embeddings, where a model for them is given. Default: 0.2. */
    embeddingsShare: share("embeddings").default(0.2),
    /** Streams that are open all the time: each is opened anew when it has ended. Default: 0. */
    heldStreams: count(0, 1000, "a number of streams").default(0),
    /** Tokens of a held stream, which vLLM's `ignore_eos` makes it reach. Default: 200. */
    heldStreamTokens: count(1, 100_000, "a number of tokens").default(200),
    /** Most tokens of every other answer. Default: 8. */
    maxTokens: count(1, 100_000, "a number of tokens").default(8),
    /** Requests, held streams among them, after which the load stops by itself. Default: none. */
    maxRequests: count(1, 1_000_000_000, "a number of requests").optional(),
    /** How many values `X-User-ID` takes, in turn. Default: the requests name no user. */
    users: count(1, 1_000_000, "a number of users").optional(),
    /** Milliseconds in which an answer must begin, and that may pass between two parts of it. Default: 60000. */
    timeoutMs: count(1, 3_600_000, "milliseconds").default(60_000),
    /** Milliseconds that `stop` gives to what is under way. Default: 30000. */
    drainMs: count(0, 3_600_000, "milliseconds").default(30_000),
    /** Origins other than loopback that may be loaded, such as `https://gateway.example.com`. Default: none. */
    allowedOrigins: z.array(z.string()).default([]),
  })
  .superRefine(({ url, allowedOrigins }, context) => {
    const problem = URL.canParse(url) ? addressProblem(new URL(url), allowedOrigins) : undefined;
    if (problem) context.addIssue({ code: "custom", path: ["url"], message: problem });
  });

export type LoadArgs = z.input<typeof loadArgs>;
export type LoadSettings = z.output<typeof loadArgs>;

function addressProblem(
  { hostname, origin, username, password }: URL,
  allowed: string[],
): string | undefined {
  if (username !== "" || password !== "") return "carries credentials; give the key as key";
  if (isLoopback(hostname) || allowed.includes(origin)) return undefined;
  return `is ${origin}, which is neither loopback nor among allowedOrigins; load only what is yours to load`;
}

function isLoopback(hostname: string): boolean {
  if (hostname === "localhost") return true;
  if (hostname.startsWith("[")) return LOOPBACK.check(hostname.slice(1, -1), "ipv6");
  return /^[\d.]+$/.test(hostname) && LOOPBACK.check(hostname, "ipv4");
}

/** @throws Error that tells every problem at once, and never the key. */
export function readLoadArgs(args: LoadArgs): LoadSettings {
  const parsed = loadArgs.safeParse(args);
  if (parsed.success) return parsed.data;
  const lines = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "the load"} ${message}`);
  throw new Error(`this load cannot be started:\n${lines.join("\n")}`);
}
