/**
 * ClientHellos that left the machine for a provider although the proxy did not send them: they name a governed host,
 * or go to an address that is known as a provider's.
 *
 * A connection of the proxy's is known by its socket or by the proxy's own report, which may come a little later than
 * the packet: until then nothing is said.
 */
import type { ClientHello } from '../wire/client-hello.ts'
import type { Flow } from './flow.ts'
import type { DialledFlow, OwnFlows } from './own-flows.ts'
import type { Observed } from './tally.ts'

export interface SeenHello {
  readonly flow: Flow
  readonly hello: ClientHello
  readonly device: string
}

interface Waiting extends SeenHello {
  readonly since: number
}

export interface LeakOptions {
  readonly own: OwnFlows
  readonly governs: (name: string) => boolean
  readonly isProvider: (address: string) => boolean
  readonly leaked: (observed: Observed, now: number) => void
}

/** How long the proxy's report may take. */
const REPORT_MS = 2000
/** Nobody's sockets, in two seconds. Past it the oldest is judged without waiting any longer. */
const MOST_WAITING = 4096

export class Leaks {
  readonly #options: LeakOptions
  #waiting: Waiting[] = []

  constructor(options: LeakOptions) {
    this.#options = options
  }

  hello(seen: SeenHello, now: number): void {
    const { own, governs, isProvider } = this.#options
    const { flow, hello } = seen
    const governed = hello.name !== undefined && governs(hello.name)
    if (!governed && !isProvider(flow.destination.address)) return
    const verdict = own.judge(flow, now)
    if (verdict.whose === 'proxy') return
    // The proxy dials TCP only: of anything else no report will come.
    if (verdict.whose === 'other' || flow.protocol !== 'tcp') {
      this.#leaked(seen, verdict.whose === 'other' ? verdict.uid : undefined, now)
      return
    }
    this.#waiting.push({ ...seen, since: now })
    if (this.#waiting.length > MOST_WAITING) {
      const oldest = this.#waiting.shift()
      if (oldest) this.#leaked(oldest, undefined, now)
    }
  }

  dialled(flows: readonly DialledFlow[], now: number): void {
    this.#options.own.dialled(flows, now)
    this.#waiting = this.#waiting.filter(({ flow }) => this.#options.own.judge(flow, now).whose !== 'proxy')
  }

  /** Says what no report came for in time; {@link Number.POSITIVE_INFINITY} doesn't wait. */
  expire(now: number, deadline = now): void {
    while (this.#waiting[0] && deadline - this.#waiting[0].since >= REPORT_MS) {
      const seen = this.#waiting.shift()
      if (seen) this.#leaked(seen, undefined, now)
    }
  }

  #leaked({ flow, hello, device }: SeenHello, uid: number | undefined, now: number): void {
    const quic = flow.protocol === 'udp'
    const governed = hello.name !== undefined && this.#options.governs(hello.name)
    const rule = `${quic ? 'quic' : 'tls'}-${governed ? 'name' : 'address'}`
    this.#options.leaked(
      {
        kind: 'leak',
        rule,
        protocol: quic ? 'quic' : 'tcp',
        client: flow.source,
        destination: flow.destination,
        via: device,
        ...(uid === undefined ? {} : { uid }),
        ...(hello.name === undefined ? {} : { serverName: hello.name }),
      },
      now,
    )
  }
}
