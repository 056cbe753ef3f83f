/**
 * The lane's journal: each transaction is in it, signed and durable, before the first byte of it is sent. So a
 * restart at any instant finds every transaction that may be out there, sends the same bytes again, and uses no
 * nonce twice for two things. At most one nonce is in flight; several transactions of it are replacements.
 *
 * What was spent stands in the same file, so that a transaction and its cost are booked in one write.
 */
import { readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { writeFileAtomic } from '../base/durable/files.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'
import { Decimal, Root } from './anchors.ts'
import { Spending, Wei } from './spending.ts'
import { Address, Hash } from './values.ts'

const Purpose = z.discriminatedUnion('type', [
  z.object({ type: z.literal('deploy'), contract: Address }),
  /** Of gateways before the contract registered a log by its first authorisation. */
  z.object({ type: z.literal('register') }),
  z.object({ type: z.literal('authorize') }),
  z.object({ type: z.literal('anchor'), size: Decimal, root: Root, note: z.string().max(10_000) }),
])
export type Purpose = z.infer<typeof Purpose>

const SignedTransaction = z.object({
  hash: Hash,
  raw: z.string().regex(/^0x[0-9a-f]+$/),
  purpose: Purpose,
  /** Milliseconds since the epoch. */
  signed: z.number(),
  /** The most that it may cost. */
  cost: Wei.optional(),
  /** The part of it that the parent chain's fee was reckoned to be. */
  l1Fee: Wei.optional(),
})
export type SignedTransaction = z.infer<typeof SignedTransaction>

const InFlight = z.object({
  chainId: z.int().positive(),
  nonce: z.int().nonnegative(),
  /** Oldest first; all have the same nonce. */
  transactions: z.array(SignedTransaction).min(1).max(100),
})
export type InFlight = z.infer<typeof InFlight>

const Content = z.object({
  inFlight: InFlight.nullable(),
  spending: Spending.optional(),
  /** The one after the last that was seen used up. */
  nextNonce: z.int().nonnegative().optional(),
  /** Of the contract, mined since it was last seen there. */
  deployments: z.int().nonnegative().optional(),
  /** The largest tree that a transaction was ever signed for: nothing that doesn't extend it may be. */
  tree: z.object({ logKey: Hash, size: Decimal, root: Root }).optional(),
})
type Content = z.infer<typeof Content>

const SUFFIX = '.journal.json'
const Document = Content.extend({ v: z.literal(1) })

export interface Journal extends Readonly<Omit<Content, 'inFlight'>> {
  readonly inFlight: InFlight | undefined
  /** Durable once it resolves; all in one write. */
  put(changes: Partial<Omit<Content, 'inFlight'>> & { inFlight?: InFlight | undefined }): Promise<void>
}

/** Opens the journal of a lane; a damaged one is set aside (`damaged` names it): what it held is on the chain or lost. */
export async function openJournal(
  directory: string,
  name: string,
): Promise<{ journal: Journal; damaged?: string }> {
  const file = join(directory, name + SUFFIX)
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const parsed = bytes === undefined ? { inFlight: null } : parse(bytes)
  if (!parsed) await rename(file, `${file}.damaged`)

  let content: Content = parsed ?? { inFlight: null }
  const journal: Journal = {
    get inFlight() {
      return content.inFlight ?? undefined
    },
    get spending() {
      return content.spending
    },
    get nextNonce() {
      return content.nextNonce
    },
    get deployments() {
      return content.deployments
    },
    get tree() {
      return content.tree
    },
    async put(changes) {
      const next = { ...content, ...changes, inFlight: changes.inFlight ?? null }
      if (!('inFlight' in changes)) next.inFlight = content.inFlight
      await writeFileAtomic(file, formatSummed({ v: 1, ...next }))
      content = next
    },
  }
  return parsed ? { journal } : { journal, damaged: `${file}.damaged` }
}

/** Names of the journals in a chain-writer's directory that are not what was put there. Reads only. */
export async function damagedJournals(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return []
    throw error
  })
  const damaged: string[] = []
  for (const name of names.filter((name) => name.endsWith(SUFFIX))) {
    if (parse(await readFile(join(directory, name))) === undefined) damaged.push(name)
  }
  return damaged
}

function parse(bytes: Buffer): Content | undefined {
  try {
    const { v: _, ...content } = Document.parse(parseSummed(bytes))
    return content
  } catch {
    return undefined
  }
}
