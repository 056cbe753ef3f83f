/** A chain in the status: where its newest anchor stands, how certain that is, and what there is to pay with; pure. */
import { inCoins } from '../../daemon/chain-writer/fees.ts'
import { explorerLink } from '../../daemon/chain-writer/networks.ts'
import { ago } from '../ago.ts'
import type { ChainStatus } from '../recorder-status.ts'

export function chainLines(chain: ChainStatus, now: Date): string[] {
  const { anchored, explorer } = chain
  return [
    anchorText(chain, now),
    ...(anchored && explorer !== undefined ? [explorerLink(explorer, 'tx', anchored.transaction)] : []),
    ...(chain.funds === undefined ? [] : [fundsText(chain, chain.funds)]),
  ]
}

function anchorText({ name, anchored, label, waitingSince, funds }: ChainStatus, now: Date): string {
  // On a development chain, which alone has no funds to speak of, finality means nothing.
  const finality = funds === undefined || anchored?.finality === undefined ? '' : `${anchored.finality}, `
  const newest =
    anchored === undefined
      ? 'none yet'
      : `${anchored.size} leaves in block ${anchored.block}, ${finality}${ago(anchored.time, now)} ago`
  const waiting =
    waitingSince === undefined || funds === undefined ? '' : `; newer ones wait for ${ago(waitingSince, now)}`
  return `${name}: ${newest}${waiting}${label === undefined ? '' : ` (${label})`}`
}

function fundsText(
  { currency = 'coins', gatewayAddress = 'the account' }: ChainStatus,
  { balance, spentToday, budget, lastAnchor }: NonNullable<ChainStatus['funds']>,
): string {
  const held =
    balance === undefined
      ? `${gatewayAddress} was not asked for yet`
      : `${inCoins(BigInt(balance))} ${currency}${enoughFor(balance, lastAnchor)}`
  const limit = budget === undefined ? '' : ` of ${inCoins(BigInt(budget))}`
  return `${held}; ${inCoins(BigInt(spentToday))}${limit} ${currency} spent today`
}

function enoughFor(balance: string, lastAnchor: string | undefined): string {
  if (lastAnchor === undefined || lastAnchor === '0') return ''
  const count = BigInt(balance) / BigInt(lastAnchor)
  // Two digits: fees change by the hour.
  const rough = count < 100n ? count.toString() : Number(Number(count).toPrecision(2)).toLocaleString('en')
  return `, enough for about ${rough} anchors`
}
