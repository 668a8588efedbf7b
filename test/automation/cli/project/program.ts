import { existsSync } from "node:fs";
import path from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { Process, portPlaceholder } from "../../../../providers/process/resource.ts";
import { Secret } from "../../../../providers/secret/resource.ts";

/** Listens as soon as the file exists that its first argument names. */
const SERVER = `
  const { existsSync } = require("node:fs");
  console.log("waiting");
  const timer = setInterval(() => {
    if (!existsSync(process.argv[1])) return;
    clearInterval(timer);
    require("node:net").createServer().listen(Number(process.env.PORT), "127.0.0.1");
  }, 20);
`;

/** A key, a process that gets it, and what the configuration asks for besides. */
export default async function program() {
  const config = new pulumi.Config("trial");
  const folder = config.require("folder");
  const password = config.requireSecret("password");
  const key = new Secret("key", { prefix: "key-" }, { protect: true });
  const server = new Process("server", {
    command: ["node", "-e", SERVER, path.join(folder, "open")],
    environment: { KEY: key.value, PASSWORD: password },
    ports: { PORT: 0 },
    healthUrl: `tcp://127.0.0.1:${portPlaceholder("PORT")}`,
    logFile: path.join(folder, "server.log"),
    pidDir: path.join(folder, "pids"),
    drainSeconds: 1,
    // Longer than any test: what ends it earlier is an interrupt.
    startSeconds: 600,
  });
  if (existsSync(path.join(folder, "leak"))) {
    pulumi.all([key.value, password]).apply(async (texts) => {
      await pulumi.log.warn(`trying ${texts.join(" and ")}`);
      throw new Error(`cannot use ${texts.join(" and ")}`);
    });
  }
  if (existsSync(path.join(folder, "warn"))) await pulumi.log.warn("the disk is nearly full", server);
  const settings = config.getObject("settings");
  return { key: key.value, password, pid: server.pid, settings, variable: process.env.TRIAL_VARIABLE };
}
