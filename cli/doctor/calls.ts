/** Calls to the canary provider: by curl, of each kind, and by each runtime. */
import { lookup } from 'node:dns/promises'
import { messageOf } from '../../daemon/base/errors.ts'
import { openIdentity } from '../../daemon/supervisor/identity.ts'
import { readCounters } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import { callOnce, openCanary } from '../../installers/canary.ts'
import type { RulesInForce } from '../../policies/rules.ts'
import type { Evidence } from '../evidence.ts'
import { verifyRecord } from '../verification.ts'
import { canaryChecks } from './canaries.ts'
import { asItComes, type Check } from './check.ts'
import { hostsToCall } from './rule-call.ts'
import { type Caller, callWithEach } from './runtimes.ts'

const RECORD_MS = 5000
const ORDINARY = 'an ordinary call'

interface Calls {
  readonly evidence: Evidence
  readonly rules: RulesInForce
  readonly caller: Caller
  /** A known address of a provider's name. */
  readonly addressOf: (host: string) => string | undefined
}

export async function* calls({ evidence, rules, caller, addressOf }: Calls): AsyncGenerator<Check> {
  try {
    const { authority } = await openIdentity(evidence.config, evidence.paths, rules)
    await using _ = await openCanary(authority.found.inOrder)
    const ordinary = await capture(evidence, caller.uid)
    yield { ...ordinary, proof: true }
    // What isn't captured tells nothing more by being repeated.
    if (ordinary.result !== 'held') return
    const addresses = await lookedUp(hostsToCall(rules), addressOf)
    const kinds = canaryChecks({
      evidence,
      rules,
      uid: caller.uid,
      addressOf: (host) => addresses.get(host) ?? addressOf(host),
    })
    yield* asItComes([kinds, callWithEach(caller)])
  } catch (error) {
    yield { check: ORDINARY, result: 'failed', detail: messageOf(error), proof: true }
  }
}

/** Addresses that names share are kept under one of them. */
async function lookedUp(
  hosts: readonly string[],
  addressOf: Calls['addressOf'],
): Promise<ReadonlyMap<string, string>> {
  const found = await Promise.all(
    hosts.map(async (host) => {
      const address = addressOf(host) ?? (await lookup(host).catch(() => undefined))?.address
      return address === undefined ? [] : [[host, address] as const]
    }),
  )
  return new Map(found.flat())
}

/** It must be redirected, recorded and provable. */
async function capture(evidence: Evidence, uid: number): Promise<Check> {
  const check = ORDINARY
  try {
    const since = Date.now()
    const before = await readCounters(systemNft())
    await callOnce(uid)
    const after = await readCounters(systemNft())
    if ((after.redirected?.packets ?? 0) <= (before.redirected?.packets ?? 0))
      return { check, result: 'failed', detail: 'it went through, but no connection was redirected' }
    for (const end = since + RECORD_MS; Date.now() < end; await new Promise((go) => setTimeout(go, 100))) {
      const [row] = evidence.index.list({ limit: 1, provider: 'canary' })
      if (row === undefined || Date.parse(row.time) < since) continue
      if ((evidence.ledger.checkpoint()?.size ?? 0n) <= BigInt(row.leaf)) continue
      const findings = await verifyRecord(evidence, row.id)
      const wrong = findings.find(({ result }) => result === 'failed')
      return wrong === undefined
        ? { check, result: 'held', detail: `captured, recorded and verified as ${row.id}` }
        : { check, result: 'failed', detail: `record ${row.id}: ${wrong.check}: ${wrong.detail}` }
    }
    return { check, result: 'failed', detail: 'it went through, but no record of it came' }
  } catch (error) {
    return { check, result: 'failed', detail: messageOf(error) }
  }
}
