import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { linuxStat } from "./identity.ts";

const LISTENING = "0A";
const SHOWN_LENGTH = 120;

/** " by process 42 (node server.js)" where the system tells, else how to find out. */
export function describeHolder(port: number): string {
  const pid = portHolder(port);
  if (pid !== undefined) return ` by process ${pid} (${commandOf(pid)})`;
  return ` (lsof -nP -iTCP:${port} -sTCP:LISTEN shows by what)`;
}

/** Whether a process outside this session listens on the port; false where the system does not tell. */
export function isHeldOutside(port: number, session: number): boolean {
  const pid = portHolder(port, session);
  return pid !== undefined && linuxStat(pid)?.[3] !== String(session);
}

/** The process that listens on a port, undefined if there is none or the system does not tell. */
function portHolder(port: number, likely?: number): number | undefined {
  if (process.platform !== "linux") return undefined;
  const sockets = listeningSockets(port);
  if (sockets.size === 0) return undefined;
  if (likely !== undefined && holdsAny(likely, sockets)) return likely;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).find((pid) => holdsAny(pid, sockets));
}

function listeningSockets(port: number): Set<string> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const rows = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => linesOf(path));
  const matching = rows
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[3] === LISTENING && columns[1]?.endsWith(suffix));
  return new Set(matching.map((columns) => `socket:[${columns[9]}]`));
}

// A process may end, or belong to someone else, while its files are read: then it is not the answer.
function holdsAny(pid: number, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => sockets.has(linkOf(`/proc/${pid}/fd/${fd}`)));
  } catch {
    return false;
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    return [];
  }
}

// Later arguments may hold somebody's secrets: the first two are enough to recognise a program.
function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, 2);
    return words.join(" ").trim().slice(0, SHOWN_LENGTH);
  } catch {
    return "its command is hidden";
  }
}
