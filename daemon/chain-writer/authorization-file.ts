/**
 * Authorisations that owners signed, as root put them down for the chain-writer: `authorizations/NAME.json` in the
 * state directory. The directory is root's; what counts of a file is the signature in it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { makeDirectory, writeFileAtomic } from '../base/durable/files.ts'
import { formatSummed, parseSummed } from '../base/summed-json.ts'
import { ChainError } from './chain-error.ts'
import { FOREVER, POLICIES } from './registry.ts'
import { Address, Hash } from './values.ts'

const Seconds = z.int().min(0).max(FOREVER)
/** Of a key 65 bytes; contracts that stand for several keys take more. */
export const Signature = z
  .string()
  .regex(/^0x([0-9a-f]{2}){1,8192}$/i)
  .transform((text) => text.toLowerCase())

export const StoredAuthorization = z.strictObject({
  v: z.literal(1),
  chainId: z.int().positive(),
  contract: Address,
  given: z.strictObject({
    owner: Address,
    gateway: Address,
    logId: Hash,
    vkeyHash: Hash,
    policy: z.enum(POLICIES),
    notBefore: Seconds,
    expiry: Seconds,
    nonce: z
      .string()
      .regex(/^(0|[1-9][0-9]{0,19})$/)
      .transform(BigInt),
  }),
  /** The owner's. Absent while it is only asked for. */
  signature: Signature.optional(),
})
export type StoredAuthorization = z.output<typeof StoredAuthorization>

export const authorizationFile = (directory: string, chain: string) => join(directory, `${chain}.json`)
/** What the owner was asked to sign last. */
export const requestFile = (directory: string, chain: string) => join(directory, `${chain}.request.json`)

const MAX_BYTES = 64 << 10

/** Undefined where there is none. @throws ChainError STATE_DAMAGED */
export function readAuthorization(file: string): StoredAuthorization | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw unreadable(file, error)
  }
  if (bytes.length > MAX_BYTES) throw unreadable(file)
  let document: unknown
  try {
    document = parseSummed(bytes)
  } catch (error) {
    throw unreadable(file, error)
  }
  const parsed = StoredAuthorization.safeParse(document)
  if (!parsed.success) throw unreadable(file, parsed.error)
  return parsed.data
}

/** World-readable: it is public once it is on the chain, and the chain-writer isn't root. */
export async function writeAuthorization(
  directory: string,
  file: string,
  stored: StoredAuthorization,
): Promise<void> {
  await makeDirectory(directory, { mode: 0o755 })
  const document = { ...stored, given: { ...stored.given, nonce: String(stored.given.nonce) } }
  await writeFileAtomic(file, formatSummed(document), { mode: 0o644 })
}

/** Names of those that are not what was written, or asked for. @param directory may be absent */
export function damagedAuthorizations(directory: string): string[] {
  let names: string[]
  try {
    names = readdirSync(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
  return names.filter((name) => {
    try {
      return name.endsWith('.json') && readAuthorization(join(directory, name)) === undefined
    } catch (error) {
      if (error instanceof ChainError) return true
      throw error
    }
  })
}

function unreadable(file: string, cause?: unknown): ChainError {
  return new ChainError(
    'STATE_DAMAGED',
    `${file} is no stored authorisation`,
    'Remove it; ask the owner anew: `agent-anchor chain authorization request`.',
    cause,
  )
}
