import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

const CONNECTIONS = 32;
const SECONDS = 4;
const WARM_UP_SECONDS = 1;
const START_LIMIT_MS = 15_000;
const KEY = "sk-bench";
const PATH = "/v1/chat/completions";
const MODES = ["json", "stream"] as const;

type Mode = (typeof MODES)[number];

/** One measurement: a proxy in front of a model that answers at once. */
export interface GatewayBenchRow {
  readonly target: "gateway" | "nginx" | "bare Express + undici";
  readonly mode: Mode;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers other than 2xx and connections that broke. */
  readonly errors: number;
}

export interface GatewayBench {
  readonly rows: readonly GatewayBenchRow[];
  /** What could not be measured for want of a program. */
  readonly missing: readonly string[];
}

interface Target {
  readonly name: GatewayBenchRow["target"];
  readonly port: number;
}

/**
 * Measures gateway, nginx and a bare Express + undici proxy, one process each, in front of the same model on loopback.
 * Takes about half a minute.
 */
export async function benchGateway(): Promise<GatewayBench> {
  if (!(await onPath("wrk", "-v"))) return { rows: [], missing: ["wrk"] };
  const folder = await mkdtemp(join(tmpdir(), "gateway-bench-"));
  const children: ChildProcess[] = [];
  try {
    const { targets, missing } = await startTargets(folder, children);
    const rows: GatewayBenchRow[] = [];
    for (const mode of MODES) {
      for (const target of targets) rows.push(await measure(target, mode, folder));
    }
    return { rows, missing };
  } finally {
    await Promise.all(children.map(stop));
    await rm(folder, { recursive: true, force: true });
  }
}

/** Prints the rows with each target's share of nginx's and the bare proxy's requests per second. */
export function printGatewayBench({ rows, missing }: GatewayBench): void {
  for (const row of rows) {
    const share = (target: GatewayBenchRow["target"]) => {
      const other = rows.find((candidate) => candidate.target === target && candidate.mode === row.mode);
      return other ? `${(row.requestsPerSecond / other.requestsPerSecond).toFixed(2)}x ${target}` : undefined;
    };
    const shares = [share("nginx"), share("bare Express + undici")].filter((text) => text !== undefined);
    console.log(
      [
        row.mode.padEnd(7),
        row.target.padEnd(22),
        `${Math.round(row.requestsPerSecond)} requests/s`.padStart(18),
        `p50 ${row.p50Ms.toFixed(1)} ms`.padStart(13),
        `p99 ${row.p99Ms.toFixed(1)} ms`.padStart(13),
        `${row.errors} errors`.padStart(10),
        ` ${row.target === "gateway" ? shares.join(", ") : ""}`,
      ].join(" "),
    );
  }
  for (const name of missing) console.log(`not measured: ${name} is not on PATH`);
}

async function startTargets(folder: string, children: ChildProcess[]) {
  const upstream = await startNode(["test/bench/gateway/upstream.ts"], {}, children);
  const url = `http://127.0.0.1:${upstream}`;
  const targets: Target[] = [
    {
      name: "gateway",
      port: await startNode(["services/gateway/main.ts"], gatewayEnvironment(url), children),
    },
    {
      name: "bare Express + undici",
      port: await startNode(["test/bench/gateway/bare-proxy.ts", url], {}, children),
    },
  ];
  if (!(await onPath("nginx", "-v"))) return { targets, missing: ["nginx"] };
  targets.push({ name: "nginx", port: await startNginx(folder, upstream, children) });
  return { targets, missing: [] };
}

function gatewayEnvironment(url: string): Record<string, string> {
  const sha256 = createHash("sha256").update(KEY).digest("hex");
  return {
    GATEWAY_COLOR: "blue",
    GATEWAY_RELEASE: "bench",
    GATEWAY_MODELS: JSON.stringify([{ name: "bench", task: "chat", replicas: [{ url }] }]),
    GATEWAY_KEYS: JSON.stringify([{ id: "bench", tenant: "bench", sha256 }]),
  };
}

/** Starts one of our programs and waits for the line that names its port. */
async function startNode(
  args: string[],
  env: Record<string, string>,
  children: ChildProcess[],
): Promise<number> {
  const child = spawn(process.execPath, args, {
    cwd: new URL("../..", import.meta.url),
    env: { PATH: process.env.PATH, NODE_ENV: "production", ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  children.push(child);
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    const { port } = JSON.parse(line) as { port?: number };
    if (port === undefined) continue;
    // Its further log is read and thrown away, as a log collector would.
    child.stdout.resume();
    return port;
  }
  throw new Error(`${args[0]} ended before it listened`);
}

async function startNginx(folder: string, upstream: number, children: ChildProcess[]): Promise<number> {
  const port = await freePort();
  const file = join(folder, "nginx.conf");
  await writeFile(
    file,
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr error;
     events { worker_connections 1024; }
     http {
       access_log off; keepalive_requests 1000000;
       client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy;
       fastcgi_temp_path ${folder}/f; uwsgi_temp_path ${folder}/u; scgi_temp_path ${folder}/s;
       upstream model { server 127.0.0.1:${upstream}; keepalive ${CONNECTIONS * 2}; keepalive_requests 1000000; }
       server {
         listen 127.0.0.1:${port};
         location / { proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
       }
     }`,
  );
  children.push(spawn("nginx", ["-c", file, "-p", folder], { stdio: ["ignore", "ignore", "inherit"] }));
  await answers(port);
  return port;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function answers(port: number): Promise<void> {
  const limit = Date.now() + START_LIMIT_MS;
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${port}/`).catch(() => undefined);
    if (response) return;
    if (Date.now() > limit) throw new Error(`nothing answers on port ${port}`);
    await wait(50);
  }
}

async function measure({ name, port }: Target, mode: Mode, folder: string): Promise<GatewayBenchRow> {
  const script = join(folder, `${mode}.lua`);
  const body = JSON.stringify({
    model: "bench",
    messages: [{ role: "user", content: "How do I keep a model warm?" }],
    ...(mode === "stream" ? { stream: true, stream_options: { include_usage: true } } : {}),
  });
  await writeFile(
    script,
    `wrk.method = "POST"
     wrk.body = [[${body}]]
     wrk.headers["Content-Type"] = "application/json"
     wrk.headers["Authorization"] = "Bearer ${KEY}"
     function done(summary, latency)
       io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"p50":%f,"p99":%f}\\n',
         summary.requests, summary.duration, summary.errors.status + summary.errors.connect + summary.errors.read
         + summary.errors.write + summary.errors.timeout, latency:percentile(50), latency:percentile(99)))
     end`,
  );
  const load = (seconds: number) =>
    run("wrk", ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "-s", script, `http://127.0.0.1:${port}${PATH}`]);
  await load(WARM_UP_SECONDS);
  const { stdout } = await load(SECONDS);
  const result = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Record<
    "requests" | "us" | "errors" | "p50" | "p99",
    number
  >;
  return {
    target: name,
    mode,
    requestsPerSecond: (result.requests / result.us) * 1e6,
    p50Ms: result.p50 / 1000,
    p99Ms: result.p99 / 1000,
    errors: result.errors,
  };
}

async function onPath(command: string, flag: string): Promise<boolean> {
  return run(command, [flag]).then(
    () => true,
    // A program that runs and then fails is there: wrk -v exits with 1.
    (error: { code?: unknown }) => error.code !== "ENOENT",
  );
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, "exit");
  child.kill("SIGKILL");
  await gone;
}
