/** How the log stands on each chain, for a terminal; pure. */
import type { ChainStatus } from '../live-state.ts'
import { ago } from '../status-text.ts'
import { table } from '../terminal.ts'

export function chainsText(chains: readonly ChainStatus[], now: Date): string {
  return chains.map((chain) => table(rows(chain, now))).join('\n\n')
}

function rows(chain: ChainStatus, now: Date): string[][] {
  const { name, chainId, label, contract, logKey, owner, gatewayAddress, authorization, head, anchored } =
    chain
  const { balance } = chain.funds ?? {}
  const found: [string, string | undefined][] = [
    ['chain', `${name}, id ${chainId}${label === undefined ? '' : ` (${label})`}`],
    ['contract', contract ?? 'none yet'],
    ['log', logKey],
    ['gateway', gatewayAddress],
    ['balance', balance === undefined ? undefined : `${inUnits(balance)} ${chain.currency ?? ''}`],
    ['owner', owner === gatewayAddress ? 'the gateway itself' : owner],
    [
      'authorised',
      authorization === undefined
        ? 'not seen yet'
        : `policy ${authorization.policy}, ${authorization.until === undefined ? 'for good' : `until ${authorization.until}`}`,
    ],
    ['head', head === undefined || head.size === '0' ? 'none yet' : `${head.size} leaves, root ${head.root}`],
    [
      'anchor',
      anchored === undefined
        ? 'none yet'
        : `${anchored.size} leaves in block ${anchored.block}, ${ago(anchored.time, now)} ago, transaction ${anchored.transaction}`,
    ],
    ['', anchored && chain.explorer && `${chain.explorer.replace(/\/$/, '')}/tx/${anchored.transaction}`],
    ...(chain.health ?? []).flatMap(({ title, remedy }): [string, string][] => [
      ['state', title],
      ['', remedy],
    ]),
  ]
  return found.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
}

/** Wei in the chain's main unit, to a millionth. */
const inUnits = (wei: string) => (Number(BigInt(wei) / 10n ** 12n) / 1e6).toString()
