/** Settings of anchoring that can't all hold: found before the gateway starts, each with what to do. Pure. */
import { needsChain, needsHolding, quorumOf } from './level.ts'
import { type Anchoring, type AnchoringConfig, anchoringOf } from './settings.ts'

export interface Surroundings {
  readonly chains: readonly { readonly name: string; readonly kind: 'development' | 'rpc' }[]
  /** How many are configured. */
  readonly witnesses: number
  readonly durability: 'before-forward' | 'async'
}

export interface Contradiction {
  /** The key below `anchoring` that is best changed. */
  readonly key: keyof AnchoringConfig
  readonly message: string
}

/**
 * The chains that a quorum counts. The development chain is no independent evidence: beside another chain it doesn't
 * count, and alone it only shows how things work.
 */
export function countedChains<C extends { readonly kind: 'development' | 'rpc' }>(chains: readonly C[]): C[] {
  const independent = chains.filter(({ kind }) => kind !== 'development')
  return independent.length > 0 ? independent : [...chains]
}

export function contradictions(config: AnchoringConfig, around: Surroundings): Contradiction[] {
  const anchoring = anchoringOf(config)
  return [
    ...ofChains(anchoring, around),
    ...ofHolding(config, anchoring, around),
    ...ofLag(config, anchoring),
  ]
}

function ofChains({ acknowledge, quorum }: Anchoring, { chains, witnesses }: Surroundings): Contradiction[] {
  const found: Contradiction[] = []
  const counted = countedChains(chains)
  if (quorumOf(quorum, counted.length) > counted.length) {
    const message = `${quorum} chains can't agree where ${counted.length} count${chains.length > counted.length ? ' (the development chain is no independent evidence)' : ''}: add chains or lower it`
    found.push({ key: 'quorum', message })
  }
  if (acknowledge === 'witnessed' && witnesses === 0) {
    const message = '`witnessed` needs witnesses: name some in `ledger.witnesses`, or take another level'
    found.push({ key: 'acknowledge', message })
  }
  const idle = counted.find(({ kind }) => kind === 'development')
  if (idle && (acknowledge === 'safe' || acknowledge === 'finalized')) {
    const message = `the development chain makes a block for each anchor and none beside, so \`${acknowledge}\` is never reached there: take \`included\`, or add a chain of its own`
    found.push({ key: 'acknowledge', message })
  }
  return found
}

function ofHolding(
  config: AnchoringConfig,
  { acknowledge, maxDelayMs, maxLeaves, maxHoldMs }: Anchoring,
  { durability }: Surroundings,
): Contradiction[] {
  if (!needsHolding(acknowledge)) {
    if (config.maxHoldMs === undefined) return []
    const message =
      'no answer is held where `acknowledge` is `local`: take this out, or name a level to wait for'
    return [{ key: 'maxHoldMs', message }]
  }
  const found: Contradiction[] = []
  if (durability === 'async') {
    const message =
      'an answer can’t wait for evidence of a request that may be lost: set `recording.durability: before-forward`, or `acknowledge: local`'
    found.push({ key: 'acknowledge', message })
  }
  if (needsChain(acknowledge) && maxLeaves > 1 && maxDelayMs >= maxHoldMs) {
    const message = `anchors may be sent only every ${maxDelayMs} ms, and answers would be held ${maxHoldMs} ms at most: lower it, set \`maxLeaves: 1\`, or raise \`maxHoldMs\``
    found.push({ key: 'maxDelayMs', message })
  }
  return found
}

function ofLag(config: AnchoringConfig, { maxDelayMs, onFailure, maxLagMs }: Anchoring): Contradiction[] {
  const found: Contradiction[] = []
  if (typeof onFailure === 'object' && onFailure.blockAfterMs <= maxDelayMs) {
    const message = `an anchor may be ${maxDelayMs} ms late without any failure: \`blockAfterMs\` must be more`
    found.push({ key: 'onFailure', message })
  }
  if (config.maxLagMs !== undefined && maxLagMs <= maxDelayMs) {
    const message = `an anchor may be ${maxDelayMs} ms late without any failure: the objective must be more`
    found.push({ key: 'maxLagMs', message })
  }
  return found
}
