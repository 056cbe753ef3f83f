/** How the log stands on each chain, for a terminal; pure. */

import type { ChainStatus } from '../recorder-status.ts'
import { chainLines } from '../status/chain-lines.ts'
import { table } from '../terminal.ts'

export function chainsText(chains: readonly ChainStatus[], now: Date): string {
  return chains.map((chain) => table(rows(chain, now))).join('\n\n')
}

function rows(chain: ChainStatus, now: Date): string[][] {
  const { name, chainId, contract, logKey, owner, gatewayAddress, authorization, head } = chain
  const found: [string, string | undefined][] = [
    ['chain', `${name}, id ${chainId}`],
    ['contract', contract ?? 'none yet'],
    ['log', logKey],
    ['gateway', gatewayAddress],
    ['owner', owner === gatewayAddress ? 'the gateway itself' : owner],
    [
      'authorised',
      authorization === undefined
        ? 'not seen yet'
        : `policy ${authorization.policy}, ${authorization.until === undefined ? 'for good' : `until ${authorization.until}`}`,
    ],
    ['head', head === undefined || head.size === '0' ? 'none yet' : `${head.size} leaves, root ${head.root}`],
  ]
  return [
    ...found.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ...chainLines(chain, now).map((line, i) => [i === 0 ? 'anchor' : '', line]),
    ...(chain.health ?? []).flatMap(({ title, remedy }) => [
      ['state', title],
      ['', remedy],
    ]),
  ]
}
