/** First in, first out, at the same cost however long it is: one that can be made long must not be slow then. */
export class Queue<Item> {
  #items: (Item | undefined)[] = []
  #at = 0

  get empty(): boolean {
    return this.#at === this.#items.length
  }

  get first(): Item | undefined {
    return this.#items[this.#at]
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  /** @param rest stands in the place of the first one, where something of it is left */
  next(rest: Item | undefined): void {
    this.#items[this.#at] = rest
    if (rest !== undefined) return
    this.#at += 1
    if (!this.empty) return
    this.#items = []
    this.#at = 0
  }
}
