/** What rules may know of one request, whatever protocol it came by. */

import type { OwnDetectors } from './detectors/detect.ts'
import type { Identity } from './named-agents.ts'
import type { BodyContent } from './request-content.ts'
import type { Truth } from './truth.ts'

export type BodyFacts =
  /** More of it is to come. @param declared its length, where the head says it */
  | { readonly state: 'awaited'; readonly declared?: number | undefined }
  /** It can't be looked into: too long, undecodable, what follows an upgrade. `size` is how much there is at least. */
  | { readonly state: 'unreadable'; readonly why: string; readonly size: number; readonly whole: boolean }
  | { readonly state: 'read'; readonly size: number; readonly content: BodyContent }

export interface ExchangeFacts {
  /** The validated name, lower case. */
  readonly name: string
  /** Id of the provider. */
  readonly provider: string
  /** The original destination. */
  readonly address: string
  readonly port: number
  readonly agent: Identity
  /** More about the agent is on its way. */
  readonly agentPending: boolean
  readonly method: string
  /** Methods that fields say in its place, which Google's servers go by. */
  readonly overrides?: readonly string[] | undefined
  /** As sent. */
  readonly target: string
  /** OpenTelemetry's names of what the path asks for, in each way to read it; and the models that path and query name. */
  readonly operations: readonly string[]
  readonly pathModels: readonly string[]
  readonly body: BodyFacts
  /** Of an exchange that is over: whether detectors find something in the answer. */
  readonly answer?: ((own: OwnDetectors, names: readonly string[]) => Truth) | undefined
  /** Why the body can't be changed on the wire, where that is so: it is signed. */
  readonly fixed?: string | undefined
}
