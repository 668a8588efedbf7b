export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const CAUSES: Readonly<Record<string, string>> = {
  ENOSPC: "the disk is full: free some space",
  EDQUOT: "the disk quota is used up: free some space",
  EACCES: "permission is missing: give this user write access or choose another path",
  EPERM: "permission is missing: give this user write access or choose another path",
  EROFS: "the file system is read-only: choose another path",
  ENOTDIR: "a part of the path is a file, not a folder: choose another path",
  EISDIR: "the path is a folder: choose another path",
  EEXIST: "a part of the path is a file, not a folder: choose another path",
  EMFILE: "too many files are open: raise the limit (ulimit -n)",
  EAGAIN: "too many processes run: stop some or raise the limit (ulimit -u)",
  E2BIG: "command and environment together are longer than the system accepts: shorten them",
};

/** An error of the operating system in words, with the remedy where one is known. */
export function explain(what: string, error: unknown): Error {
  const code = errorCode(error);
  const cause = code === undefined ? undefined : CAUSES[code];
  const detail = error instanceof Error ? error.message : String(error);
  return new Error(`${what}: ${cause === undefined ? detail : `${cause} (${code})`}`, { cause: error });
}
