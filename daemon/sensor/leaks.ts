/**
 * ClientHellos that left the machine for a provider although the proxy did not send them: they name a governed host,
 * or go to an address that is known as a provider's. Whom the policy leaves alone may send them.
 *
 * A connection of the proxy's is known by its socket or by the proxy's own report, which may come a little later than
 * the packet: until then nothing is said.
 */
import type { FlowOwner } from '../../firewall/flow-owner.ts'
import type { ClientHello } from '../wire/client-hello.ts'
import type { Flow } from './flow.ts'
import type { DialledFlow, OwnFlows } from './own-flows.ts'
import type { Maker, Standing } from './standing.ts'
import type { Observed } from './tally.ts'
import { Waiting } from './waiting.ts'

export interface SeenHello {
  readonly flow: Flow
  readonly hello: ClientHello
  readonly device: string
}

interface Unreported extends SeenHello {
  readonly since: number
}

interface Asked extends SeenHello {
  readonly owner: FlowOwner
}

export interface LeakOptions {
  readonly own: OwnFlows
  readonly governs: (name: string) => boolean
  readonly isProvider: (address: string) => boolean
  readonly standing: (maker: Maker) => Standing
  /** Asks for the group of a socket's maker, to be answered by {@link Leaks.group}. */
  readonly askGroup: (question: number, inode: number) => void
  readonly leaked: (observed: Observed, now: number) => void
}

/** How long the proxy's report may take. */
const REPORT_MS = 2000
/** Nobody's sockets, in two seconds. Past it the oldest is judged without waiting any longer. */
const MOST_WAITING = 4096
/** How long it may take to find who holds a socket, and how many are looked for at once. */
const GROUP_MS = 5000
const MOST_ASKED = 256

export class Leaks {
  readonly #options: LeakOptions
  #waiting: Unreported[] = []
  readonly #asked: Waiting<Asked>
  #question = 0
  /** Of the last call. */
  #now = 0

  constructor(options: LeakOptions) {
    this.#options = options
    this.#asked = new Waiting(MOST_ASKED, GROUP_MS, (asked) =>
      this.#leaked(asked, asked.owner.uid, this.#now),
    )
  }

  hello(seen: SeenHello, now: number): void {
    const { own, governs, isProvider } = this.#options
    const { flow, hello } = seen
    this.#now = now
    const governed = hello.name !== undefined && governs(hello.name)
    if (!governed && !isProvider(flow.destination.address)) return
    const verdict = own.judge(flow, now)
    if (verdict.whose === 'proxy') return
    if (verdict.whose === 'other') {
      this.#judge({ ...seen, owner: verdict.owner }, now)
      return
    }
    // The proxy dials TCP only: of anything else no report will come.
    if (flow.protocol !== 'tcp') {
      this.#leaked(seen, undefined, now)
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

  /** The answer to a question; without a group where it could not be told. */
  group(question: number, gid: number | undefined, now: number): void {
    this.#now = now
    const asked = this.#asked.take(String(question))
    if (asked && this.#options.standing({ ...asked.owner, gid }) !== 'free')
      this.#leaked(asked, asked.owner.uid, now)
  }

  /** Says what no report came for in time; {@link Number.POSITIVE_INFINITY} doesn't wait. */
  expire(now: number, deadline = now): void {
    this.#now = now
    this.#asked.expire(deadline)
    while (this.#waiting[0] && deadline - this.#waiting[0].since >= REPORT_MS) {
      const seen = this.#waiting.shift()
      if (seen) this.#leaked(seen, undefined, now)
    }
  }

  #judge(asked: Asked, now: number): void {
    const { owner } = asked
    const standing = this.#options.standing(owner)
    if (standing === 'governed') this.#leaked(asked, owner.uid, now)
    if (standing !== 'group') return
    this.#question += 1
    this.#asked.add(String(this.#question), asked, now)
    this.#options.askGroup(this.#question, owner.inode)
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
