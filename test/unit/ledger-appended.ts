/** Leaf `number` of the run: of the size of a real record, now and then empty or long, no two alike. */
export function leafOf(run: number, number: number): Buffer {
  const length = number % 100 === 99 ? 20_000 : number % 50 === 49 ? 0 : 900 + ((number * 37) % 700)
  return Buffer.from(`${run} ${number} ${'.'.repeat(length)}`)
}
