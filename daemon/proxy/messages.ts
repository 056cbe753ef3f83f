/** What the supervisor and a worker say to each other over the fork's IPC channel (structured clone). */
import { z } from 'zod'
import type { Catalogue } from '../../policies/catalogue.ts'
import type { Policy } from '../../policies/policy.ts'

const Bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, 'must be bytes')
/** Checked when they were loaded, by the schemas of policies/; here only that they are there. */
const policy = z.custom<Policy>(
  (value) => isObject(value) && typeof value.hash === 'string',
  'must be a policy',
)
const catalogue = z.custom<Catalogue>(
  (value) => isObject(value) && Array.isArray(value.providers),
  'must be a catalogue',
)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

const Start = z.object({
  type: z.literal('start'),
  /** Listening sockets, inherited. */
  listeners: z.array(z.object({ fd: z.int().nonnegative(), family: z.union([z.literal(4), z.literal(6)]) })),
  policy,
  catalogue,
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
  z.object({ type: z.literal('addresses'), addresses: z.array(z.string()) }),
  z.object({ type: z.literal('stop') }),
])

export type FromWorker =
  | { readonly type: 'ready' }
  | { readonly type: 'leaf?'; readonly request: number; readonly name: string; readonly spki: Buffer }
  | { readonly type: 'learned'; readonly name: string; readonly addresses: readonly string[] }
  /** The whole catalogue was looked up once. */
  | { readonly type: 'resolved' }
  | ({ readonly type: 'state' } & WorkerState)

export interface WorkerState {
  /** Open now. */
  readonly connections: number
  readonly exchanges: number
  readonly spliced: number
  readonly refused: number
  readonly failed: number
  /** Idle connections to providers. */
  readonly idleUpstream: number
  readonly recorder: 'connected' | 'lost'
  /** Refusals that no record could be made of. */
  readonly lostRefusals: number
}
