export type Ports = Readonly<Record<string, number>>;

const PLACEHOLDER = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** Stands for the port that the process gets in this environment variable. */
export function portPlaceholder(variable: string): string {
  return `\${${variable}}`;
}

/** The names in a text's `${NAME}` placeholders. */
export function placeholders(template: string): string[] {
  return [...template.matchAll(PLACEHOLDER)].flatMap((match) => match[1] ?? []);
}

/** Replaces `${NAME}` by that port; other placeholders stay, as they may mean something to the process. */
export function fillPorts(template: string, ports: Ports): string {
  return template.replace(PLACEHOLDER, (whole, name: string) =>
    Object.hasOwn(ports, name) ? String(ports[name]) : whole,
  );
}
