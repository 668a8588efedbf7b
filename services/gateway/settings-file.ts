import { type StatsListener, unwatchFile, watchFile } from "node:fs";
import { ENV } from "./contract.ts";
import { warnOfUnpriced } from "./cost/unpriced.ts";
import type { Gateway } from "./exchange.ts";
import { problemsOfRouting } from "./routing/check.ts";
import { readSettings } from "./settings.ts";
import { problemsOfUsers } from "./telemetry/users-check.ts";

const LOOK_MS = 1_000;

/** Watches the settings file: a change takes effect with the next request, one that is wrong changes nothing. */
export class SettingsFile {
  readonly #gateway: Gateway;
  readonly #onChange: StatsListener = () => this.reload();

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
    const { settingsFile } = gateway.config;
    // By looking at it: the file may be a link that is moved to another file, of which no event tells.
    if (settingsFile !== undefined)
      watchFile(settingsFile, { interval: LOOK_MS, persistent: false }, this.#onChange);
  }

  /** Reads the file now. */
  reload(): void {
    const { config, directory, log, metrics, models } = this.#gateway;
    const { settings, problems: wrong } = readSettings(config.settingsFile, ENV.settingsFile);
    const problems = settings
      ? [
          ...problemsOfRouting(settings, config, ENV.settingsFile),
          ...problemsOfUsers(settings, config.telemetryKey),
        ]
      : wrong;
    const isGood = settings !== undefined && problems.length === 0;
    metrics.settingsReloads.inc({ outcome: isGood ? "applied" : "refused" });
    for (const problem of problems) log.error({ event: "settings_refused", ...problem }, "settings refused");
    if (!isGood) return;
    models.apply(settings);
    this.#gateway.settings = settings;
    directory.apply(settings);
    warnOfUnpriced(this.#gateway);
    log.info({ event: "settings_applied" }, "settings applied");
  }

  close(): void {
    const { settingsFile } = this.#gateway.config;
    if (settingsFile !== undefined) unwatchFile(settingsFile, this.#onChange);
  }
}
