/** The gateway's own list of networks, as far as a page has use for it: a title, and where one looks things up. */
import networks from '../../../daemon/chain-writer/networks.json' with { type: 'json' }

interface Network {
  readonly title: string
  readonly chainId: number
  readonly explorer?: string
}

export const networkOf = (chainId: number): Network | undefined =>
  (networks as readonly Network[]).find((network) => network.chainId === chainId)

/** EIP-3091. */
export const explorerLink = (explorer: string, what: 'tx' | 'block', id: string | number): string =>
  `${explorer}/${what}/${id}`
