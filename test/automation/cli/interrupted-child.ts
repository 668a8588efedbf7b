import { RunFailed } from "../../../automation/index.ts";
import { Trial } from "./trial.ts";

/** Brings the trial in the given folder up, and ends the run at the first interrupt, as our commands do. */
const controller = new AbortController();
process.once("SIGINT", () => controller.abort());
const trial = new Trial(process.argv[2]);
const failure = await trial
  .stack()
  .up({ signal: controller.signal })
  .catch((error: unknown) => error);
console.log(JSON.stringify({ problems: failure instanceof RunFailed ? failure.problems : [] }));
