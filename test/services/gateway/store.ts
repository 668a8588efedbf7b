import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";

/** Speaks just enough of Redis's protocol for a connection and its pings, until it falls silent. */
export class Store {
  silent = false;
  port = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket.on("error", () => undefined));
      socket.on("data", (data) => {
        const commands = data.toString().match(/^\*\d+\r$/gm)?.length ?? 0;
        if (!this.silent) socket.write("+PONG\r\n".repeat(commands));
      });
    });
  }

  /** How many connections were made so far. */
  get connections(): number {
    return this.#sockets.size;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    const address = this.#server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
