/** What an exchange on a stream needs of the two connections between which it stands. */
import type { Outcome } from '../../recorder/protocol.ts'
import type { ProxyError } from '../proxy-error.ts'
import type { Governed, Shared } from '../relay/facts.ts'
import type { UpstreamConnection } from '../upstream/connection.ts'
import type { AgentWindow } from './agent-window.ts'
import type { Outlet } from './outlet.ts'
import type { Answered } from './own-answer.ts'
import type { Sender } from './sender.ts'
import type { OnStream, Streams } from './streams.ts'

export interface ExchangeHost {
  readonly shared: Shared
  readonly governed: Governed
  readonly streams: Pick<Streams<OnStream>, 'opened' | 'ofAgent'>
  readonly window: Pick<AgentWindow, 'takes' | 'roomFor' | 'sentAgain'>
  readonly toAgent: Sender
  /** What is sent while there is no connection is lost. */
  readonly toProvider: Sender
  readonly outlet: Outlet
  readonly upstream: UpstreamConnection | undefined
  /** Why there is no connection to the provider, or none any more. */
  readonly failure: { readonly outcome: Outcome; readonly error: ProxyError } | undefined
  /** The agent dialled an address that is none of the name's. */
  readonly mismatch: boolean | undefined
  /** Name of a field that the agent isn't shown. */
  readonly hide: string | undefined
  /** Answers a stream on which nothing was answered yet. */
  answer(to: Answered, error: ProxyError): void
  /** The agent may send so much more on a stream, and on its connection. */
  returned(stream: number, length: number): void
  /** Bytes that the agent sent, and that go nowhere. */
  discarded(length: number): void
  /** Nothing more is read until all who wait may proceed. */
  wait(who: object): void
  proceed(who: object): void
  over(exchange: OnStream): void
}
