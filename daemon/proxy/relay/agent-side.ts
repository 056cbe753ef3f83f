/** What an exchange and the agent's connection that it came on know of each other. */
import type { ProxyError } from '../proxy-error.ts'
import type { UpstreamConnection } from '../upstream/connection.ts'
import type { Governed } from './facts.ts'

/** Why reading from the agent is paused. */
export const AGENT_PAUSED_BY = { pipeline: 1, upstream: 2, recorder: 4, webSocket: 8 } as const

/** What the agent's bytes wait for, where they are not read. */
export function waitsFor(pausedBy: number): 'provider' | 'recorder' | undefined {
  if (pausedBy & AGENT_PAUSED_BY.recorder) return 'recorder'
  return pausedBy & AGENT_PAUSED_BY.upstream ? 'provider' : undefined
}

/** What an exchange needs of the agent's connection that it came on. */
export interface AgentSide {
  readonly governed: Governed
  /** Key of connections that this agent's exchanges may share. */
  readonly key: string
  /** The agent dialled an address that is none of the name's; undefined while not known. */
  readonly mismatch: boolean | undefined
  /** A connection that nobody used before. @throws ProxyError upstream_* */
  dial(): Promise<UpstreamConnection>
  /** False when the agent takes no more for now: `agentDrained` comes. */
  write(bytes: Buffer): boolean
  pause(reason: number): void
  resume(reason: number): void
  /** The exchange is over and all of its answer written. */
  finished(persistent: boolean): void
  /** The exchange is over; nothing of an answer was written. */
  answer(error: ProxyError): void
  /** The connection left HTTP: bytes read ahead come now. */
  upgraded(): void
  /** Half-closes after what was written. */
  end(): void
  destroy(): void
  /** The same where an end would pass for that of the answer, also to who doesn't look for close_notify. */
  reset(): void
}

/** An agent's connection that is intercepted, whichever HTTP is spoken on it. */
export interface Intercepted {
  /** True while something is still to be done or sent on it. */
  readonly busy: boolean
  /** Finishes what is under way, then closes. */
  stop(): void
}
