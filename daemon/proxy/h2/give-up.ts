/** What an HTTP/2 connection leaves when patience with it ends: each exchange's record says whose silence it was. */
import { recordRefusedRequest } from '../relay/refused-request.ts'
import { endOfPatience, headTimeout } from '../relay/stalled.ts'
import type { AgentPipe } from './agent-pipe.ts'
import type { BothEnds } from './both-ends.ts'

export function giveUp(ends: BothEnds, agent: Pick<AgentPipe, 'full' | 'waitsFor'>): void {
  const { shared, governed, fromAgent, streams } = ends
  const { name } = governed
  for (const exchange of streams.all()) {
    const answering = agent.full || exchange.answering
    const { outcome, error } = endOfPatience({ name, answering, waitsFor: agent.waitsFor })
    exchange.fail(outcome, error)
  }
  if (fromAgent.inBlock || fromAgent.inFrame) recordRefusedRequest(shared, governed, headTimeout())
}
