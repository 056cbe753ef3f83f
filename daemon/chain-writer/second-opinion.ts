/**
 * What another endpoint of the chain says. One endpoint alone can lie or lag: where several are configured, nothing
 * grave (a contradiction, a loss, finality) is concluded from the word of one.
 */
import { type Chain, chainOver } from './chain.ts'
import { ChainError } from './chain-error.ts'
import type { LaneContext } from './lane-context.ts'

export type Opinion =
  /** One endpoint is configured: its word is all there is. */
  | { readonly says: 'alone' }
  | { readonly says: 'the-same' | 'otherwise'; readonly host: string }
  /** There are others, and none answers. */
  | { readonly says: 'nothing' }

/** Asks the others in turn until one answers. @param agrees whether the endpoint bears out what the first one said */
export async function secondOpinion(
  { endpoints }: LaneContext,
  agrees: (chain: Chain) => Promise<boolean>,
): Promise<Opinion> {
  if (endpoints.count === 1) return { says: 'alone' }
  for (const rpc of endpoints.others()) {
    try {
      return { says: (await agrees(chainOver(rpc))) ? 'the-same' : 'otherwise', host: rpc.host }
    } catch (error) {
      if (!(error instanceof ChainError)) throw error
    }
  }
  return { says: 'nothing' }
}

/**
 * Ends the round where another endpoint contradicts the one that answered, which then rests: the next round asks
 * another. @throws ChainError UNCONFIRMED
 */
export function refuseContradicted(lane: LaneContext, opinion: Opinion, what: string): void {
  if (opinion.says !== 'otherwise') return
  const error = unconfirmed(`${lane.chain.rpc.host} says that ${what}, ${opinion.host} says otherwise`)
  lane.endpoints.distrust(error)
  throw error
}

export const unconfirmed = (what: string) =>
  new ChainError(
    'UNCONFIRMED',
    what,
    'Nothing is concluded from one endpoint alone. If it stays so, look which of `rpc` lags or lies, and replace it.',
  )
