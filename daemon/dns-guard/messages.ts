/** What the supervisor and the DNS guard say to each other over the fork's IPC channel (structured clone). */
import { z } from 'zod'
import type { RulesInForce } from '../../policies/rules.ts'
import type { GuardState } from './guard.ts'
import type { Learn } from './learner.ts'
import type { Sighting } from './sightings.ts'

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null

/** Checked when they were loaded, by the schemas of policies/; here only that they are there. */
const rules = z.custom<RulesInForce>(
  (value) =>
    isObject(value) &&
    isObject(value.policy) &&
    isObject(value.catalogue) &&
    isObject(value.resolvers) &&
    Array.isArray(value.ownHosts),
  'must be rules',
)
const sockets = z
  .array(z.object({ fd: z.int().nonnegative(), family: z.union([z.literal(4), z.literal(6)]) }))
  .max(16)

const Start = z.object({
  type: z.literal('start'),
  /** Bound sockets, inherited. */
  udp: sockets,
  tcp: sockets,
  rules,
  /** Of gateway.yaml; empty: the machine's own. */
  upstreams: z.array(z.string().max(128)).max(16),
  /** Devices whose containers are answered; a final `*` stands for any ending. */
  bridges: z.array(z.string().max(16)).max(64),
})
export type Start = z.infer<typeof Start>

export const ToGuard = z.discriminatedUnion('type', [
  Start,
  /** The kernel's sets hold what `learn` of that number said. */
  z.object({ type: z.literal('learned'), request: z.int() }),
  /** Other rules are in force. */
  z.object({ type: z.literal('rules'), rules }),
  z.object({ type: z.literal('stop') }),
])

export type FromGuard =
  | { readonly type: 'ready' }
  | { readonly type: 'beat' }
  | ({ readonly type: 'learn' } & Learn)
  | ({ readonly type: 'refusal' } & Sighting)
  | ({
      readonly type: 'state'
      /** `ADDRESS port PORT` of the servers in use, and of those that didn't answer lately. */
      readonly upstreams: readonly string[]
      readonly failing: readonly string[]
      readonly tcpClients: number
    } & GuardState)
