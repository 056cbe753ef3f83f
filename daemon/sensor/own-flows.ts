/**
 * Tells the proxy's own connections from everybody else's: by the kernel's table of sockets, and by what the proxy
 * says it has dialled, for a socket may be gone by the time its packet is read.
 *
 * Threat model: the kernel's word goes first: who reuses the ends of a connection that the proxy had is not the proxy.
 */
import type { FlowOwner } from '../../firewall/flow-owner.ts'
import { canonicalAddress, type Endpoint } from '../../firewall/ip-address.ts'
import type { Flow } from './flow.ts'

export interface DialledFlow {
  readonly local: Endpoint
  readonly remote: Endpoint
}

export type Verdict =
  | { readonly whose: 'proxy' }
  | { readonly whose: 'other'; readonly owner: FlowOwner }
  /** Nobody's socket: already gone, forwarded for a container, or sent past the sockets. */
  | { readonly whose: 'unknown' }

/** A hello follows its connect() at once, one in a tunnel whenever it likes: there the socket still stands. */
const REMEMBERED_MS = 60_000
/** At 1,000 connections a second. */
const MOST_DIALLED = 65_536

export class OwnFlows {
  readonly #proxyUid: number
  readonly #socketOwner: (flow: Flow) => FlowOwner | undefined
  /** By both ends: when it was dialled, in order of time. */
  readonly #exact = new Map<string, number>()
  /** By local port and remote end: where this machine translates its own source addresses, they differ on the uplink. */
  readonly #translated = new Map<string, number>()
  readonly #isOwnAddress: (address: string) => boolean

  /**
   * @param socketOwner who made the socket with these ends, asked of the kernel; undefined where there is none
   * @param isOwnAddress whether a device of this machine has it
   */
  constructor(
    proxyUid: number,
    socketOwner: (flow: Flow) => FlowOwner | undefined,
    isOwnAddress: (address: string) => boolean,
  ) {
    this.#proxyUid = proxyUid
    this.#socketOwner = socketOwner
    this.#isOwnAddress = isOwnAddress
  }

  dialled(flows: readonly DialledFlow[], now: number): void {
    for (const { local, remote } of flows) {
      const from = canonicalAddress(local.address)?.address
      const to = canonicalAddress(remote.address)?.address
      if (from === undefined || to === undefined) continue
      const end = `${local.port} ${to} ${remote.port}`
      remember(this.#exact, `${from} ${end}`, now)
      remember(this.#translated, end, now)
    }
  }

  judge(flow: Flow, now: number): Verdict {
    const owner = this.#socketOwner(flow)
    if (owner) return owner.uid === this.#proxyUid ? { whose: 'proxy' } : { whose: 'other', owner }
    if (flow.protocol !== 'tcp') return { whose: 'unknown' }
    return this.#wasDialled(flow, now) ? { whose: 'proxy' } : { whose: 'unknown' }
  }

  #wasDialled({ source, destination }: Flow, now: number): boolean {
    const recent = (at: number | undefined) => at !== undefined && now - at <= REMEMBERED_MS
    const end = `${source.port} ${destination.address} ${destination.port}`
    if (recent(this.#exact.get(`${source.address} ${end}`))) return true
    // Behind one address no two connections to the same server share a port: conntrack sees to that.
    return recent(this.#translated.get(end)) && this.#isOwnAddress(source.address)
  }
}

function remember(dialled: Map<string, number>, key: string, now: number): void {
  // Deleted first, so that the map stays in order of time.
  dialled.delete(key)
  dialled.set(key, now)
  for (const [oldest, at] of dialled) {
    if (now - at <= REMEMBERED_MS && dialled.size <= MOST_DIALLED) break
    dialled.delete(oldest)
  }
}
