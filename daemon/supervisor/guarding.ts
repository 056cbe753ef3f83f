/** The DNS guard as this gateway starts it, where the policy has one: what it asks, and who hears of its answers. */
import { isIPv6 } from 'node:net'
import type { RulesInForce } from '../../policies/rules.ts'
import type { Config } from '../config/config.ts'
import type { Account } from './accounts.ts'
import type { Sighted } from './address-book.ts'
import type { AuditTrail } from './audit-trail.ts'
import { type DnsSockets, startDnsGuard } from './dns-guard-process.ts'
import type { Log } from './log.ts'
import type { Running } from './running.ts'
import type { SightingSink } from './sightings.ts'

const GRACE_MS = 3000

/** Resolves when it answers. */
export async function startGuarding(options: {
  readonly config: Pick<Config, 'dns' | 'bridges'>
  /** The proxy's. */
  readonly account: Account
  readonly sockets: DnsSockets
  readonly rules: () => RulesInForce
  /** Resolves when the kernel knows the addresses too. */
  readonly learn: (entries: readonly Sighted[]) => Promise<void>
  readonly seen: Pick<SightingSink, 'dns'>
  readonly trail: AuditTrail
  readonly running: Running
  readonly log: Log
  readonly changed: () => void
  /** Takes on what is to be stopped. */
  readonly stack: AsyncDisposableStack
}): Promise<void> {
  const { config, account, sockets, rules, learn, seen, trail, running, log, changed, stack } = options
  const guard = startDnsGuard({
    account,
    log,
    sockets,
    rules,
    upstreams: config.dns.upstreams.map(({ address, port }) =>
      isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`,
    ),
    bridges: config.bridges,
    learn: (name, entries) => learn(entries.map((entry) => ({ ...entry, name, passive: true }))),
    refusal: (refused) => {
      seen.dns(refused)
    },
    changed,
    died: (how) => trail.write('child-died', { child: 'dns-guard', how }),
  })
  running.guard = guard
  running.children.push(guard)
  stack.defer(() => guard.stop((child) => child.send({ type: 'stop' }, () => {}), GRACE_MS))
  await guard.ready
}
