/**
 * `chains` of gateway.yaml. A network known by name (daemon/chain-writer/networks.json) needs a name and an endpoint;
 * another chain says for itself what there is to know. What contradicts the networks file is an error, not a choice:
 * a chain that is called `base` and is another one would be read wrongly in every receipt.
 */
import { z } from 'zod'
import { STRATEGIES } from '../chain-writer/fees.ts'
import { FEE_MODELS, NETWORKS, networkNamed, networkOf } from '../chain-writer/networks.ts'
import { httpUrl } from './http-url.ts'

const chainName = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}$/, 'a chain name is of lower-case letters, digits and `-`, 32 at most')

/** Digits as written: a binary fraction is no amount of money. */
const amount = z.preprocess(
  (value) => (typeof value === 'number' ? String(value) : value),
  z
    .string()
    .regex(
      /^[0-9]{1,12}(\.[0-9]{1,18})?$/,
      "this must be a plain decimal number such as 0.05 (write very small ones in quotes: '0.0000005')",
    ),
)

const strategy = z
  .union(
    [z.enum(['slow', 'normal', 'fast']), z.int().min(1).max(99)],
    '`strategy` must be `slow`, `normal`, `fast` or a percentile from 1 to 99',
  )
  .transform((value) => (typeof value === 'number' ? value : STRATEGIES[value]))

const Fees = z
  .strictObject({
    /** Of the tips that others paid in the last blocks, the percentile to offer. */
    strategy: strategy.exactOptional(),
    /** Of one gas, in gwei. */
    maxGwei: amount.exactOptional(),
    maxTipGwei: amount.exactOptional(),
    /** In the chain's currency, the parent chain's part included. */
    maxPerAnchor: amount.exactOptional(),
    maxPerDay: amount.exactOptional(),
    /** Of a chain that isn't in the networks file. */
    model: z.enum(FEE_MODELS).exactOptional(),
  })
  .transform(({ strategy: percentile, ...fees }) =>
    percentile === undefined ? fees : { ...fees, percentile },
  )

const names = NETWORKS.filter(({ kind }) => kind !== 'development')
  .map(({ name }) => name)
  .join(', ')

const chainId = z
  .int({
    error: ({ input }) =>
      input === undefined
        ? `missing key \`chainId\`: the chain's name is none of the networks known here (${names})`
        : undefined,
  })
  .min(1)

/** What a log has on any chain. */
const logOnChain = {
  name: chainName,
  /** Account that owns the log and authorises the gateway by signature; absent: the gateway's own account. */
  owner: z
    .string()
    .regex(/^0x[0-9a-fA-F]{40}$/, 'an account is `0x` and 40 hex digits')
    .exactOptional(),
  /** Fixed when the log is registered; absent: `consistent`. */
  policy: z.enum(['head', 'consistent', 'history']).exactOptional(),
}

const Chain = z.preprocess(
  filledIn,
  z.discriminatedUnion('kind', [
    /** The embedded chain: works without a network, and is no independent evidence. */
    z.strictObject({ ...logOnChain, kind: z.literal('development') }),
    z.strictObject({
      ...logOnChain,
      kind: z.literal('rpc'),
      chainId,
      /** Asked in this order. */
      rpc: z.array(httpUrl).min(1).max(10),
      /** AnchorRegistry's address; absent: where CREATE2 puts it. */
      contract: z
        .string()
        .regex(/^0x[0-9a-fA-F]{40}$/, 'a contract address is `0x` and 40 hex digits')
        .exactOptional(),
      /** Blocks upon an anchor before it counts as final, where the endpoint has no tags for it. */
      confirmations: z.int().min(0).max(10_000).exactOptional(),
      currency: z
        .string()
        .regex(/^[A-Za-z0-9.]{1,12}$/, 'a currency is 1 to 12 letters and digits, such as `ETH`')
        .exactOptional(),
      /** Links by EIP-3091 begin with it. */
      explorer: httpUrl.max(200).exactOptional(),
      fees: Fees.exactOptional(),
    }),
  ]),
)

/** What need not be written: the kind, and a known network's id. */
function filledIn(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const chain = value as Record<string, unknown>
  const network = typeof chain.name === 'string' ? networkNamed(chain.name) : undefined
  const kind = chain.kind ?? (network?.kind === 'development' ? 'development' : 'rpc')
  const known = kind === 'rpc' && network && network.kind !== 'development'
  return { ...chain, kind, ...(known && chain.chainId === undefined ? { chainId: network.chainId } : {}) }
}

export const Chains = z
  .array(Chain)
  .min(1, 'at least one chain must be here; `kind: development` needs nothing from outside')
  .max(16)
  .superRefine(differentChains)
  .superRefine(asTheNetworksSay)

type ChainList = readonly z.output<typeof Chain>[]

function differentChains(chains: ChainList, context: z.RefinementCtx): void {
  const names = new Set<string>()
  const ids = new Map<number, string>()
  let development: string | undefined
  for (const [index, chain] of chains.entries()) {
    if (names.has(chain.name)) {
      const message = `another chain is called \`${chain.name}\`: give each a name of its own`
      context.addIssue({ code: 'custom', path: [index, 'name'], message })
    }
    names.add(chain.name)
    if (chain.kind === 'rpc') {
      const other = ids.get(chain.chainId)
      if (other !== undefined) {
        const message = `\`${other}\` is chain ${chain.chainId} already: list all its endpoints in one \`rpc\``
        context.addIssue({ code: 'custom', path: [index, 'name'], message })
      }
      ids.set(chain.chainId, other ?? chain.name)
      continue
    }
    if (development !== undefined) {
      const message = `\`${development}\` is the development chain already: there is one`
      context.addIssue({ code: 'custom', path: [index, 'kind'], message })
    }
    development ??= chain.name
  }
}

function asTheNetworksSay(chains: ChainList, context: z.RefinementCtx): void {
  for (const [index, chain] of chains.entries()) {
    const named = networkNamed(chain.name)
    const refuse = (key: string, message: string) =>
      context.addIssue({ code: 'custom', path: [index, key], message })
    if (chain.kind === 'development') {
      if (named && named.kind !== 'development') {
        refuse(
          'name',
          `\`${chain.name}\` is the network ${named.title}: call the development chain otherwise`,
        )
      }
      continue
    }
    if (named && named.chainId !== chain.chainId) {
      refuse(
        'chainId',
        `${named.title} has the chain id ${named.chainId}, not ${chain.chainId}: leave \`chainId\` out, or give the chain another name`,
      )
    }
    const network = networkOf(chain.chainId)
    if (network && chain.currency !== undefined && chain.currency !== network.currency) {
      refuse('currency', `${network.title} pays in ${network.currency}: leave \`currency\` out`)
    }
  }
}
