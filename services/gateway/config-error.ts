/** One setting that cannot be used. Never holds the setting's value. */
export interface ConfigProblem {
  readonly field: string;
  readonly problem: string;
  readonly remedy: string;
}

/** Every problem of the configuration at once. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(({ field, problem, remedy }) => `${field} ${problem}: ${remedy}`).join("\n"));
    this.problems = problems;
  }
}
