/** What an examination gives, and what all of a worker's hold together. */
export interface Judged {
  readonly action: 'allow' | 'block' | 'redact'
  /** `POLICY/RULE` for the record; absent where the rule that decided was not asked about the request. */
  readonly rule?: string
  /** Kinds of content found, and what could not be told, where that decided. */
  readonly found?: readonly string[]
  readonly unknown?: readonly string[]
  /** `redact`: what goes out in the body's place, without a content coding. */
  readonly body?: Buffer
}

/** Held by all examinations of a worker. */
export interface Holding {
  bytes: number
}
