import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { portPlaceholder } from "../../../providers/process/placeholders.ts";
import { reservePorts } from "../../../providers/process/ports.ts";
import { Bench, environmentOf, failure, pidOf, portOf, urnOf } from "../support.ts";

let bench: Bench;
let servers: Server[];
beforeEach(() => {
  bench = new Bench();
  servers = [];
});
afterEach(async () => {
  bench.close();
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
});

/** Occupies a port, any free one by default. */
async function occupy(port = 0): Promise<number> {
  const server = createServer((socket) => socket.destroy());
  servers.push(server);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

describe("ports of a process", () => {
  test("create, when a fixed port is in use, then the error names port, variable, holder and remedy", async () => {
    const port = await occupy();
    const { message } = await failure(bench.create(bench.inputs({ ports: { PORT: port } })));
    expect(message).toContain(`port ${port} (PORT) is in use`);
    expect(message).toContain("choose another port for PORT");
    if (process.platform === "linux") expect(message).toContain(`by process ${process.pid} (`);
    expect(existsSync(bench.logFile)).toBe(false);
  });

  test("create, when the process died and its fixed port is taken, then not even its pid file remains", async () => {
    const { healthUrl: _, ...inputs } = bench.inputs({ ports: {} }, "setInterval(() => {}, 1000)");
    await bench.kill(await bench.create(inputs));
    await failure(bench.create({ ...inputs, ports: { PORT: await occupy() } }));
    expect(bench.pids()).toEqual([]);
    expect(readdirSync(bench.pidDir)).toEqual([]);
  });

  test("create, with a fixed port that is free, then the process gets it", async () => {
    const port = await occupy();
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(portOf(await bench.create(bench.inputs({ ports: { PORT: port } })))).toBe(port);
  });

  test("create, of several processes at once, then each gets ports of its own", async () => {
    const names = ["a", "b", "c", "d"];
    const ports = { PORT: 0, OTHER: 0 };
    const all = await Promise.all(
      names.map((name) => bench.create(bench.inputs({ ports }), urnOf("platform:process:Process", name))),
    );
    const picked = all.flatMap((outs) => [portOf(outs), portOf(outs, "OTHER")]);
    expect(new Set(picked).size).toBe(8);
  });

  test("reservePorts, twice with the same preference, then only the first gets it until it lets go", async () => {
    const port = await occupy();
    await new Promise((resolve) => servers.pop()?.close(resolve));
    const reserve = () => reservePorts({ PORT: 0 }, { PORT: port });
    const one = await reserve();
    const two = await reserve();
    expect(one.ports.PORT).toBe(port);
    expect(two.ports.PORT).not.toBe(port);
    for (const { release } of [one, two]) release();
    const again = await reserve();
    expect(again.ports.PORT).toBe(port);
    again.release();
  });

  test("create, of two processes of the same name in different components, then neither replaces the other", async () => {
    const one = await bench.create(bench.inputs(), urnOf("platform:process:Process", "web"));
    const two = await bench.create(bench.inputs(), urnOf("components:Other$platform:process:Process", "web"));
    expect(bench.pids().sort()).toEqual([pidOf(one), pidOf(two)].sort());
  });

  test("create, when the last port is taken, then another one is picked", async () => {
    const before = await bench.create();
    await bench.kill(before);
    await occupy(portOf(before));
    const healed = await bench.create();
    expect(portOf(healed)).not.toBe(portOf(before));
    expect(await environmentOf(healed)).toMatchObject({ PORT: String(portOf(healed)) });
  });

  test("create, when a picked port is taken before the process binds it, then it starts on another", async () => {
    const before = await bench.create();
    await bench.kill(before);
    const loses = `
      if (process.env.PORT === process.env.TAKEN) throw new Error("listen EADDRINUSE: address already in use");
      require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1");
    `;
    const outs = await bench.create(bench.inputs({ environment: { TAKEN: String(portOf(before)) } }, loses));
    expect(bench.log()).toContain("EADDRINUSE");
    expect(portOf(outs)).not.toBe(portOf(before));
    expect(bench.pids()).toEqual([pidOf(outs)]);
  });

  // Elsewhere than on Linux, the system does not tell who listens.
  test.runIf(process.platform === "linux")(
    "create, when the health URL is answered by another program, then it does not count as healthy",
    async () => {
      const impostor = `
      const { spawn } = require("node:child_process");
      const server = 'require("node:http").createServer((request, response) => response.end()).listen(process.env.PORT, "127.0.0.1")';
      spawn(process.execPath, ["-e", server, process.argv[1]], { detached: true, stdio: "ignore" }).unref();
      setInterval(() => {}, 1000);
    `;
      const { message } = await failure(bench.create(bench.inputs({}, impostor)));
      expect(message).toMatch(/port \d+ \(PORT\) is in use by process \d+/);
    },
  );

  test("create, with placeholders, then command, environment and health URL get the port", async () => {
    const port = portPlaceholder("PORT");
    const script = `require("node:http").createServer((request, response) => response.end(JSON.stringify({ ...process.env, ARGUMENT: process.argv[2] })))
      .listen(process.argv[2], "127.0.0.1")`;
    const environment = { SELF: `http://127.0.0.1:${port}/v1`, OTHER: portPlaceholder("UNKNOWN") };
    const command = [process.execPath, "-e", script, bench.marker, port];
    const outs = await bench.create(bench.inputs({ command, environment }));
    const picked = portOf(outs);
    expect(await environmentOf(outs)).toMatchObject({
      ARGUMENT: String(picked),
      SELF: `http://127.0.0.1:${picked}/v1`,
      OTHER: portPlaceholder("UNKNOWN"),
    });
  });
});
