/**
 * The strings, numbers and other values that are no lists or objects, however deep they lie: clients nest as deep as
 * they like, and a function that called itself for each level would run out of stack.
 * @param skip whether an object is not looked into, but given as it is
 */
export function* leavesOf(root: unknown, skip: (value: object) => boolean = () => false): Generator<unknown> {
  const left: unknown[] = [root];
  while (left.length > 0) {
    const value = left.pop();
    if (typeof value !== "object" || value === null || skip(value)) yield value;
    else for (const part of Object.values(value)) left.push(part);
  }
}
