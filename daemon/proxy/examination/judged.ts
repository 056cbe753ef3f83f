/** What an examination gives, and what all of a worker's hold together. */
export interface Judged {
  readonly action: 'allow' | 'block' | 'redact'
  /** Of the policy that judged. */
  readonly hash: string
  /** `POLICY/RULE` for the record; absent where the rule that decided was not asked about the request. */
  readonly rule?: string
  /** Kinds of content found, and what could not be told, where that decided. */
  readonly found?: readonly string[]
  readonly unknown?: readonly string[]
  /** A WebSocket's handshake: what the rules ask for stands in its messages. */
  readonly undecided?: true
  /** The model that a WebSocket's message names: those after it are meant for that, too. */
  readonly model?: string
  /** `redact`: what goes out in the body's place, without a content coding. */
  readonly body?: Buffer
}

/** Held by all of a worker's requests: those that wait for their verdict, and those that wait for their provider after it. */
export interface Holding {
  bytes: number
}

/** What a part of a body takes beside its bytes: a body in frames of one byte each takes a thousand times its size. */
const PART = 512

/** What holding a part of a body counts. */
export const weightOf = (part: Buffer): number => part.length + PART
