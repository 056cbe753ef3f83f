/**
 * Whether this gateway may anchor, and what it does about it: as its own log's owner it authorises itself; where the
 * log is somebody else's it submits what that owner signed, and says what is missing.
 */
import type { Health } from '../base/health.ts'
import { originHash } from './addresses.ts'
import { authorizationFile, readAuthorization, type StoredAuthorization } from './authorization-file.ts'
import { ChainError, refusalOf } from './chain-error.ts'
import { authorizationDocument, digestOf } from './delegation.ts'
import type { InFlight } from './journal.ts'
import type { LaneContext } from './lane-context.ts'
import { encode, FOREVER, type Registration, revertName } from './registry.ts'
import type { Signer } from './signer.ts'
import { transact } from './transact.ts'

/** An authorisation with less than this left is to be renewed: time to find an owner who signs once a year. */
const NOTICE_MS = 30 * 86_400_000
/** A block's time may lie behind ours; a renewal isn't urgent. */
const CLOCK_SLACK_MS = 60_000

/**
 * True where the gateway may anchor and nothing is to be sent; false while a transaction is under way.
 * @throws ChainError NOT_AUTHORIZED where somebody else has to act
 */
export async function authorized(
  lane: LaneContext,
  contract: string,
  registration: Registration,
  replacing?: InFlight,
): Promise<boolean> {
  const may = mayAnchor(lane, registration)
  if (lane.owner === lane.signer.address) {
    if (may) return true
    await authorizeItself(lane, contract, registration, replacing)
    return false
  }
  if (lane.ownerSigner !== undefined) {
    if (may) return true
    await submit(lane, contract, signedByFirst(lane, lane.ownerSigner, contract, registration), replacing)
    return false
  }
  const stored = storedOf(lane)
  const why = unusable(lane, contract, registration, stored)
  if (why === undefined) {
    try {
      await submit(lane, contract, stored as SignedByOwner, replacing)
      return false
    } catch (error) {
      const refusal = error instanceof ChainError && error.code === 'REVERTED' ? refusalOf(error) : undefined
      // A renewal that the contract refuses leaves the authorisation that holds as it is.
      if (refusal && may) return true
      if (!refusal) throw error
      throw notAuthorized(lane, `the contract refuses it (${revertName(refusal.data) ?? refusal.message})`)
    }
  }
  if (may) return true
  throw notAuthorized(lane, why)
}

const mayAnchor = ({ signer, now }: LaneContext, { gateway, until }: Registration) =>
  gateway === signer.address && until * 1000 > now()

async function authorizeItself(
  lane: LaneContext,
  contract: string,
  registration: Registration,
  replacing?: InFlight,
): Promise<void> {
  const data = encode.authorize({
    logId: originHash(lane.origin),
    // Of a log that is registered it is fixed, whatever the configuration says now.
    policy: registration.owner === undefined ? lane.policy : registration.policy,
    gateway: lane.signer.address,
    expiry: FOREVER,
    vkeyHash: lane.vkeyHash,
  })
  await transact(lane, { to: contract, data, purpose: { type: 'authorize' } }, replacing)
}

/** The gateway's first account owns the log and signs for the key that took its place, which pays. */
function signedByFirst(
  lane: LaneContext,
  owner: Signer,
  contract: string,
  registration: Registration,
): SignedByOwner {
  const given = {
    owner: owner.address,
    gateway: lane.signer.address,
    logId: originHash(lane.origin),
    vkeyHash: lane.vkeyHash,
    policy: registration.owner === undefined ? lane.policy : registration.policy,
    notBefore: 0,
    expiry: FOREVER,
    nonce: registration.nonce,
  }
  const digest = digestOf(authorizationDocument({ chainId: lane.chainId, contract }, given))
  return { v: 1, chainId: lane.chainId, contract, given, signature: owner.countersign(digest) }
}

type SignedByOwner = StoredAuthorization & { readonly signature: string }

/** The gateway's own signature says that it wants to be the one, whoever submits. */
async function submit(
  lane: LaneContext,
  contract: string,
  { given, signature }: SignedByOwner,
  replacing?: InFlight,
): Promise<void> {
  const digest = digestOf(authorizationDocument({ chainId: lane.chainId, contract }, given))
  const data = encode.authorizeSigned(given, signature, lane.signer.countersign(digest))
  await transact(lane, { to: contract, data, purpose: { type: 'authorize' } }, replacing)
}

const storedOf = ({ authorizations, name }: LaneContext) =>
  authorizations === undefined ? undefined : readAuthorization(authorizationFile(authorizations, name))

/** Why the stored authorisation is not to be submitted (now), in words; undefined where it is. */
function unusable(
  lane: LaneContext,
  contract: string,
  registration: Registration,
  stored: StoredAuthorization | undefined,
): string | undefined {
  if (stored?.signature === undefined) return 'none is stored'
  const { given } = stored
  if (stored.chainId !== lane.chainId || stored.contract !== contract)
    return `the stored one is for the contract ${stored.contract} of chain ${stored.chainId}`
  if (given.owner !== lane.owner) return `the stored one is of the owner ${given.owner}`
  if (given.gateway !== lane.signer.address) return `the stored one is for the gateway ${given.gateway}`
  if (given.logId !== originHash(lane.origin)) return 'the stored one is for another log'
  if (given.vkeyHash !== lane.vkeyHash) return 'the stored one is for another log key'
  if (given.nonce < registration.nonce) return 'the stored one was used or revoked'
  if (given.nonce > registration.nonce) return `the stored one waits for ${given.nonce} others before it`
  if (registration.owner !== undefined && given.policy !== registration.policy)
    return `the stored one says the policy ${given.policy}, the log has ${registration.policy} for good`
  if (given.notBefore * 1000 + CLOCK_SLACK_MS > lane.now())
    return `the stored one holds from ${iso(given.notBefore)} on`
  if (given.expiry * 1000 < lane.now()) return `the stored one ended at ${iso(given.expiry)}`
  return undefined
}

function notAuthorized({ owner, signer, name }: LaneContext, why: string): ChainError {
  return new ChainError(
    'NOT_AUTHORIZED',
    `the owner ${owner} has to authorise ${signer.address}: ${why}`,
    `Run \`agent-anchor chain authorization request --chain ${name}\`, have the owner's wallet sign what it prints, ` +
      'and give the signature to `agent-anchor chain authorization add`.',
  )
}

/** What is to be said of an authorisation that holds. */
export function authorizationHealth(
  { name, owner, policy, signer, now }: Pick<LaneContext, 'name' | 'owner' | 'policy' | 'signer' | 'now'>,
  registration: Registration,
): Health[] {
  const list: Health[] = []
  const left = registration.until * 1000 - now()
  if (owner !== signer.address && registration.gateway === signer.address && left > 0 && left < NOTICE_MS) {
    list.push({
      code: 'chain.authorization-expiring',
      severity: 'warning',
      title: `${name}: the owner's authorisation ends at ${iso(registration.until)}`,
      remedy: `Renew it: \`agent-anchor chain authorization request --chain ${name}\`. Without it nothing is anchored after that.`,
    })
  }
  if (registration.owner !== undefined && registration.policy !== policy) {
    list.push({
      code: 'chain.policy-fixed',
      severity: 'warning',
      title: `${name}: the log is registered under the policy ${registration.policy}, not ${policy}`,
      remedy: `A log's policy is fixed for good: set \`policy: ${registration.policy}\` for this chain, or begin a new log.`,
    })
  }
  return list
}

const iso = (seconds: number) => new Date(Math.min(seconds, 8.64e12) * 1000).toISOString()
