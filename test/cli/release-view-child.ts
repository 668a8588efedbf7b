import { createView } from "../../cli/release-view.ts";

/** A view on this process's terminal that ends as the argument says. */
const [how] = process.argv.slice(2);
const view = createView({ stream: process.stdout });
view.show({
  at: "2026-11-21T08:00:00Z",
  stage: "stage 2 of 4",
  weights: { blue: 75, green: 25 },
  colors: {},
});
if (how === "end") view.end();
else if (how === "exit") process.exit(1);
else process.kill(process.pid, how as NodeJS.Signals);
if (how !== "end") setInterval(() => {}, 1000);
