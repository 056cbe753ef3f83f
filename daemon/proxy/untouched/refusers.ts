/**
 * Programs that were seen to refuse our certificate, and those whose server wanted one of theirs: who can't be
 * intercepted, for an hour after the last sight.
 *
 * Threat model: whoever wants to be let through may feign it. So it is known of one program of one user and one name,
 * never of a user or a name alone; and it changes nothing but where the policy says so (`proxy.uninterceptable`).
 */
import type { Agent } from '../../recorder/protocol.ts'
import type { Owner } from '../owners.ts'

/** Whose connection it is, and the name that it was for. */
export interface Caller {
  readonly agent: Agent
  readonly owner?: Owner
  readonly name: string
}

const LASTS_MS = 3_600_000
const MOST = 4096

export class Refusers {
  /** By user, program and name: until when. */
  readonly #programs = new Map<string, number>()
  /** By user and name: where there is none, nobody's program needs to be waited for. */
  readonly #users = new Map<string, number>()

  /** Counts from when it is known whose it is. @param now milliseconds */
  async add(caller: Caller, now: number): Promise<void> {
    await caller.owner?.pending
    put(this.#users, userKey(caller), now)
    put(this.#programs, programKey(caller), now)
  }

  async has(caller: Caller, now: number): Promise<boolean> {
    if ((this.#users.get(userKey(caller)) ?? 0) <= now) return false
    await caller.owner?.pending
    return (this.#programs.get(programKey(caller)) ?? 0) > now
  }
}

/** In the order of the last sight. */
function put(map: Map<string, number>, key: string, now: number): void {
  map.delete(key)
  map.set(key, now + LASTS_MS)
  for (const [oldest, until] of map) {
    if (until > now && map.size <= MOST) break
    map.delete(oldest)
  }
}

const userKey = ({ agent, name }: Caller) => `${agent.uid ?? 'unknown'} ${name}`

/** By the bytes that run, where they are known; several processes that hold a socket are one program together. */
function programKey(caller: Caller): string {
  const programs = (caller.agent.processes ?? []).map(({ sha256, executable }) => sha256 ?? executable ?? '')
  return `${userKey(caller)} ${[...new Set(programs)].sort().join(' ')}`
}
