/**
 * Whether enforcement holds at this moment, by trying: an ordinary user's process takes the main ways round, and a
 * try counts as refused only where the kernel's own counters moved with it. Then come calls that are to be captured.
 */
import type { ClientVariable } from '../../ca/client-environment.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { readStored } from '../../daemon/supervisor/address-book.ts'
import { preparePolicy } from '../../daemon/supervisor/policy-keeper.ts'
import { readCounters } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import type { Evidence } from '../evidence.ts'
import { asUser } from './as-user.ts'
import type { Outcome } from './attempt.ts'
import { calls } from './calls.ts'
import type { Check } from './check.ts'
import { type Ground, type Try, tries } from './tries.ts'

/** The kernel's uid for nobody in particular: no account of the gateway's or of a person's. */
const NOBODY = 65_534
const LOOK_UP_MS = 15_000

export async function* enforcement(
  evidence: Evidence,
  variables: readonly ClientVariable[],
): AsyncGenerator<Check> {
  const { config, paths } = evidence
  const { rules, enforcement } = await preparePolicy(config)
  const { subjects } = enforcement
  const uid = subjects === 'everyone' ? NOBODY : subjects.uids.find((each) => each !== 0)
  if (uid === undefined) {
    yield {
      check: 'ways round',
      result: 'not-run',
      proof: true,
      detail:
        'the policy governs no ordinary user that doctor could act as; only groups, cgroups or containers',
    }
    return
  }
  const known = await knownAddresses(paths.addresses)
  const addresses = known.map(([address]) => address)
  const ground: Ground = {
    addresses4: addresses.filter((address) => !address.includes(':')),
    addresses6: addresses.filter((address) => address.includes(':')),
    proxyPort: config.listen.ports.transparent,
    fence: rules.policy.enforcement.fence,
    dns: rules.policy.enforcement.dns,
  }
  if (known.length === 0) {
    yield {
      check: 'provider addresses',
      result: 'failed',
      proof: true,
      detail: 'none is known, so ways round to providers could not be tried: check name resolution',
    }
  }
  for (const each of tries(ground)) yield { ...(await attempt(each, uid)), proof: true }
  const addressOf = (host: string) => known.find(([, { name }]) => name === host)?.[0]
  const caller = { uid, variables, certificateFile: paths.caCertificate }
  yield* calls({ evidence, rules, caller, addressOf })
}

async function attempt({ name, attempt: what, expect, counters }: Try, uid: number): Promise<Check> {
  try {
    const before = await readCounters(systemNft())
    const { outcome, code } = JSON.parse(await asUser(uid, 'attempt.ts', JSON.stringify(what))) as Outcome
    const after = await readCounters(systemNft())
    const moved = counters.filter((c) => (after[c]?.packets ?? 0) > (before[c]?.packets ?? 0))
    const said = code === undefined ? outcome : `${outcome}, ${code}`
    if (moved.length === 0) {
      const detail = `${said}, but none of the kernel's counters moved (${counters.join(', ')})`
      return { check: name, result: 'failed', detail }
    }
    if (expect === 'refused' && outcome !== 'refused')
      return { check: name, result: 'failed', detail: `not refused: ${said}; ${moved.join(', ')} moved` }
    return { check: name, result: 'held', detail: `${said}; ${moved.join(', ')} moved` }
  } catch (error) {
    return { check: name, result: 'not-run', detail: messageOf(error) }
  }
}

/** Waits where there is none yet: a gateway that just started may still be at its first look-up. */
async function knownAddresses(file: string): Promise<Awaited<ReturnType<typeof readStored>>> {
  for (const end = Date.now() + LOOK_UP_MS; ; ) {
    const known = await readStored(file).catch(() => [])
    if (known.length > 0 || Date.now() > end) return known
    await new Promise((go) => setTimeout(go, 250))
  }
}
