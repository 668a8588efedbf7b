/** A point in pixels; a y of null is a gap in the line. */
export interface Point {
  x: number;
  y: number | null;
}

/** Points by the column of pixels that they lie in. */
function columns(points: readonly Point[]): Point[][] {
  const found: Point[][] = [];
  let current: number | undefined;
  for (const point of points) {
    const column = Math.floor(point.x);
    if (column !== current) found.push([]);
    found.at(-1)?.push(point);
    current = column;
  }
  return found;
}

const known = (point: Point): point is { x: number; y: number } => point.y !== null;

/** First, last, lowest and highest point of a column: a line through them covers what one through all would. */
function extremes(column: readonly Point[]): Set<Point | undefined> {
  const points = column.filter(known);
  const lowest = points.reduce(
    (best, point) => (point.y < best.y ? point : best),
    points[0] ?? { x: 0, y: 0 },
  );
  const highest = points.reduce((best, point) => (point.y > best.y ? point : best), lowest);
  return new Set<Point | undefined>([points[0], lowest, highest, points.at(-1)]);
}

/** Leaves out what no pixel could show: no extreme is lost, and no gap is closed. */
export function downsample(points: readonly Point[]): Point[] {
  const kept: Point[] = [];
  for (const column of columns(points)) {
    const wanted = extremes(column);
    for (const point of column) {
      const gap = point.y === null && kept.at(-1)?.y !== null;
      if (gap || wanted.has(point)) kept.push(point);
    }
  }
  return kept;
}
