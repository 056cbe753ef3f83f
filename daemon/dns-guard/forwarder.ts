/**
 * A question through the upstreams in their order. The next is asked when one is silent for a while or can't answer;
 * earlier ones may still answer meanwhile, and the first good answer counts. One that failed is asked last for a time.
 */
import type { DnsMessage } from '../wire/dns-message.ts'
import { FLAG } from '../wire/dns-message.ts'
import { type Query, RCODE } from '../wire/dns-query.ts'
import { DnsGuardError } from './dns-guard-error.ts'
import type { Exchange, Transport } from './exchange.ts'
import type { Upstream } from './upstreams.ts'

/** Clients wait for 5 s (resolv.conf(5)) and then ask again. */
const TOTAL_MS = 4800
const NEXT_AFTER_MS = 1200
const MAX_TRIES = 4
const SHUNNED_MS = 30_000

/** Failures that another server may not share. */
const TRY_NEXT: ReadonlySet<number> = new Set([RCODE.servFail, RCODE.notImp, RCODE.refused])

export interface ForwarderOptions {
  readonly upstreams: () => readonly Upstream[]
  readonly exchange: Exchange
  readonly totalMs?: number
  readonly nextAfterMs?: number
}

export class Forwarder {
  readonly #options: ForwarderOptions
  readonly #shunnedUntil = new Map<string, number>()

  constructor(options: ForwarderOptions) {
    this.#options = options
  }

  /** Addresses of the servers that didn't answer lately. */
  get failing(): string[] {
    const time = performance.now()
    return [...this.#shunnedUntil].filter(([, until]) => until > time).map(([server]) => server)
  }

  /** @throws DnsGuardError `upstream-failed` where none answers */
  async ask(query: Query, transport: Transport): Promise<DnsMessage> {
    const servers = this.#ordered()
    if (servers.length === 0) {
      throw new DnsGuardError(
        'upstream-failed',
        'no name server is known',
        'Name one in /etc/resolv.conf, or in gateway.yaml (dns.upstreams).',
      )
    }
    const tries = Array.from({ length: MAX_TRIES }, (_, i) => servers[i % servers.length] as Upstream)
    return this.#race(query, transport, tries)
  }

  #race(query: Query, transport: Transport, tries: Upstream[]): Promise<DnsMessage> {
    const { exchange, totalMs = TOTAL_MS, nextAfterMs = NEXT_AFTER_MS } = this.#options
    const ended = new AbortController()
    return new Promise((resolve, reject) => {
      let open = 0
      let timer: NodeJS.Timeout | undefined
      let second: DnsMessage | undefined
      let reason: unknown
      const finish = (settle: () => void) => {
        clearTimeout(timer)
        clearTimeout(deadline)
        ended.abort()
        settle()
      }
      const giveUp = () => finish(() => (second ? resolve(second) : reject(reason)))
      const deadline = setTimeout(() => {
        reason ??= new DnsGuardError(
          'upstream-failed',
          `no name server answered within ${totalMs} ms`,
          'See whether the servers of /etc/resolv.conf can be reached, or name others in gateway.yaml (dns.upstreams).',
        )
        giveUp()
      }, totalMs)
      const next = () => {
        clearTimeout(timer)
        if (ended.signal.aborted) return
        const server = tries.shift()
        if (!server) {
          if (open === 0) giveUp()
          return
        }
        open += 1
        const silent = setTimeout(() => this.#shun(server), nextAfterMs)
        timer = setTimeout(next, nextAfterMs)
        exchange(server, query, transport, ended.signal)
          .then(
            (message) => {
              this.#shunnedUntil.delete(keyOf(server))
              if (!TRY_NEXT.has(message.flags & FLAG.rcode)) return finish(() => resolve(message))
              second = message
              // The same server would say the same again.
              tries = tries.filter((each) => each !== server)
            },
            (error: unknown) => {
              reason = error
              if (!ended.signal.aborted) this.#shun(server)
            },
          )
          .finally(() => {
            clearTimeout(silent)
            open -= 1
            next()
          })
      }
      next()
    })
  }

  #ordered(): Upstream[] {
    const failing = new Set(this.failing)
    const servers = this.#options.upstreams()
    return [
      ...servers.filter((each) => !failing.has(keyOf(each))),
      ...servers.filter((each) => failing.has(keyOf(each))),
    ]
  }

  #shun(server: Upstream): void {
    const time = performance.now()
    for (const [key, until] of this.#shunnedUntil) if (until <= time) this.#shunnedUntil.delete(key)
    this.#shunnedUntil.set(keyOf(server), time + SHUNNED_MS)
  }
}

const keyOf = ({ address, port }: Upstream) => `${address} port ${port}`
