/** 1,204 */
export const grouped = (count: number | bigint): string => count.toLocaleString('en')

/** 1 record, 1,204 records. */
export const counted = (count: number | bigint, one: string, many = `${one}s`): string =>
  `${grouped(count)} ${BigInt(count) === 1n ? one : many}`
