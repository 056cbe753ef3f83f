/** What a parser of one wire style offers. See reference: the providers' own API documentation. */
import type { Derived } from '../record.ts'

export type Found = Partial<Omit<Derived, 'gen_ai.provider.name' | 'usageSource' | 'unparsed'>>

export interface WireStyle {
  /** From the body of a response that is no stream. */
  response(body: unknown): Found
  /** A reader of a stream's events; `found` may be asked at any time, also after an abort. */
  stream(): { event(data: unknown): void; found(): Found }
}
