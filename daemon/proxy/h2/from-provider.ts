/** What becomes of the provider's frames. */
import type { BothEnds } from './both-ends.ts'
import { CODE, type Frame, MAX_STREAM_ID, SETTING } from './frame.ts'
import { FrameError } from './frame-error.ts'
import type { DataFrame, FrameHandler, HeaderList } from './receiver.ts'
import { type Settings, settingOf, settingsForAgent } from './settings.ts'

export class FromProvider implements FrameHandler {
  readonly #ends: BothEnds

  constructor(ends: BothEnds) {
    this.#ends = ends
  }

  /** The gateway's own answers took of what the agent gave; the provider doesn't know of them. */
  mayTake(length: number): boolean {
    return this.#ends.window.fits(length)
  }

  headers(stream: number, list: HeaderList): void {
    this.#known(stream)
    this.#ends.heard = true
    this.#ends.streams.ofProvider(stream)?.answerHeaders(list)
  }

  data(stream: number, data: DataFrame): void {
    this.#known(stream)
    const { length } = data.frame.payload
    if (this.#ends.streams.ofProvider(stream)?.answerData(data)) this.#ends.window.passed(length)
    else if (length > 0) this.#ends.toProvider.windowUpdate(0, length)
  }

  reset(stream: number, code: number): void {
    this.#known(stream)
    this.#ends.streams.ofProvider(stream)?.providerReset(code)
  }

  settings(entries: Settings): void {
    const { toAgent, toProvider, fromAgent, shared } = this.#ends
    // What is said on a stream's WebSocket can't be held: clients open a connection for it instead.
    const tunnels = shared.holds.settings === undefined
    const passed = settingsForAgent(entries).filter(([id]) => tunnels || id !== SETTING.enableConnectProtocol)
    toProvider.limitTable(settingOf(entries, SETTING.headerTableSize))
    fromAgent.allowFrames(settingOf(passed, SETTING.maxFrameSize))
    this.#windowsBegin(settingOf(passed, SETTING.initialWindowSize))
    if (settingOf(passed, SETTING.enableConnectProtocol) === 1) this.#ends.tunnels = true
    toAgent.settings(passed)
  }

  #windowsBegin(initial: number | undefined): void {
    if (initial === undefined) return
    const { outlet, streams } = this.#ends
    const by = outlet.begins(initial)
    for (const exchange of streams.all()) exchange.outgoing.windowMoved(by)
    outlet.flush()
  }

  settingsAcknowledged(): void {
    this.#ends.toAgent.acknowledgeSettings()
  }

  ping({ raw }: Frame): void {
    this.#ends.toAgent.pass(0, raw)
  }

  /** Streams beyond the last may be asked for again elsewhere; those held back here too, once there is a last one. */
  goAway(lastStream: number, code: number, debug: Buffer): void {
    const { streams, toAgent } = this.#ends
    const goesOn = lastStream === MAX_STREAM_ID
    toAgent.goAway(goesOn ? MAX_STREAM_ID : streams.last, code, debug)
    if (goesOn) return
    for (const exchange of streams.all()) {
      if (exchange.providerStream === 0 || exchange.providerStream > lastStream) exchange.refusedByProvider()
    }
    this.#ends.closesWhenDone()
  }

  windowUpdate(stream: number, increment: number): void {
    const { streams, outlet, toAgent } = this.#ends
    if (stream > 0) this.#known(stream)
    const exchange = streams.ofProvider(stream)
    if (stream > 0 && !exchange) return
    const rest = exchange ? exchange.outgoing.providerTakes(increment) : outlet.given(increment)
    if (rest > 0) toAgent.windowUpdate(exchange?.stream ?? 0, rest)
    outlet.flush()
  }

  altSvc({ stream, raw }: Frame): void {
    const { hide, streams, toAgent } = this.#ends
    if (hide !== undefined) return
    const exchange = streams.ofProvider(stream)
    if (stream === 0 || exchange) toAgent.pass(exchange?.stream ?? 0, raw)
  }

  #known(stream: number): void {
    if (!this.#ends.streams.knownToProvider(stream)) {
      throw new FrameError(CODE.protocolError, 'a stream that was not opened')
    }
  }
}
