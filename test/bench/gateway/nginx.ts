import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ANSWER } from "./answer.ts";
import type { Ground } from "./gateways.ts";
import { freePort, type Started } from "./processes.ts";
import { CONNECTIONS } from "./wrk.ts";

// So that no connection is closed while it is measured.
const ENDLESS = "keepalive_requests 100000000; keepalive_timeout 3600s;";

/** A plain proxy: one process, keep-alive towards the model, nothing buffered, nothing logged. */
export async function startNginxProxy(ground: Ground, upstream: Started): Promise<Started> {
  return start(ground, (port) => [
    `upstream model { server 127.0.0.1:${upstream.port}; keepalive ${CONNECTIONS * 2}; keepalive_requests 100000000; }`,
    `server { listen 127.0.0.1:${port}; location / { proxy_pass http://model; proxy_http_version 1.1;`,
    `proxy_set_header Connection ""; proxy_buffering off; } }`,
  ]);
}

/** A model that answers every request at once with the same chat, many times faster than any proxy passes it on. */
export async function startNginxModel(ground: Ground): Promise<Started> {
  return start(ground, (port) => [
    "default_type application/json;",
    `server { listen 127.0.0.1:${port}; location / { return 200 '${ANSWER}'; } }`,
  ]);
}

async function start(
  { processes, folder: parent }: Ground,
  toHttp: (port: number) => string[],
): Promise<Started> {
  const port = await freePort();
  const folder = join(parent, `nginx-${port}`);
  await mkdir(folder, { recursive: true });
  const file = join(folder, "nginx.conf");
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${folder}/${name};`,
  );
  const lines = [
    `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr error;`,
    "events { worker_connections 1024; }",
    `http { access_log off; ${ENDLESS} ${temporary.join(" ")}`,
    ...toHttp(port),
    "}",
  ];
  await writeFile(file, lines.join("\n"));
  return processes.program(["nginx", "-c", file, "-p", folder], port);
}
