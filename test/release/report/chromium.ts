import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

const BROWSER = ["chromium", "chromium-browser", "google-chrome"].find(
  (name) => spawnSync(name, ["--version"]).status === 0,
);
/** Why there is no browser here; undefined where there is one. */
export const missing = BROWSER === undefined ? "no chromium on the PATH" : undefined;

export interface Look {
  scheme: "light" | "dark";
  width?: number;
}

/** The report in a frame: the page around it may run scripts, which the report itself forbids. */
const around = (
  document: string,
  width: number,
  question: string,
): string => `<!doctype html><meta charset="utf-8">
<iframe id="frame" style="border:0;width:${width}px;height:2000px"></iframe><pre id="answer"></pre><script>
const bytes = Uint8Array.from(atob("${Buffer.from(document).toString("base64")}"), (c) => c.charCodeAt(0));
const frame = window.frame;
frame.onload = () => {
  const answer = (${question})(frame.contentDocument, frame.contentWindow);
  window.answer.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(answer))));
};
frame.srcdoc = new TextDecoder().decode(bytes);
</script>`;

/**
 * What a browser answers about a document.
 * @param question source of a function of the document and its window
 */
export async function ask<T>(document: string, question: string, { scheme, width = 900 }: Look): Promise<T> {
  const folder = mkdtempSync(path.join(tmpdir(), "chromium-"));
  try {
    const page = path.join(folder, "page.html");
    writeFileSync(page, around(document, width, question));
    const args = [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", `--user-data-dir=${folder}/profile`],
      `--blink-settings=preferredColorScheme=${scheme === "dark" ? 0 : 1}`,
      pathToFileURL(page).href,
    ];
    const { stdout } = await promisify(execFile)(BROWSER ?? "chromium", args, {
      timeout: 50_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    const answer = /<pre id="answer">([^<]+)<\/pre>/u.exec(stdout)?.[1];
    if (answer === undefined) throw new Error(`chromium gave no answer: ${stdout.slice(0, 500)}`);
    return JSON.parse(Buffer.from(answer, "base64").toString("utf8")) as T;
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
