/** One finding of a check: what is stored is not what was written. */
export interface Damage {
  /** Relative to the log's directory. */
  readonly file: string
  /** Byte where the damage begins, or where the smallest damaged unit does. */
  readonly offset?: number
  readonly what: string
}
