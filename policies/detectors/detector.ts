/** What finds content of one kind in text. Each takes time linear in the text: it may be anybody's. */
export interface Match {
  readonly start: number
  readonly end: number
  /** What was found, in records and markers: `openai-key`, `email`, the name of one's own pattern. */
  readonly kind: string
}

export type Detector = (text: string) => Iterable<Match>

/** What stands in the place of what was found; safe within JSON strings. */
export const marker = (kind: string): string => `[redacted:${kind}]`
