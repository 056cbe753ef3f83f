/**
 * What a connection is after 101: a WebSocket, recorded turn by turn, or something else, whose bytes belong to the
 * exchange that opened it. It is over when both sides have ended.
 */
import type { EndPayload, Outcome } from '../../recorder/protocol.ts'
import { now } from '../clock.ts'
import { examines } from '../examination/examination.ts'
import type { ResponseHead } from '../http/head.ts'
import { ProxyError } from '../proxy-error.ts'
import { recordId } from '../record-id.ts'
import { PAUSED_BY } from '../upstream/connection.ts'
import { asksForWebSocket, isWebSocket } from '../web-socket/extensions.ts'
import { WebSocketRelay } from '../web-socket/web-socket.ts'
import { AGENT_PAUSED_BY, type AgentSide } from './agent-side.ts'
import type { Shared } from './facts.ts'
import type { Recording } from './recording.ts'
import type { RequestSide } from './request-side.ts'

/** What an upgraded connection needs of its exchange. */
export interface UpgradeHost {
  readonly recording: Recording | undefined
  readonly facts: Pick<EndPayload, 'upstream' | 'destinationMismatch' | 'flags'>
  /** What was held of the provider's. */
  toAgent(bytes: Buffer): void
  failed(error: unknown): void
  unrecorded(reason: string): void
}

const unreadable = () =>
  new ProxyError('unexpected_upgrade', 'it switches to something else than was asked', 'Tell the provider.')

export class Upgrade {
  readonly #request: RequestSide
  readonly #host: UpgradeHost
  readonly #webSocket: WebSocketRelay | undefined

  constructor(shared: Shared, agent: AgentSide, request: RequestSide, head: ResponseHead, host: UpgradeHost) {
    this.#request = request
    this.#host = host
    if (!request.recorded || !isWebSocket(request.head, head)) {
      // The agent asked for a WebSocket, whose messages were to be judged.
      if (examines(shared.policy) && asksForWebSocket(request.head)) throw unreadable()
      return
    }
    // The handshake's record ends here; each turn makes one of its own.
    const { recording, facts } = host
    const id = recording?.id ?? recordId(now())
    recording?.end({ outcome: 'complete', ...facts })
    const connection = { request: request.head, response: head, id, facts }
    this.#webSocket = new WebSocketRelay(shared, request.recorded, connection, {
      toAgent: (bytes) => host.toAgent(bytes),
      toProvider: (bytes) => request.push(bytes),
      pauseAgent: (paused) => agent[paused ? 'pause' : 'resume'](AGENT_PAUSED_BY.webSocket),
      pauseProvider: (paused) =>
        request.outgoing.upstream?.[paused ? 'pause' : 'resume'](PAUSED_BY.webSocket),
      failed: (error) => host.failed(error),
      unrecorded: (reason) => host.unrecorded(reason),
      fewer: () => {},
    })
  }

  /** Recorded by itself: the exchange's own record has ended. */
  get isRecorded(): boolean {
    return this.#webSocket !== undefined
  }

  /** What the provider says goes out by {@link UpgradeHost.toAgent}, when it may. */
  get holds(): boolean {
    return this.#webSocket?.holds === true
  }

  /** @param then when the agent may be told so */
  providerEnded(then: () => void): void {
    if (this.#webSocket) this.#webSocket.providerEnded(then)
    else then()
  }

  fromAgent(bytes: Buffer): void {
    if (this.#webSocket) {
      this.#webSocket.fromAgent(bytes)
    } else {
      this.#host.recording?.requestBody([bytes])
      this.#request.push(bytes)
    }
  }

  fromProvider(parts: readonly Buffer[]): void {
    if (this.#webSocket) for (const part of parts) this.#webSocket.fromProvider(part)
    else this.#host.recording?.responseBody(parts)
  }

  /** @param then when the provider may be told so */
  agentEnded(then: () => void): void {
    if (this.#webSocket) this.#webSocket.agentEnded(then)
    else then()
  }

  /** No record can be kept, and the policy lets it go on. */
  goOn(): void {
    this.#webSocket?.goOn()
  }

  /** What the agent is told before the connection is cut. */
  lastWords(error: ProxyError): Buffer | undefined {
    return this.#webSocket?.closeFrame(error)
  }

  end(outcome: Outcome, error: EndPayload['error']): void {
    this.#webSocket?.end(outcome, error)
  }
}
