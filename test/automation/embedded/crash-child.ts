/** Runs one operation and dies by SIGKILL at the n-th checkpoint: before or after any change of state or world. */
import { StateFile } from "../../../automation/embedded/state.ts";
import { DurableWorld, durableStack } from "./crash-world.ts";

const [folder = "", version = "", operation = "", dieAt = ""] = process.argv.slice(2);
let checkpoints = 0;
const checkpoint = () => {
  checkpoints += 1;
  if (checkpoints === Number(dieAt)) process.kill(process.pid, "SIGKILL");
};

const save = StateFile.prototype.save;
StateFile.prototype.save = function (...args) {
  checkpoint();
  save.apply(this, args);
  checkpoint();
};

const stack = durableStack(folder, version, new DurableWorld(folder, checkpoint));
await (operation === "destroy" ? stack.destroy() : stack.up());
