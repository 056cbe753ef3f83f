/** What the supervisor and a worker say to each other over the fork's IPC channel (structured clone). */
import { z } from 'zod'
import type { RulesInForce } from '../../policies/rules.ts'
import { LEVELS } from '../anchoring/level.ts'
import { AgentPayload } from '../recorder/payloads.ts'
import type { OwnerQuestion } from './owners.ts'
import type { Dialled } from './upstream/reach.ts'

const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes')
/** Checked when they were loaded, by the schemas of policies/; here only that they are there. */
const rules = z.custom<RulesInForce>(
  (value) =>
    isObject(value) &&
    isObject(value.policy) &&
    typeof value.policy.hash === 'string' &&
    isObject(value.catalogue) &&
    Array.isArray(value.catalogue.providers) &&
    isObject(value.resolvers) &&
    Array.isArray(value.ownHosts),
  'must be policy, catalogue, resolvers and own hosts',
)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const Start = z.object({
  type: z.literal('start'),
  /** Listening sockets, inherited. */
  listeners: z.array(z.object({ fd: z.int().nonnegative(), family: z.union([z.literal(4), z.literal(6)]) })),
  rules,
  recorderSocket: z.string(),
  /** 32 bytes. */
  fingerprintKey: Bytes,
  /** PEM: what providers are verified against. */
  systemRoots: z.array(z.string()),
  /** Names with addresses of the configuration; `root` is trusted for that name only. */
  staticHosts: z.record(
    z.string(),
    z.object({ addresses: z.array(z.string()), root: z.string().optional() }),
  ),
  sniffTimeoutMs: z.number().positive(),
  durability: z.enum(['before-forward', 'async']),
  /** Answers are held until their records have come so far. */
  hold: z
    .object({
      level: z.enum(LEVELS),
      maxMs: z.number().positive(),
      onFailure: z.union([z.enum(['queue', 'block']), z.object({ blockAfterMs: z.number() })]),
    })
    .optional(),
  /** Known addresses of providers. */
  providerAddresses: z.array(z.string()),
  /** This worker looks the catalogue's names up. */
  resolveCatalogue: z.boolean(),
})
export type Start = z.infer<typeof Start>

export const ToWorker = z.discriminatedUnion('type', [
  Start,
  z.object({
    type: z.literal('leaf'),
    request: z.int(),
    pem: z.string().optional(),
    error: z.string().optional(),
  }),
  /** What was found of the processes behind connections; an empty agent where nothing could be. */
  z.object({
    type: z.literal('owner'),
    answers: z.array(z.object({ request: z.int(), agent: AgentPayload })),
  }),
  z.object({ type: z.literal('addresses'), addresses: z.array(z.string()) }),
  /** The machine's network is another. */
  z.object({ type: z.literal('network') }),
  /** Other rules are in force. */
  z.object({ type: z.literal('rules'), rules }),
  /** The CA is another: leaves are to be asked for again. `staticRoots`: PEM by static host, which follow it. */
  z.object({ type: z.literal('authorities'), staticRoots: z.record(z.string(), z.string()) }),
  /** What is under way may end, for so long at most; who comes meanwhile is served. Answered by `drained`. */
  z.object({ type: z.literal('drain'), withinMs: z.number().nonnegative() }),
  z.object({ type: z.literal('stop') }),
])

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'leaf?'; readonly request: number; readonly name: string; readonly spki: Buffer }
  /** Those of one turn of the event loop together: a flood of connections must not keep the supervisor busy. */
  | { readonly type: 'owner?'; readonly questions: readonly OwnerQuestion[] }
  | {
      readonly type: 'learned'
      readonly name: string
      readonly addresses: readonly string[]
      /** How long DNS said that they hold; absent where something else than DNS named them. */
      readonly ttlSeconds?: number
    }
  /** Connections of this worker to servers, told before anything was sent on them; at most every 100 ms. */
  | { readonly type: 'dialled'; readonly flows: readonly Dialled[] }
  /** Once a second: the event loop turns. */
  | { readonly type: 'beat' }
  /** The whole catalogue was looked up once; again whenever name servers begin or cease to answer. */
  | { readonly type: 'resolved'; readonly answered: boolean }
  | { readonly type: 'drained' }
  | ({ readonly type: 'state' } & WorkerState)

export interface WorkerState {
  /** Open now. */
  readonly connections: number
  readonly exchanges: number
  readonly spliced: number
  readonly refused: number
  readonly failed: number
  /** Let through to somebody's proxy (CONNECT, SOCKS) and looked into. */
  readonly tunnels: number
  /** Governed calls that went on without a record, where the policy lets them. */
  readonly unrecorded: number
  /** Idle connections to providers. */
  readonly idleUpstream: number
  readonly recorder: 'connected' | 'lost'
  /** Refusals that no record could be made of. */
  readonly lostRefusals: number
  /** Answers held for their records now; since the start: held, never handed out, and handed out before their time. */
  readonly holding: number
  readonly held: number
  readonly undelivered: number
  readonly early: number
}
