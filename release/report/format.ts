/** A figure as it is read from a sample: null and undefined are unknown. */
export type Figure = number | null | undefined;

export const UNKNOWN = "–";

const written = (figure: Figure, write: (known: number) => string): string =>
  typeof figure === "number" && Number.isFinite(figure) ? write(figure) : UNKNOWN;

/** A share from 0 to 1 as percent. A share that is not 0 never reads as 0 %, one below 1 never as 100 %. */
export function percent(share: Figure): string {
  return written(share, (known) => {
    const value = known * 100;
    if (value > 0 && value < 0.01) return "<0.01 %";
    if (value < 100 && value >= 99.995) return ">99.99 %";
    return `${Number(value.toFixed(2))} %`;
  });
}

/** Seconds, as milliseconds below one. */
export function seconds(figure: Figure): string {
  return written(figure, (known) => {
    const milliseconds = Number((known * 1000).toFixed(known < 0.01 ? 1 : 0));
    return milliseconds < 1000 ? `${milliseconds} ms` : `${known.toFixed(2)} s`;
  });
}

/** Requests a second. */
export const perSecond = (figure: Figure): string =>
  written(figure, (known) => known.toFixed(known < 100 ? 1 : 0));

/** A score from 0 to 1, cut and not rounded: one just below its gate does not read as one that passes. */
export const score = (figure: Figure): string =>
  written(figure, (known) => (Math.floor(known * 1000 + 1e-9) / 1000).toFixed(3));

export const count = (figure: Figure): string => written(figure, String);

/** Such as "12.3 s", "5 min 12 s", "2 h 5 min". */
export function elapsed(milliseconds: number): string {
  return written(milliseconds, (known) => {
    if (known < 60_000) return `${(Math.floor(known / 100) / 10).toFixed(1)} s`;
    const whole = Math.floor(known / 1000);
    const minutes = Math.floor(whole / 60);
    if (minutes < 60) return `${minutes} min ${whole % 60} s`;
    return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  });
}

/** A moment to the second, such as "2026-11-21 10:05:30 UTC"; what is no moment is unknown. */
export function moment(at: string | number): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return UNKNOWN;
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
