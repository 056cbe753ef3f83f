/** What the owner is asked to sign, and what becomes of the signature. */
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import {
  authorizationFile,
  readAuthorization,
  requestFile,
  Signature,
  type StoredAuthorization,
  writeAuthorization,
} from '../../daemon/chain-writer/authorization-file.ts'
import type { Chain } from '../../daemon/chain-writer/chain.ts'
import {
  authorizationDocument,
  digestOf,
  signerOf,
  type TypedData,
} from '../../daemon/chain-writer/delegation.ts'
import { agrees } from '../../daemon/chain-writer/wallet-contract.ts'
import { BadSignature, FileUnusable, NoRequest } from '../cli-error.ts'
import type { OwnedLog } from './owned-log.ts'

const DAY = 86_400
/** A block's time may lie behind this machine's. */
const CLOCK_SLACK = 300

/** Makes the document for the owner's wallet, and keeps it for when the signature comes. */
export async function requestAuthorization(log: OwnedLog, days: number, now: number): Promise<TypedData> {
  const { contract, registration } = await log.onChain()
  const seconds = Math.floor(now / 1000)
  const stored: StoredAuthorization = {
    v: 1,
    chainId: log.chainId,
    contract,
    given: {
      owner: log.owner,
      gateway: log.gateway,
      logId: log.logId,
      vkeyHash: log.vkeyHash,
      policy: log.policyOf(registration),
      notBefore: seconds - CLOCK_SLACK,
      expiry: seconds + days * DAY,
      nonce: registration.nonce,
    },
  }
  await writeAuthorization(log.authorizations, requestFile(log.authorizations, log.name), stored)
  return authorizationDocument(stored, stored.given)
}

/** Checks the owner's signature of what was asked last, and puts it where the gateway finds it. */
export async function addAuthorization(log: OwnedLog, signature: string): Promise<StoredAuthorization> {
  const asked = readAuthorization(requestFile(log.authorizations, log.name))
  if (asked === undefined) throw new NoRequest(log.name)
  const digest = digestOf(authorizationDocument(asked, asked.given))
  await assertSigned(asked.given.owner, digest, signature, log.chain)
  const stored = { ...asked, signature }
  await writeAuthorization(log.authorizations, authorizationFile(log.authorizations, log.name), stored)
  return stored
}

/**
 * As the contract will look at it: a key's signature first, which needs no chain; else the owner's own contract.
 * @throws CliError BAD_SIGNATURE, ChainError
 */
export async function assertSigned(
  owner: string,
  digest: string,
  signature: string,
  chain: Chain,
): Promise<void> {
  const signer = signerOf(digest, signature)
  if (signer === owner) return
  if (await agrees(chain, owner, digest, signature)) return
  throw new BadSignature(owner, signer)
}

const MAX_BYTES = 64 << 10

/** A signature in a file or, by `-`, on stdin: hex by itself, or JSON with it as `signature`. */
export async function readSignature(file: string): Promise<string> {
  const content = await (file === '-' ? text(process.stdin) : readFile(file, 'utf8')).catch(
    (error: unknown) => {
      throw new FileUnusable('read', file, error)
    },
  )
  const signature = Signature.safeParse(content.length > MAX_BYTES ? '' : canonical(hexIn(content.trim())))
  if (signature.success) return signature.data
  throw new BadSignature(undefined, undefined)
}

function hexIn(content: string): string {
  if (!content.startsWith('{') && !content.startsWith('"')) return content
  try {
    const document: unknown = JSON.parse(content)
    if (typeof document === 'string') return document
    return String((document as { signature?: unknown }).signature)
  } catch {
    return ''
  }
}

/** Some wallets count v from 0, where the contract counts from 27; some leave the 0x away. */
function canonical(hex: string): string {
  const prefixed = hex.startsWith('0x') ? hex : `0x${hex}`
  const v = prefixed.length === 132 ? { '00': '1b', '01': '1c' }[prefixed.slice(130)] : undefined
  return v === undefined ? prefixed : prefixed.slice(0, 130) + v
}
