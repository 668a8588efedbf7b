import { TestPlatform } from "../local/support.ts";

export interface StartBenchRow {
  readonly what: string;
  readonly seconds: number;
}

/** Times `npm start` on a machine where nothing runs, where all runs, and after a stop, dependencies installed. */
export async function benchStart(): Promise<StartBenchRow[]> {
  const platform = new TestPlatform();
  const timed = async (what: string): Promise<StartBenchRow> => {
    const begin = performance.now();
    const { code, stderr } = await platform.start();
    if (code !== 0) throw new Error(`npm start failed: ${stderr}`);
    return { what, seconds: (performance.now() - begin) / 1000 };
  };
  try {
    const cold = await timed("cold: no state, nothing runs");
    const unchanged = await timed("unchanged: everything runs");
    await platform.run("stop");
    return [cold, unchanged, await timed("warm: data and keys exist, nothing runs")];
  } finally {
    await platform.close();
  }
}

export function printStartBench(rows: StartBenchRow[]): void {
  console.log("npm start");
  for (const { what, seconds } of rows)
    console.log(`  ${what.padEnd(42)} ${seconds.toFixed(1).padStart(5)} s`);
}
