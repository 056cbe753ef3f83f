/** What becomes of the agent's frames. */
import { asProxyError } from '../relay/failure.ts'
import { recordRefusedRequest } from '../relay/refused-request.ts'
import { whatTargetIsRecorded } from '../relay/what-is-recorded.ts'
import type { BothEnds } from './both-ends.ts'
import { H2Exchange } from './exchange.ts'
import { CODE, FLAG, type Frame, SETTING } from './frame.ts'
import { FrameError } from './frame-error.ts'
import { type RequestFields, readRequest, wrongLength } from './heads.ts'
import type { DataFrame, FrameHandler, HeaderList } from './receiver.ts'
import { type Settings, settingOf, settingsForProvider } from './settings.ts'

/** Streams at once on one connection, each with a record; providers allow 100 to 250. */
const MAX_STREAMS = 256

export class FromAgent implements FrameHandler {
  readonly #ends: BothEnds
  #began = false

  constructor(ends: BothEnds) {
    this.#ends = ends
  }

  /** What it was given is all that it sends: {@link data} counts. */
  mayTake(): boolean {
    return true
  }

  headers(stream: number, list: HeaderList): void {
    this.#ends.progressed()
    const { streams } = this.#ends
    const known = streams.ofAgent(stream)
    if (known) {
      known.request.trailers(list)
      if (known.request.failed) this.#spend()
      return
    }
    if (stream % 2 === 0) throw new FrameError(CODE.protocolError, 'a stream with an even number')
    // Of one that is over: it was on its way.
    if (stream <= streams.last) return
    streams.last = stream
    if (this.#ends.closing) this.#ends.toAgent.reset(stream, CODE.refusedStream)
    else if (streams.size >= MAX_STREAMS) this.#tooMany(stream)
    else this.#request(stream, list)
  }

  #tooMany(stream: number): void {
    this.#ends.toAgent.reset(stream, CODE.refusedStream)
    this.#spend()
  }

  #request(stream: number, list: HeaderList): void {
    const { shared, governed, streams } = this.#ends
    let request: RequestFields | undefined
    let exchange: H2Exchange
    try {
      request = readRequest(list, this.#ends.tunnels)
      if (list.endStream && (request.length ?? 0) > 0)
        throw wrongLength('no body where Content-Length has one')
      const recorded = whatTargetIsRecorded(shared, governed, request.asked, request.target)
      exchange = new H2Exchange(this.#ends, stream, request, recorded)
    } catch (thrown) {
      const error = asProxyError(thrown)
      recordRefusedRequest(shared, governed, error)
      const { endStream: requestDone } = list
      this.#ends.answer({ stream, method: request?.method, grpc: false, requestDone }, error)
      this.#spend()
      return
    }
    streams.add(exchange)
    exchange.begin(list)
    // It was answered with that: on a new connection the provider is looked for anew.
    if (this.#ends.failure) this.#ends.leave(CODE.noError)
  }

  /** Of what an agent may give up or have refused. */
  #spend(): void {
    if (this.#ends.allowance.spend(performance.now())) return
    throw new FrameError(CODE.enhanceYourCalm, 'streams that come to nothing, in a flood', 'excessive_frames')
  }

  data(stream: number, data: DataFrame): void {
    this.#known(stream)
    this.#ends.progressed()
    const { length } = data.frame.payload
    if (!this.#ends.outlet.taken(length)) {
      throw new FrameError(CODE.flowControlError, 'more DATA than the connection has room for')
    }
    const exchange = this.#ends.streams.ofAgent(stream)
    const taken = exchange?.data(data) ?? false
    if (!taken) this.#ends.discarded(length)
    if (exchange?.request.failed) this.#spend()
  }

  reset(stream: number, code: number): void {
    this.#known(stream)
    const exchange = this.#ends.streams.ofAgent(stream)
    if (!exchange) return
    exchange.agentReset(code)
    this.#spend()
  }

  settings(entries: Settings): void {
    const { toAgent, toProvider, fromProvider, window, upstream } = this.#ends
    const passed = settingsForProvider(entries)
    window.settings(entries)
    this.#ends.answersGoOn()
    toAgent.limitTable(settingOf(entries, SETTING.headerTableSize))
    if (!upstream) {
      toAgent.acknowledgeSettings()
      return
    }
    fromProvider.allowFrames(settingOf(passed, SETTING.maxFrameSize))
    if (!this.#began) toProvider.preface()
    this.#began = true
    toProvider.settings(passed)
  }

  settingsAcknowledged(): void {
    if (!this.#ends.toAgent.ownAcknowledged()) this.#ends.toProvider.acknowledgeSettings()
  }

  ping({ flags, payload, raw }: Frame): void {
    const { upstream, toAgent, toProvider } = this.#ends
    if (upstream) toProvider.pass(0, raw)
    else if (!(flags & FLAG.acknowledged)) toAgent.acknowledgePing(payload)
  }

  /** It opens no stream any more; no stream was opened to it. */
  goAway(_lastStream: number, code: number, debug: Buffer): void {
    this.#ends.toProvider.goAway(0, code, debug)
  }

  windowUpdate(stream: number, increment: number): void {
    this.#ends.progressed()
    if (stream > 0) {
      this.#known(stream)
      const exchange = this.#ends.streams.ofAgent(stream)
      exchange?.outgoing.agentTakes(increment)
      exchange?.goOn()
      return
    }
    const rest = this.#ends.window.given(increment)
    if (rest > 0) this.#ends.toProvider.windowUpdate(0, rest)
    this.#ends.answersGoOn()
    this.#ends.windowOpened()
  }

  /** Only servers offer alternatives. */
  altSvc(): void {}

  #known(stream: number): void {
    if (!this.#ends.streams.known(stream))
      throw new FrameError(CODE.protocolError, 'a stream that was not opened')
  }
}
