/**
 * `anchors.json`: where the log stands on each chain, for the chain-writer after a restart and for the commands
 * beside it. The chain is the evidence; this file says where to look.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable/files.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'
import { ChainError } from './chain-error.ts'
import { Address, Hash } from './values.ts'

export const Decimal = z.string().regex(/^(0|[1-9][0-9]{0,18})$/)
export const Root = z.string().regex(/^[0-9a-f]{64}$/)
/** Chains are named by the configuration; the name is also part of file names. */
export const ChainName = z.string().regex(/^[a-z0-9][a-z0-9_-]{0,31}$/)

/** How certain it is that the chain keeps the block. */
export const FINALITIES = ['included', 'safe', 'finalized'] as const
export type Finality = (typeof FINALITIES)[number]

const Anchor = z.object({
  /** Leaves of the anchored tree, decimal. */
  size: Decimal,
  root: Root,
  /** The signed checkpoint of this size and root. Absent where the anchor was found on the chain, not made here. */
  note: z.string().max(10_000).optional(),
  transaction: Hash,
  block: z.int().nonnegative(),
  blockHash: Hash,
  /** Of the block, RFC 3339. */
  time: z.string().max(40),
  finality: z.enum(FINALITIES),
  /** Host of the RPC endpoint that said so. */
  rpc: z.string().max(300),
  /** Host of another endpoint that says the same: on a chain with several, nothing is final without. */
  confirmedBy: z.string().max(300).optional(),
})
export type Anchor = z.infer<typeof Anchor>

const ChainAnchors = z.object({
  name: ChainName,
  kind: z.enum(['development', 'rpc']),
  chainId: z.int().positive(),
  /** What an anchor on this chain is worth, where that needs saying. */
  label: z.string().max(200).optional(),
  contract: Address,
  logKey: Hash,
  gateway: Address,
  /** Nothing is anchored here any more, and what was stays evidence: see {@link retired}. */
  former: z.literal(true).optional(),
  /** Oldest first, sizes growing. Older ones are kept ever more sparsely: see {@link thinned}. */
  anchors: z.array(Anchor).max(10_000),
})
export type ChainAnchors = z.infer<typeof ChainAnchors>

const AnchorState = z.object({ v: z.literal(1), chains: z.array(ChainAnchors).max(64) })
export type AnchorState = z.infer<typeof AnchorState>

export const ANCHORS_FILE = 'anchors.json'
const MAX_BYTES = 64 << 20

/**
 * Reads the anchors of a state directory, beside a running daemon or without one; none where there is no file.
 * @throws ChainError STATE_DAMAGED
 */
export function readAnchors(directory: string): AnchorState {
  const file = join(directory, ANCHORS_FILE)
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return { v: 1, chains: [] }
    throw damaged(file, error)
  }
  if (bytes.length > MAX_BYTES) throw damaged(file)
  let document: object
  try {
    document = parseSummed(bytes)
  } catch (error) {
    throw damaged(file, error)
  }
  const parsed = AnchorState.safeParse(document)
  if (!parsed.success) throw damaged(file, parsed.error)
  return parsed.data
}

export const writeAnchors = (directory: string, state: AnchorState): Promise<void> =>
  writeFileAtomic(join(directory, ANCHORS_FILE), formatSummed(state), { mode: 0o644 })

export const anchorsFile = (directory: string) => join(directory, ANCHORS_FILE)

/**
 * The entries with what is anchored elsewhere from now on set apart: the contract has another version, the log
 * another owner, or the name stands for another chain. The development chain's is left out: it is no evidence, and its chain may start anew at any time.
 */
export function retired(
  chains: readonly ChainAnchors[],
  now: Pick<ChainAnchors, 'name' | 'chainId' | 'logKey'> & { readonly contract?: string },
): ChainAnchors[] {
  const { name, chainId, logKey, contract } = now
  return chains.flatMap((chain) => {
    if (chain.former || chain.name !== name) return [chain]
    const same = chain.chainId === chainId && chain.logKey === logKey
    if (same && chain.contract === (contract ?? chain.contract)) return [chain]
    if (chain.kind === 'development' || chain.anchors.length === 0) return []
    return [{ ...chain, former: true as const }]
  })
}

const KEPT = 512

/**
 * The list with one more anchor. A root covers every leaf before it, so any later anchor serves an old record; all
 * stay on the chain as events anyway. Past {@link KEPT} entries every second of the older half goes: the file
 * stays small, and dense where it is new.
 */
export function thinned(anchors: readonly Anchor[], next: Anchor): Anchor[] {
  const grown = [...anchors.filter((anchor) => BigInt(anchor.size) < BigInt(next.size)), next]
  if (grown.length <= KEPT) return grown
  return grown.filter((_, i) => i >= KEPT / 2 || i % 2 === 0)
}

function damaged(file: string, cause?: unknown): ChainError {
  return new ChainError(
    'STATE_DAMAGED',
    `${file} is damaged`,
    'Remove it and restart the gateway: the newest anchor is found again on the chain.',
    cause,
  )
}
