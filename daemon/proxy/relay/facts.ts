/** What is known of a connection before any HTTP was read on it, and what the worker's parts share. */
import type { Provider } from '../../../policies/catalogue-schema.ts'
import type { Policy } from '../../../policies/policy.ts'
import type { Agent, Endpoint } from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import type { Fingerprint } from '../credentials/fingerprint.ts'
import type { Deadlines } from '../deadlines.ts'
import type { Endings } from '../endings.ts'
import type { Holding, Judged } from '../examination/judged.ts'
import type { Holds } from '../holding/holds.ts'
import type { Directory } from '../names/directory.ts'
import type { Owner } from '../owners.ts'
import { recordId } from '../record-id.ts'
import type { RecorderLink } from '../recorder-link.ts'
import type { Refusers } from '../untouched/refusers.ts'
import type { Providers } from '../upstream/providers.ts'
import type { Report } from '../upstream/reach.ts'
import type { Vouching } from '../vouching/vouching.ts'

/** Of the catalogue's entry, what the proxy needs. */
export type GovernedProvider = Pick<Provider, 'id' | 'telemetryName' | 'style' | 'keepBodies' | 'paths'>

export interface ConnectionFacts {
  readonly agent: Agent
  /** While the supervisor looks for the process: `agent` grows when it has found it. */
  readonly owner?: Owner
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
  /** What the policy's rules said of the request; where they were asked. */
  readonly verdict?: Judged
  /** What else was noticed about the connection; goes into the record. */
  readonly flags?: readonly string[]
  /** A server on this machine that the policy names: it may be called by any name. */
  readonly local?: boolean
  /** Every request is recorded, whatever its shape: the host is in no catalogue, its address a provider's. */
  readonly everything?: boolean
  /** It is taken to where the agent meant to go, whatever the name: local servers, hosts in no catalogue. */
  readonly direct?: boolean
}

/** Since the worker's start, but for `connections`: those open now. */
export interface Counters {
  connections: number
  exchanges: number
  spliced: number
  refused: number
  failed: number
  /** Let through to somebody's proxy (CONNECT, SOCKS) and looked into. */
  tunnels: number
  /** Governed calls that went on although no record could be kept of them, as the policy has it. */
  unrecorded: number
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
  readonly policy: Policy
  /** Is it the name of a provider in the catalogue? */
  readonly governs: (name: string) => boolean
  readonly vouching: Vouching
  readonly refusers: Refusers
  readonly endings: Endings
  /** To be told of each upstream connection before anything is sent on it: the leak sensor knows it by that. */
  readonly dialled: Report
  readonly counters: Counters
  /** What is held of answers until their records are anchored. */
  readonly holds: Holds
  /** What is held of requests that wait for their verdict. */
  readonly holding: Holding
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
  recordLetThrough(shared, facts, rule, reason)
}

/** Records as evidence what was not refused, because the policy only records. @param reason says so; no header values */
export function recordLetThrough(
  shared: Shared,
  facts: ConnectionFacts & { readonly name?: string | undefined },
  rule: string,
  reason: string,
): void {
  const { owner } = facts
  const since = now()
  const send = () => sendRefusal(shared, facts, rule, reason, since)
  if (owner?.pending) owner.pending.then(send)
  else send()
}

function sendRefusal(
  shared: Shared,
  facts: ConnectionFacts & { readonly name?: string | undefined },
  rule: string,
  reason: string,
  since: number,
): void {
  shared.recorder.refuse({
    id: recordId(since),
    ...held(since),
    rule,
    reason: reason.slice(0, MAX_REASON),
    agent: facts.agent,
    client: facts.client,
    originalDestination: facts.originalDestination,
    ...(facts.name === undefined ? {} : { serverName: facts.name.slice(0, MAX_NAME) }),
    policy: { hash: shared.policyHash },
  })
}

/** How long something waited for its record; nothing where it did not. @param since as {@link now} gives it */
export function held(since: number): { heldMs?: number } {
  const heldMs = Math.round(now() - since)
  return heldMs > 0 ? { heldMs } : {}
}
