/**
 * Reads along what an agent sends on a connection that is passed on as it is: requests of plain HTTP one after the
 * other, and through CONNECT and SOCKS into the tunnel, layer below layer. Pure but for the judge that it asks.
 *
 * Threat model: the agent cuts its bytes wherever it likes, puts several messages into one packet, stalls in the
 * middle, and sends what two servers read differently. A message that isn't whole is held back, so nothing of it
 * reaches anybody before it was judged; what is held is bounded in size and, by the caller, in time: then it goes
 * out, unless a name in it already tells, and its end is still judged before that goes out. Where requests can't
 * be told from bodies, each line is looked at (line-scanner.ts). What is encrypted is passed unseen.
 */
import type { Decision } from '../../../policies/decision.ts'
import { type BodyReader, bodyReader } from '../http/body.ts'
import { asksForUpgrade, requestFraming } from '../http/framing.ts'
import { parseRequestHead } from '../http/head.ts'
import { type Sniffed, sniff, tunnelOf } from '../sniff/sniff.ts'
import { readSocksStep, type TunnelTarget } from '../sniff/socks.ts'
import { LineScanner } from './line-scanner.ts'

/** A message as it shows itself. */
export interface Sight extends Sniffed {
  /** The tunnel that it came in; undefined on the connection itself. */
  readonly within: TunnelTarget | undefined
  /** It can be read in two ways, so that what follows can't be told. */
  readonly ambiguous?: true
}

/** pass: no more needs to be seen. look: go on. cut: end it. take: the connection is one to intercept. */
export type Next = 'pass' | 'look' | 'cut' | 'take'

export interface Opinion {
  readonly next: Next
  readonly decision: Decision
}

/** @param free nothing else is under way, so that somebody may take the connection over before this message */
export type Judge = (sight: Sight, free: boolean) => Opinion

export interface Verdict {
  /** What may go out now. */
  readonly forward: readonly Buffer[]
  readonly next: Next
  /** On `cut` and `take`: what was seen and decided. */
  readonly sight?: Sight
  readonly decision?: Decision
}

type Stop = Required<Pick<Verdict, 'next' | 'sight' | 'decision'>>

const NOTHING: Buffer = Buffer.alloc(0)
/** A body that goes with CONNECT: some proxies skip it, some take it for the tunnel's first bytes. */
const CONNECT_BODY = /^(?:transfer-encoding[ \t]*:|content-length[ \t]*:(?![ \t]*0*[ \t]*\r?$))/im
const NO_FACTS = { names: [], alpn: [], ech: false }

export class Inspector {
  readonly #judge: Judge
  #state: 'message' | 'body' | 'lines' | 'socks' | 'pass' = 'message'
  /** The message that is not whole yet, and how much of it has gone out. */
  #seen = NOTHING
  #released = 0
  #within: TunnelTarget | undefined
  /** A request came before: another one is expected. */
  #inHttp = false
  /** The last request asked to leave HTTP. */
  #upgrading = false
  #body: BodyReader | undefined
  #free = false
  readonly #lines = new LineScanner()

  constructor(judge: Judge) {
    this.#judge = judge
  }

  /** Bytes are held back. */
  get holds(): boolean {
    return this.#seen.length > this.#released
  }

  /** The bytes of the message under way, on `take`. */
  get held(): Buffer {
    return this.#seen
  }

  /**
   * More from the agent.
   * @param clean no answer is under way, so that another may take the connection over here
   */
  take(bytes: Buffer, clean: boolean): Verdict {
    const forward: Buffer[] = []
    let rest = bytes
    while (rest.length > 0 && this.#state !== 'pass') {
      if (this.#state === 'body') {
        rest = this.#skipBody(rest, forward)
      } else if (this.#state === 'lines') {
        const stop = this.#scan(rest)
        if (stop) return { forward: [], ...stop }
        forward.push(rest)
        rest = NOTHING
      } else {
        this.#free = clean && forward.length === 0 && this.#released === 0 && !this.#within
        this.#seen = this.#seen.length === 0 ? rest : Buffer.concat([this.#seen, rest])
        const left = this.#state === 'socks' ? this.#readSocks(forward) : this.#readMessage(forward, false)
        if ('next' in left) return { forward: [], ...left }
        rest = left
        // Of a message that has begun to go out nothing more is held: who types by hand waits once.
        if (this.#released > 0) return this.stalled()
      }
    }
    if (rest.length > 0) forward.push(rest)
    return { forward, next: this.#state === 'pass' ? 'pass' : 'look' }
  }

  /** Nothing has come for a while: what is held goes out, unless it tells enough by now. */
  stalled(): Verdict {
    this.#free = false
    const sniffed = this.#state === 'message' ? sniff(this.#seen, true) : 'more'
    if (sniffed !== 'more' && sniffed.names.length > 0) {
      const stop = this.#ask({ ...sniffed, within: this.#within })
      if (typeof stop === 'object') return { forward: [], ...stop }
    }
    const forward = [this.#seen.subarray(this.#released)]
    this.#released = this.#seen.length
    return { forward, next: 'look' }
  }

  /** The agent sends no more. */
  ended(): Verdict {
    this.#free = false
    const forward: Buffer[] = []
    if (this.#state === 'message' && this.#seen.length > 0) {
      const left = this.#readMessage(forward, true)
      if ('next' in left) return { forward: [], ...left }
      if (left.length > 0) forward.push(left)
    }
    if (this.holds) forward.push(this.#seen.subarray(this.#released))
    this.#reset()
    this.#state = 'pass'
    return { forward, next: 'pass' }
  }

  /** @returns what follows the message, empty where more of it is to come; or why this ends here */
  #readMessage(forward: Buffer[], last: boolean): Buffer | Stop {
    const sniffed = sniff(this.#seen, last)
    if (sniffed === 'more') return NOTHING
    const { protocol, end } = sniffed
    if (this.#inHttp && protocol === 'other') {
      // After an upgrade that is what was asked for; else a request that only a careless server reads.
      this.#state = this.#upgrading ? 'pass' : 'lines'
      const stop = this.#upgrading ? undefined : this.#scan(this.#seen.subarray(0, this.#released))
      return stop ?? this.#consume(0, forward)
    }
    const answer = this.#ask({ ...sniffed, within: this.#within })
    if (typeof answer === 'object') return answer
    if (answer === 'pass' || (protocol !== 'http' && protocol !== 'socks')) {
      this.#state = 'pass'
      return this.#consume(this.#seen.length, forward)
    }
    return protocol === 'http'
      ? this.#request(sniffed, forward)
      : this.#socks(sniffed, end as number, forward)
  }

  #request(sniffed: Sniffed, forward: Buffer[]): Buffer | Stop {
    const { end, tunnel, request } = sniffed
    this.#inHttp = true
    this.#upgrading = false
    if (end === undefined) {
      this.#state = 'lines'
      this.#lines.begin(request)
      // The last line may be cut in the middle: it is read again from its beginning.
      const lineStart = this.#seen.lastIndexOf(0x0a) + 1
      this.#scan(this.#seen.subarray(lineStart))
      return this.#consume(this.#seen.length, forward)
    }
    const raw = this.#seen.subarray(sniffed.start, end)
    if (tunnel) {
      if (CONNECT_BODY.test(raw.toString('latin1'))) {
        const stop = this.#ask({ ...sniffed, within: this.#within, ambiguous: true })
        if (typeof stop === 'object') return stop
      }
      this.#enter(tunnel)
      return this.#consume(end, forward)
    }
    try {
      const head = parseRequestHead(raw)
      this.#body = bodyReader(requestFraming(head))
      this.#upgrading = asksForUpgrade(head)
      this.#state = this.#body.done ? 'message' : 'body'
    } catch {
      this.#state = 'lines'
    }
    return this.#consume(end, forward)
  }

  #socks(sniffed: Sniffed, end: number, forward: Buffer[]): Buffer {
    if (sniffed.tunnel && !sniffed.blind) this.#enter(sniffed.tunnel)
    else this.#state = this.#seen[0] === 5 ? 'socks' : 'pass'
    return this.#consume(end, forward)
  }

  /** After a greeting of SOCKS 5: signs in, perhaps, and says where to. */
  #readSocks(forward: Buffer[]): Buffer | Stop {
    const step = readSocksStep(this.#seen)
    if (step === 'more') return NOTHING
    if (step === 'not-socks') {
      this.#state = 'message'
      return this.#consume(0, forward)
    }
    if (step.kind === 'request') {
      const { target, blind } = step
      const facts = { protocol: 'socks', ...NO_FACTS, tunnel: target, ...(blind ? { blind } : {}) } as const
      const stop = this.#ask({ ...facts, within: this.#within })
      if (typeof stop === 'object') return stop
      if (blind) this.#state = 'pass'
      else this.#enter(target)
    }
    return this.#consume(step.end, forward)
  }

  #enter(tunnel: TunnelTarget): void {
    this.#within = tunnel
    this.#state = 'message'
    this.#inHttp = false
    this.#upgrading = false
  }

  #skipBody(bytes: Buffer, forward: Buffer[]): Buffer {
    const body = this.#body as BodyReader
    let end: number
    try {
      end = body.read(bytes, 0, [])
    } catch {
      this.#state = 'lines'
      return bytes
    }
    if (body.done) this.#state = 'message'
    forward.push(bytes.subarray(0, end))
    return bytes.subarray(end)
  }

  #scan(bytes: Buffer): Stop | undefined {
    this.#free = false
    for (const { request, names } of this.#lines.read(bytes)) {
      const tunnel = tunnelOf(request)
      const sight = { protocol: 'http', ...NO_FACTS, request, names, within: this.#within } as const
      const stop = this.#ask(tunnel ? { ...sight, tunnel, ambiguous: true } : sight)
      if (typeof stop === 'object') return stop
    }
    return undefined
  }

  #ask(sight: Sight): 'pass' | 'look' | Stop {
    const { next, decision } = this.#judge(sight, this.#free)
    return next === 'pass' || next === 'look' ? next : { next, sight, decision }
  }

  /** Lets `end` bytes of the message go out. @returns what follows them */
  #consume(end: number, forward: Buffer[]): Buffer {
    const upTo = Math.max(end, this.#released)
    if (upTo > this.#released) forward.push(this.#seen.subarray(this.#released, upTo))
    const rest = this.#seen.subarray(upTo)
    this.#reset()
    return rest
  }

  #reset(): void {
    this.#seen = NOTHING
    this.#released = 0
  }
}
