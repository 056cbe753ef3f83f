/** What a parser of one wire style offers. See reference: the providers' own API documentation. */
import type { Derived } from '../derived.ts'
import type { Head } from './http-head.ts'

export type Found = Partial<Omit<Derived, 'gen_ai.provider.name' | 'usageSource' | 'cost' | 'unparsed'>>

export interface Stream {
  /** @returns whether the event has output of the model in it: text, reasoning, a tool's arguments. */
  event(data: unknown): boolean
  /** May be asked at any time, also after an abort. */
  found(): Found
}

export interface WireStyle {
  request(body: unknown): Found
  /** From the body of a response that is no stream. */
  response(body: unknown): Found
  stream(): Stream
  /** What the response's own header fields say, where they do. */
  head?(head: Head): Found
}
