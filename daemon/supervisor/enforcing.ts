/** Enforcement as this gateway wants it: what its rules are made of, and who hears of changes to them. */
import type { Enforcement } from '../../firewall/enforcement.ts'
import { systemNft } from '../../firewall/nft.ts'
import type { Config } from '../config/config.ts'
import type { Account } from './accounts.ts'
import type { AddressBook } from './address-book.ts'
import type { AuditTrail } from './audit-trail.ts'
import { CANARY_LINK } from './canary.ts'
import type { Coverage } from './coverage.ts'
import type { CutBook } from './cut-book.ts'
import { type Enforcer, enforcer } from './enforcer.ts'
import type { Layout } from './layout.ts'
import type { Log } from './log.ts'
import type { Prepared } from './policy-keeper.ts'
import type { Running } from './running.ts'

/** How long the redirect stands without a sign of life: a frozen daemon must not hold up the rest of the machine. */
const LEASE_MS = 10_000

export interface Enforcing {
  readonly enforcement: Enforcer
  /** Devices by which packets leave, and that are to be looked at. */
  watched(): string[]
}

/** Nothing stands yet when it returns. */
export function startEnforcing(options: {
  readonly config: Pick<Config, 'listen' | 'chains'>
  readonly paths: Layout
  readonly initial: Prepared
  readonly accounts: { readonly proxy: Account; readonly recorder: Account }
  readonly book: AddressBook
  readonly cuts: CutBook
  readonly trail: AuditTrail
  readonly coverage: Coverage
  readonly running: Running
  readonly log: Log
  readonly changed: () => void
  /** Takes on what is to be stopped. */
  readonly stack: AsyncDisposableStack
}): Enforcing {
  const { config, paths, initial, accounts, book, cuts, trail, coverage, running, log, stack } = options
  const { ports } = config.listen
  const hasDevelopmentChain = config.chains.some(({ kind }) => kind === 'development')
  const base: Omit<Enforcement, 'addresses4' | 'addresses6' | 'uplinks' | 'cuts'> = {
    ...initial.enforcement,
    proxyUids: [accounts.proxy.uid],
    redirectPort: ports.transparent,
    guardedPorts: hasDevelopmentChain
      ? [{ port: ports.developmentChain, uids: [0, accounts.recorder.uid] }]
      : [],
    leaseMs: LEASE_MS,
  }
  const enforcement = enforcer({
    nft: systemNft(),
    base,
    book,
    cuts,
    fenceScript: paths.fenceScript,
    log,
    changed: () => {
      options.changed()
      running.sight?.uplinks(watched())
      running.proxies?.uplinks(watched())
    },
    audit: trail.write,
    gap: coverage.gap,
    draft: trail.draft,
    healthy: () => running.proxies?.serving() ?? false,
  })
  // Its nft children would keep a start that failed from ending; the second time it does nothing.
  stack.defer(() => enforcement.stop())
  const watched = () => enforcement.uplinks().filter((name) => name !== CANARY_LINK)
  return { enforcement, watched }
}
