import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Stands between a gateway and its database: counts what goes through, until it is cut. */
export async function startRelay(target: string) {
  const to = new URL(target);
  const sockets = new Set<Socket>();
  let sent = "";
  let isCut = false;
  let fatal: string | undefined;
  let broken = 0;
  const server = createServer((client) => {
    sockets.add(client.on("error", () => undefined));
    // Accepted and never answered.
    if (isCut) return;
    const upstream = connect(Number(to.port), to.hostname);
    sockets.add(upstream.on("error", () => undefined));
    client.on("data", (data) => {
      sent += data.toString("latin1");
      if (fatal !== undefined && data.includes(fatal)) {
        fatal = undefined;
        broken += 1;
        client.resetAndDestroy();
        return;
      }
      if (!isCut) upstream.write(data);
    });
    upstream.on("data", (data) => {
      if (!isCut) client.write(data);
    });
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const own = new URL(target);
  own.port = String((server.address() as AddressInfo).port);
  return {
    url: own.href,
    cut: () => {
      isCut = true;
    },
    /** Breaks the next connection on which this is sent to the database. */
    breakAt: (text: string) => {
      fatal = text;
    },
    get broken() {
      return broken;
    },
    seen: (text: string) => sent.split(text).length - 1,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
