/** Ctrl-C, an orderly end, and the end of the terminal. */
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Turns Ctrl-C into an orderly end of what is under way; a second one ends the command at once.
 * @param tell says so, in a way that fits what is on the screen. Default: on standard error.
 */
export function interruptible(tell: (text: string) => void = (text) => console.error(`\n${text}`)): {
  signal: AbortSignal;
  done: () => void;
} {
  const controller = new AbortController();
  const interrupt = () => {
    if (controller.signal.aborted) process.exit(1);
    tell("Interrupted: ending what is under way ...");
    controller.abort();
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const done = () => {
    for (const signal of SIGNALS) process.off(signal, interrupt);
  };
  return { signal: controller.signal, done };
}
