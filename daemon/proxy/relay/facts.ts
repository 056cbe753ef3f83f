/** What is known of a connection before any HTTP was read on it, and what the worker's parts share. */
import type { Provider } from '../../../policies/catalogue-schema.ts'
import type { Agent, Endpoint } from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import type { Fingerprint } from '../credentials/fingerprint.ts'
import type { Deadlines } from '../deadlines.ts'
import type { Directory } from '../names/directory.ts'
import { recordId } from '../record-id.ts'
import type { RecorderLink } from '../recorder-link.ts'
import type { Providers } from '../upstream/providers.ts'

/** Of the catalogue's entry, what the proxy needs. */
export type GovernedProvider = Pick<Provider, 'id' | 'telemetryName' | 'style' | 'keepBodies' | 'paths'>

export interface ConnectionFacts {
  readonly agent: Agent
  readonly client: Endpoint
  readonly originalDestination: Endpoint
}

/** A connection that is to be intercepted. */
export interface Governed extends ConnectionFacts {
  /** The validated name, lower case. */
  readonly name: string
  readonly tls: boolean
  readonly provider: GovernedProvider
  readonly rule: string
}

/** Since the worker's start, but for `connections`: those open now. */
export interface Counters {
  connections: number
  exchanges: number
  spliced: number
  refused: number
  failed: number
}

/** One per worker. */
export interface Shared {
  readonly deadlines: Deadlines
  readonly recorder: RecorderLink
  readonly providers: Providers
  readonly directory: Directory
  readonly fingerprint: Fingerprint
  /** Hold a request's last bytes back until it is on disk. */
  readonly holdBack: boolean
  readonly policyHash: string
  readonly counters: Counters
}

/** Longest name and reason that go into a record: its leaf is 4 KiB. */
const MAX_NAME = 255
const MAX_REASON = 1000

/** Records a refused connection as evidence. @param reason no header values */
export function recordRefusal(
  shared: Shared,
  facts: ConnectionFacts & { readonly name?: string | undefined },
  rule: string,
  reason: string,
): void {
  shared.counters.refused += 1
  shared.recorder.refuse({
    id: recordId(now()),
    rule,
    reason: reason.slice(0, MAX_REASON),
    agent: facts.agent,
    client: facts.client,
    originalDestination: facts.originalDestination,
    ...(facts.name === undefined ? {} : { serverName: facts.name.slice(0, MAX_NAME) }),
    policy: { hash: shared.policyHash },
  })
}
