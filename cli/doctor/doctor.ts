/**
 * Whether enforcement holds at this moment, by trying: an ordinary user's process takes the main ways round, and a
 * try counts as refused only where the kernel's own counters moved with it.
 */
import { execFile } from 'node:child_process'
import { type ClientVariable, clientEnvironment } from '../../ca/client-environment.ts'
import { systemBundlePath } from '../../ca/system-roots.ts'
import { messageOf } from '../../daemon/base/errors.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from '../../daemon/supervisor/accounts.ts'
import { readStored } from '../../daemon/supervisor/address-book.ts'
import { enforcementOf } from '../../daemon/supervisor/enforcement-of.ts'
import { openIdentity } from '../../daemon/supervisor/identity.ts'
import { policyAccounts } from '../../daemon/supervisor/policy-accounts.ts'
import { childEnvironment, nodeFlags, programRoot } from '../../daemon/supervisor/program.ts'
import { loadRules } from '../../daemon/supervisor/rules.ts'
import { readCounters } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import { callOnce, withCanary } from '../../installers/canary.ts'
import type { Evidence } from '../evidence.ts'
import { verifyRecord } from '../verification.ts'
import type { Attempt, Outcome } from './attempt.ts'
import { asItComes, type Check } from './check.ts'
import { lately } from './lately.ts'
import { machineChecks } from './machine.ts'
import { type Refuser, refusers } from './refusers.ts'
import { callWithEach } from './runtimes.ts'
import { type Ground, type Try, tries } from './tries.ts'

/** The kernel's uid for nobody in particular: no account of the gateway's or of a person's. */
const NOBODY = 65_534
const RECORD_MS = 5000
const ORDINARY = 'an ordinary call'
const LOOK_UP_MS = 15_000

/**
 * Yields each check as it ends. Tries of ways round go one after the other, since a counter's move must be theirs; all
 * else goes beside them.
 * @param evidence of the gateway that runs on this machine
 */
export async function* examine(evidence: Evidence): AsyncGenerator<Check> {
  const variables = variablesOf(evidence)
  const accounts = [PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT]
  const own = new Set((await Promise.all(accounts.map((name) => account(name)))).map(({ uid }) => uid))
  yield* asItComes([enforcement(evidence, variables), ...machineChecks({ evidence, variables, own })])
}

/** Clients of the last day that could not be intercepted. */
export function refusersLately(evidence: Evidence): Refuser[] {
  const remedies = { variables: variablesOf(evidence), certificateFile: evidence.paths.caCertificate }
  return (['refusal', 'exchange'] as const).flatMap((kind) => refusers(lately(evidence, kind), remedies))
}

const variablesOf = ({ paths }: Evidence): ClientVariable[] =>
  clientEnvironment({ certificateFile: paths.caCertificate, bundleFile: systemBundlePath() })

async function* enforcement(evidence: Evidence, variables: readonly ClientVariable[]): AsyncGenerator<Check> {
  const { config, paths } = evidence
  const rules = loadRules(config)
  const people = await policyAccounts(rules.policy)
  const wanted = enforcementOf(rules.policy, people, {
    bridges: config.bridges,
    dnsPort: config.listen.ports.dns,
  })
  const { subjects } = wanted.enforcement
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
  const ground: Ground = {
    addresses4: known.filter((address) => !address.includes(':')),
    addresses6: known.filter((address) => address.includes(':')),
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
  yield* await calls(evidence, uid, variables)
}

async function attempt({ name, attempt: what, expect, counters }: Try, uid: number): Promise<Check> {
  try {
    const before = await readCounters(systemNft())
    const { outcome, code } = await runAs(uid, what)
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

/** Calls to the canary provider: by curl, which must be captured, and by each runtime, which should trust the CA. */
async function calls(
  evidence: Evidence,
  uid: number,
  variables: readonly ClientVariable[],
): Promise<Check[]> {
  try {
    const identity = await openIdentity(evidence.config, evidence.paths, loadRules(evidence.config))
    return await withCanary(identity.authority.found.inOrder, async () => {
      const checks: Check[] = [{ ...(await capture(evidence, uid)), proof: true }]
      const certificateFile = evidence.paths.caCertificate
      for await (const check of callWithEach({ uid, variables, certificateFile })) checks.push(check)
      return checks
    })
  } catch (error) {
    return [{ check: ORDINARY, result: 'failed', detail: messageOf(error), proof: true }]
  }
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

/** As a user without groups and capabilities, as an agent would be. */
function runAs(uid: number, attempt: Attempt): Promise<Outcome> {
  const identity = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs', '--inh-caps=-all']
  const script = `${programRoot}/cli/doctor/attempt.ts`
  const argv = [...identity, '--', process.execPath, ...nodeFlags, script, JSON.stringify(attempt)]
  return new Promise((resolve, reject) => {
    execFile('setpriv', argv, { env: childEnvironment, timeout: 10_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`the try could not be made: ${stderr.trim() || error.message}`))
      else resolve(JSON.parse(stdout) as Outcome)
    })
  })
}

/** Waits where there is none yet: a gateway that just started may still be at its first look-up. */
async function knownAddresses(file: string): Promise<string[]> {
  for (const end = Date.now() + LOOK_UP_MS; ; ) {
    const known = (await readStored(file).catch(() => [])).map(([address]) => address)
    if (known.length > 0 || Date.now() > end) return known
    await new Promise((go) => setTimeout(go, 250))
  }
}
