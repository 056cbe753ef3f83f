/**
 * The policy in force, and the change to another one while everything runs: read and checked as a whole, taken by
 * every part or by none. Connections live on; each request goes by the rules that are in force when it comes.
 */

import type { RulesInForce } from '../../policies/rules.ts'
import { messageOf } from '../base/errors.ts'
import type { Config } from '../config/config.ts'
import { enforcementOf, type Missing, type PolicyEnforcement, withIds } from './enforcement-of.ts'
import type { Log } from './log.ts'
import { policyAccounts } from './policy-accounts.ts'
import { loadRules } from './rules.ts'
import { SupervisorError } from './supervisor-error.ts'

export interface Prepared {
  /** With ids in the place of users' and groups' names. */
  readonly rules: RulesInForce
  readonly enforcement: PolicyEnforcement
  /** Users and groups that this machine lacks. */
  readonly missing: readonly Missing[]
}

/** Reads the policy's files and looks its accounts up. @throws PolicyError */
export async function preparePolicy(config: Config): Promise<Prepared> {
  const loaded = loadRules(config)
  const people = await policyAccounts(loaded.policy)
  const named = withIds(loaded.policy, people)
  const machine = { bridges: config.bridges, dnsPort: config.listen.ports.dns }
  const wanted = enforcementOf(named.policy, people, machine)
  return {
    rules: { ...loaded, policy: named.policy },
    enforcement: wanted.enforcement,
    // What the fence lets through for services that a machine doesn't have is no news.
    missing: [...wanted.missing, ...named.missing].filter(({ where }) => where !== 'allow'),
  }
}

/** Settings that sockets and captures were made for: these change with the next start. */
export function fixedSettings(from: RulesInForce, to: RulesInForce): string[] {
  const of = ({ policy }: RulesInForce): Record<string, unknown> => {
    const { dns, logGroup, dnsLogGroup, subjects, exempt, fence } = policy.enforcement
    return {
      'enforcement.dns': dns,
      'enforcement.logGroup': logGroup,
      'enforcement.dnsLogGroup': dnsLogGroup,
      'enforcement.subjects': subjects,
      'enforcement.exempt': exempt,
      'enforcement.fence (nothing)': fence === 'nothing',
    }
  }
  const [before, after] = [of(from), of(to)]
  return Object.keys(before).filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
}

export interface PolicyState {
  readonly name: string
  readonly hash: string
  readonly refuses: boolean
  /** Attempts at another one that are over, since the start. */
  readonly reloads: number
  /** Why the last attempt left the policy as it was. */
  readonly rejected?: string
}

export interface PolicyKeeper {
  readonly current: Prepared
  state(): PolicyState
  /** Takes what the files say now; where that can't be, all stays as it is. Never rejects. */
  reload(): Promise<void>
}

/** Characters of a reason that go into a record. */
const MAX_WHY = 1000

export function policyKeeper(options: {
  readonly initial: Prepared
  readonly prepare: () => Promise<Prepared>
  /** Hands another policy to every part. */
  readonly apply: (next: Prepared, before: Prepared) => void
  readonly audit: (event: string, detail: Record<string, string>) => void
  readonly log: Pick<Log, 'info' | 'error'>
  readonly changed: () => void
}): PolicyKeeper {
  const { audit, log } = options
  let current = options.initial
  let reloads = 0
  let rejected: string | undefined
  let last: Promise<void> = Promise.resolve()

  const attempt = async () => {
    const before = current
    const { hash, name } = before.rules.policy
    try {
      const next = await options.prepare()
      const fixed = fixedSettings(before.rules, next.rules)
      if (fixed.length > 0) throw needsRestart(fixed)
      rejected = undefined
      if (next.rules.policy.hash === hash) return
      current = next
      options.apply(next, before)
      audit('policy-changed', { name, from: hash, to: next.rules.policy.hash })
      log.info(`the policy ${name} is another: ${hash.slice(0, 12)} → ${next.rules.policy.hash.slice(0, 12)}`)
    } catch (error) {
      rejected = messageOf(error)
      audit('policy-rejected', { name, policy: hash, why: rejected.slice(0, MAX_WHY) })
      log.error(`the policy ${name} stays as it was: ${rejected}`)
    } finally {
      reloads += 1
      options.changed()
    }
  }

  return {
    get current() {
      return current
    },
    state() {
      const { name, hash, enforcement } = current.rules.policy
      const refuses = enforcement.fence !== 'nothing'
      return { name, hash, refuses, reloads, ...(rejected === undefined ? {} : { rejected }) }
    },
    reload() {
      last = last.then(attempt)
      return last
    },
  }
}

const needsRestart = (settings: readonly string[]) =>
  new SupervisorError(
    'NEEDS_RESTART',
    `${settings.join(', ')} can't change while the gateway runs: restart it`,
    'Restart the gateway: systemctl restart agent-anchor.',
  )
