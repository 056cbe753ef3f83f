/** What the frames of either side are passed on by: both connections and all that stands between them. */
import type { AgentWindow } from './agent-window.ts'
import type { Allowance } from './allowance.ts'
import type { H2Exchange } from './exchange.ts'
import type { ExchangeHost } from './exchange-host.ts'
import type { Receiver } from './receiver.ts'
import type { Streams } from './streams.ts'

export interface BothEnds extends ExchangeHost {
  readonly streams: Streams<H2Exchange>
  readonly window: AgentWindow
  readonly allowance: Allowance
  readonly fromAgent: Receiver
  readonly fromProvider: Receiver
  /** No new stream is taken any more. */
  readonly closing: boolean
  /** The provider answered something. */
  heard: boolean
  /** The provider takes extended CONNECT. */
  tunnels: boolean
  /** The agent sent or took something of an exchange. */
  progressed(): void
  /** The agent takes more: answers that were held may go on. */
  answersGoOn(): void
  /** The agent takes more: what waited for that may come. */
  windowOpened(): void
  /** Tells the agent that no new stream is taken, and closes once those under way are over. */
  leave(code: number): void
  /** The same where the agent was told already. */
  closesWhenDone(): void
}
