import { type ChildProcess, type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  identityOf,
  isAlive,
  isGroupAlive,
  portableIdentity,
  signalGroup,
} from "../../../providers/process/identity.ts";
import { Bench, eventually, kill, pidOf } from "../support.ts";

let bench: Bench;
let stranger: ChildProcess;
beforeEach(async () => {
  bench = new Bench();
  stranger = spawn("sleep", ["600"], { detached: true, stdio: "ignore" });
  await once(stranger, "spawn");
});
afterEach(() => {
  stranger.kill("SIGKILL");
  bench.close();
});

/** A process that never collects its child, whose number it prints; the child ends when nobody else can collect it. */
function zombieKeeper(prefix: string): ChildProcessByStdio<null, Readable, null> {
  const child = 'until [ "$name" = sleep ]; do read -r name < /proc/$PPID/comm; done';
  const script = `${prefix} sh -c '${child}' & echo $!; exec sleep 600`;
  return spawn("sh", ["-c", script], { stdio: ["ignore", "pipe", "ignore"] });
}

function strangerPid(): number {
  return stranger.pid ?? 0;
}

/** A record of a process that ended, whose number the stranger has now. */
function reusedNumber(): { pid: number; identity: string } {
  const [boot = "", startTick = ""] = identityOf(strangerPid())?.split(" ") ?? [];
  return { pid: strangerPid(), identity: `${boot} ${Number(startTick) - 1}` };
}

function pidFile(): string {
  return join(bench.pidDir, readdirSync(bench.pidDir)[0] ?? "");
}

// Looks into /proc; elsewhere the portable way is the only one, and the other tests go through it.
describe.runIf(process.platform === "linux")("whose process it is", () => {
  test("create, when the pid file's number now belongs to another process, then that one is spared", async () => {
    const outs = await bench.create();
    const path = pidFile();
    const record = JSON.parse(readFileSync(path, "utf8"));
    await bench.provider.delete("id", bench.urn, outs);
    writeFileSync(path, JSON.stringify({ ...record, ...reusedNumber() }));
    await bench.create();
    expect(identityOf(strangerPid())).toBeDefined();
  });

  test("read and delete, when the state's number now belongs to another process, then it is gone and spared", async () => {
    const outs = await bench.create();
    await bench.kill(outs);
    const reused = { ...outs, ...reusedNumber() };
    expect(await bench.isThere(reused)).toBe(false);
    await bench.provider.delete("id", bench.urn, reused);
    expect(identityOf(strangerPid())).toBeDefined();
  });

  test("delete, when the pid was recorded before a reboot, then today's process is spared", async () => {
    const identity = identityOf(strangerPid());
    const before = `00000000-0000-0000-0000-000000000000 ${identity?.split(" ")[1]}`;
    const outs = await bench.create();
    const old = { ...outs, pid: strangerPid(), identity: before };
    expect(await bench.isThere(old)).toBe(false);
    await bench.provider.delete("id", bench.urn, old);
    expect(identityOf(strangerPid())).toBe(identity);
  });

  test("recover, when the pid file is damaged, then nothing is found and a create goes on", async () => {
    const outs = await bench.create();
    const path = pidFile();
    await bench.provider.delete("id", bench.urn, outs);
    writeFileSync(path, "{not json");
    expect(await bench.provider.recover(bench.urn, bench.inputs())).toBeUndefined();
    expect(bench.pids()).toEqual([]);
    await bench.create();
    expect(bench.pids()).toHaveLength(1);
  });

  test("recover, when the process hangs, then it is ended and nothing is recovered", async () => {
    const outs = await bench.create();
    process.kill(pidOf(outs), "SIGSTOP");
    expect(await bench.provider.recover(bench.urn, bench.inputs())).toBeUndefined();
    expect(bench.pids()).toEqual([]);
  });

  test("delete, when children outlive the process, then they are ended, but not if it ran before a reboot", async () => {
    const leader = spawn("sh", ["-c", "sleep 600 & echo $!; read -r go"], {
      detached: true,
      stdio: ["pipe", "pipe", "ignore"],
    });
    const [output] = await once(leader.stdout, "data");
    const child = Number(String(output));
    const identity = identityOf(leader.pid ?? 0) ?? "";
    leader.stdin.end();
    await once(leader, "exit");
    try {
      const outs = { ...(await bench.create()), pid: leader.pid };
      await bench.provider.delete("id", bench.urn, {
        ...outs,
        identity: identity.replace(/^[^ ]*/, "another-boot"),
      });
      expect(identityOf(child)).toBeDefined();
      await bench.provider.delete("id", bench.urn, { ...outs, identity });
      expect(identityOf(child)).toBeUndefined();
    } finally {
      kill(child, "SIGKILL");
    }
  });

  test("a group of zombies alone, then it does not count as alive", async () => {
    const parent = zombieKeeper("setsid");
    try {
      const [output] = await once(parent.stdout, "data");
      const zombie = Number(String(output));
      await eventually(() => readFileSync(`/proc/${zombie}/stat`, "utf8").includes(") Z "));
      expect(signalGroup(zombie, 0)).toBe(true);
      expect(isGroupAlive(zombie)).toBe(false);
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("a zombie, then it does not count as alive, by either way of looking", async () => {
    const parent = zombieKeeper("");
    try {
      const [output] = await once(parent.stdout, "data");
      const zombie = Number(String(output));
      await eventually(() => readFileSync(`/proc/${zombie}/stat`, "utf8").includes(") Z "));
      expect(identityOf(zombie)).toBeUndefined();
      expect(portableIdentity(zombie)).toBeUndefined();
    } finally {
      parent.kill("SIGKILL");
    }
  });

  test("the portable way of looking, then it tells a process from another and from none", async () => {
    const identity = portableIdentity(strangerPid());
    expect(identity).toBe(portableIdentity(strangerPid()));
    expect(identity).not.toBe(portableIdentity(1));
    stranger.kill("SIGKILL");
    await once(stranger, "exit");
    expect(portableIdentity(strangerPid())).toBeUndefined();
    expect(isAlive({ pid: strangerPid(), identity: identity ?? "" })).toBe(false);
  });
});
