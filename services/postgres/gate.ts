/** Lets one connection at a time use the database, in the order of asking. */
export class Gate {
  #owner: object | undefined;
  readonly #waiting: { readonly who: object; readonly enter: () => void }[] = [];

  /** Waits until the database is free; at once for who holds it already. */
  async enter(who: object): Promise<void> {
    if (this.#owner === undefined) this.#owner = who;
    if (this.#owner === who) return;
    await new Promise<void>((enter) => this.#waiting.push({ who, enter }));
  }

  leave(who: object): void {
    if (this.#owner !== who) return;
    const next = this.#waiting.shift();
    this.#owner = next?.who;
    next?.enter();
  }

  isHeldBy(who: object): boolean {
    return this.#owner === who;
  }
}
