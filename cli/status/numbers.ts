/** 1,204 */
export const grouped = (count: number | bigint): string => count.toLocaleString('en')

/** 1 record, 1,204 records. */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${grouped(count)} ${count === 1 ? one : many}`
