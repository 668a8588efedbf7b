// The least that Express and undici need to pass a request on: no key, no check, no metric, no log.
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import express, { type NextFunction, type Request, type Response } from "express";
import { Pool } from "undici";

const pool = new Pool(process.argv[2] ?? "", { pipelining: 1 });
const app = express();

app.post("/v1/chat/completions", async (incoming, outgoing) => {
  const { statusCode, headers, body } = await pool.request({
    path: incoming.url,
    method: "POST",
    headers: { "content-type": "application/json" },
    body: incoming,
  });
  outgoing.writeHead(statusCode, { "content-type": String(headers["content-type"]) });
  await pipeline(body, outgoing);
});

// Clients that leave in the middle are no news.
app.use((_error: unknown, _incoming: Request, outgoing: Response, _next: NextFunction) => {
  outgoing.destroy();
});

const server = app.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
