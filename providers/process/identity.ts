import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { errorCode, explain } from "./errors.ts";

/** A process of ours: its number, and what tells it from a later process with the same number. */
export interface ProcessRecord {
  readonly pid: number;
  readonly identity: string;
}

/**
 * What marks a living process for its whole life, undefined if there is none or only a zombie is left. On Linux it
 * is the boot and the kernel's tick at the start: neither a clock step nor a reboot can make two processes look alike.
 */
export function identityOf(pid: number): string | undefined {
  return process.platform === "linux" ? linuxIdentity(pid) : portableIdentity(pid);
}

export function isAlive({ pid, identity }: ProcessRecord): boolean {
  return pid > 0 && identityOf(pid) === identity;
}

/** Whether a dead process's group may still be its own: the number stays reserved while the group has members. */
export function mayHaveLeftGroup({ pid, identity }: ProcessRecord): boolean {
  return (
    pid > 0 &&
    process.platform === "linux" &&
    identity.startsWith(`${bootId()} `) &&
    identityOf(pid) === undefined
  );
}

/** Whether a process group has a member that is more than a zombie; what nobody collects may stay for ever. */
export function isGroupAlive(group: number): boolean {
  if (process.platform !== "linux") return signalGroup(group, 0);
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).some((pid) => {
    const stat = linuxStat(pid);
    return stat?.[2] === String(group) && !isZombie(stat);
  });
}

/** Whether there was a group to receive the signal. Some systems answer EPERM for one that holds zombies only. */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch (error) {
    if (errorCode(error) === "ESRCH" || errorCode(error) === "EPERM") return false;
    throw error;
  }
}

/** Fields of /proc/<pid>/stat from the third (state) on: the second, the name, may hold spaces and parentheses. */
export function linuxStat(pid: number): string[] | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, "utf8");
    return line.slice(line.lastIndexOf(")") + 2).split(" ");
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ESRCH") return undefined;
    throw error;
  }
}

function linuxIdentity(pid: number): string | undefined {
  const stat = linuxStat(pid);
  return stat === undefined || isZombie(stat) ? undefined : `${bootId()} ${stat[19]}`;
}

// A process whose first thread has ended shows as a zombie while the others still hold its ports.
function isZombie([state = "", ...rest]: readonly string[]): boolean {
  const threads = Number(rest[16]);
  return "ZX".includes(state) && threads <= 1;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

export function portableIdentity(pid: number): string | undefined {
  const env = { PATH: process.env.PATH, LC_ALL: "C", TZ: "UTC" };
  const { error, status, stdout } = spawnSync("ps", ["-o", "state=,lstart=", "-p", String(pid)], {
    env,
    encoding: "utf8",
  });
  if (error !== undefined) throw explain("cannot run ps, by which processes are watched", error);
  const [state = "", ...start] = stdout.trim().split(/\s+/);
  return status !== 0 || state === "" || state.startsWith("Z") ? undefined : start.join(" ");
}
