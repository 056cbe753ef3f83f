/**
 * Keeps what the kernel enforces equal to what the gateway knows: the fence (outlives us), the owned tables (die
 * with us), the addresses in both, and the uplinks that they stand on; and puts right what others change.
 *
 *     book, uplinks ──▶ wanted() ──▶ fence ◀── writer ──┐
 *                          └──────▶ owned tables        │ one change at a time
 *     nft monitor ──▶ guard ──▶ restore ────────────────┘ ──▶ audit, gap
 */
import { type CgroupWatch, cgroupsOf, watchCgroups } from '../../firewall/cgroups.ts'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { readCounters } from '../../firewall/fence.ts'
import type { NamedCounter, Nft } from '../../firewall/nft.ts'
import { openNftSession } from '../../firewall/nft-session.ts'
import { FENCE_TABLE, OWN_TABLES } from '../../firewall/nftables.ts'
import { type PathWatch, watchPath } from '../../firewall/path-watch.ts'
import { startRedirect } from '../../firewall/redirect-owner.ts'
import { watchRuleset } from '../../firewall/ruleset-watch.ts'
import { type UplinkWatch, watchUplinks } from '../../firewall/uplinks.ts'
import { xdpQueues } from '../../firewall/xdp-queues.ts'
import { messageOf } from '../base/errors.ts'
import { steadyNow } from '../base/steady-clock.ts'
import type { AddressBook } from './address-book.ts'
import type { CutBook } from './cut-book.ts'
import { bootFiles } from './enforcement/boot-files.ts'
import { driverQueues, type OpenDevice } from './enforcement/driver-queues.ts'
import { type Audit, type Draft, evidence, type Gap } from './enforcement/evidence.ts'
import { fenceKeeper } from './enforcement/fence-keeper.ts'
import { describePath } from './enforcement/path-change.ts'
import { redirectKeeper } from './enforcement/redirect-keeper.ts'
import { repeated } from './enforcement/repeated.ts'
import { restorer } from './enforcement/restorer.ts'
import { rulesetGuard } from './enforcement/ruleset-guard.ts'
import { rulesetWriter } from './enforcement/ruleset-writer.ts'
import type { Log } from './log.ts'

export interface EnforcerState {
  readonly fence: boolean
  readonly redirect: boolean
  readonly addresses: number
  readonly uplinks: readonly string[]
  /** Whether changes by others are seen as they happen. */
  readonly watched: boolean
  /** Devices by which frames can leave past every rule, since a driver's queue could not be held. */
  readonly openQueues: readonly OpenDevice[]
  /** Whether raw frames are judged where they leave a device; kernels before 5.16 can't. */
  readonly egress: boolean
  /** The last change by somebody else to tables of ours; milliseconds since the epoch. */
  readonly lastTamper?: { readonly time: number; readonly by: string; readonly what: string }
}

export interface Enforcer {
  state(): EnforcerState
  /** @throws FirewallError where the fence can't be raised */
  raiseFence(): Promise<void>
  /** @throws FirewallError where the owned tables can't be made */
  startRedirect(): Promise<void>
  /** Takes the book's present addresses into the rules at once; resolves when the kernel's sets hold them. */
  addressesChanged(): Promise<void>
  /** The same of what is cut off. */
  cutsChanged(): Promise<void>
  /** Resolves when the kernel's sets hold every change that was announced so far. */
  addressesHeld(): Promise<void>
  counters(): Promise<Record<string, NamedCounter>>
  uplinks(): readonly string[]
  /** Takes the owned tables away and leaves the fence: LLM traffic is refused from here on. */
  stop(): Promise<void>
}

export interface EnforcerOptions {
  /** For reading, and where no session can be had. */
  readonly nft: Nft
  readonly base: Omit<Enforcement, 'addresses4' | 'addresses6' | 'uplinks' | 'cuts'>
  readonly book: AddressBook
  readonly cuts: Pick<CutBook, 'cuts' | 'expire'>
  readonly fenceScript: string
  readonly log: Log
  /** `state()` is another. */
  readonly changed: () => void
  readonly audit: Audit
  readonly gap: Gap
  /** What isn't told yet; the next start tells it if this process dies. */
  readonly draft: Draft
  /** Whether redirected traffic can be served: without it the lease isn't renewed. */
  readonly healthy: () => boolean
  /** What touches the machine; a test gives its own. */
  readonly parts?: Partial<typeof machine>
}

const machine = {
  openNftSession,
  startRedirect,
  watchCgroups,
  watchPath,
  watchRuleset,
  watchUplinks,
  xdpQueues,
}

/** A second eye beside the watch: whether the rules stand as they were made. */
const LOOK_MS = 5000
/** While there is no watch. */
const BLIND_LOOK_MS = 400
const EXPIRE_MS = 60_000

export function enforcer(options: EnforcerOptions): Enforcer {
  const { nft, base, book, log } = options
  const parts = { ...machine, ...options.parts }
  const records = evidence(options)
  let uplinks: UplinkWatch | undefined
  let cgroups: CgroupWatch | undefined
  let path: PathWatch | undefined
  let fenced = false
  /** The uplinks or control groups are others than those that the fence was raised for. */
  let outdated = false
  const wanted = (): Enforcement => ({
    ...base,
    addresses4: book.addresses4,
    addresses6: book.addresses6,
    uplinks: uplinks?.names ?? [],
    cuts: options.cuts.cuts,
  })

  // One change at a time: transactions of an older book must not overtake a newer one's.
  let queue: Promise<void> = Promise.resolve()
  const inTurn = (work: () => Promise<void>) => {
    const done = queue.then(work)
    queue = done.catch(() => {})
    return done
  }

  const writer = rulesetWriter(nft, parts.openNftSession)
  const fence = fenceKeeper(writer)
  const queues =
    base.fence === 'nothing'
      ? undefined
      : driverQueues({
          queues: parts.xdpQueues(),
          log,
          audit: options.audit,
          gap: options.gap,
          changed: options.changed,
        })
  const files = bootFiles({ fenceScript: options.fenceScript, book, wanted, log })
  const raise = async () => {
    outdated = false
    await fence.raise(wanted())
    restoration.raised()
    if (fenced) return
    fenced = true
    options.changed()
  }
  let looked = 0
  const restoration = restorer({
    inTurn,
    async difference(thorough) {
      looked = performance.now()
      // Older kernels take the chains of a device away with it: that is nobody's doing.
      uplinks?.look()
      return outdated ? undefined : await fence.difference({ elements: thorough })
    },
    raise,
    found(table, what, by) {
      if (by) records.tampered({ ...by, table, what })
      else records.found(table, what, looked)
    },
    restored(from, to, what) {
      records.exposed('ruleset-changed', from, to, what)
      options.changed()
    },
    failed(error) {
      log.error(`the fence could not be restored: ${messageOf(error)}`)
      if (!fenced) return
      fenced = false
      options.changed()
    },
  })

  const redirect = redirectKeeper({
    startRedirect: parts.startRedirect,
    wanted,
    async fenced(enforcement) {
      if (!fence.holds(enforcement)) await fence.raise(enforcement)
    },
    healthy: options.healthy,
    inTurn,
    log,
    changed: options.changed,
    audit: options.audit,
    gap: (from, to, why) => options.gap('redirect-lost', from, to, { why }),
    beaten: (sent) => guard.expectNews(sent),
  })
  const guard = rulesetGuard({
    watchRuleset: parts.watchRuleset,
    writer,
    unowned: tables((name) => name === FENCE_TABLE),
    owned: tables((name) => name !== FENCE_TABLE),
    ownerLives: redirect.owned,
    log,
    tampered(changes) {
      for (const change of changes) records.tampered(change)
      restoration.changed(`${changes[0]?.table}: ${changes[0]?.what}`)
    },
    foreign: records.foreign,
    suspicious: (_why, by) => restoration.suspect(true, by),
    unwatched: (from, to, why) => records.exposed('ruleset-unwatched', from, to, why),
  })

  const learning = repeated({
    work: () =>
      inTurn(async () => {
        const now = wanted()
        // Somebody may have taken the fence away this moment: then it takes both steps.
        const updated = await redirect.update().catch(() => false)
        if (updated) fence.extended(now)
        else {
          await raise()
          await redirect.update()
        }
        files.writeSoon()
      }),
    failed: (error) => log.error(`addresses could not be enforced: ${messageOf(error)}`),
  })
  const rebuilding = repeated({
    work: () =>
      inTurn(async () => {
        // First those that stand in front; where they fail for the fence's sake, again after it.
        const updated = await redirect.update().catch(() => false)
        await raise()
        if (!updated) await redirect.update()
        files.writeSoon()
      }),
    failed: (error) => log.error(`the rules could not be renewed: ${messageOf(error)}`),
  })

  const expiry = setInterval(() => {
    if (book.expire(steadyNow())) void rebuilding.run()
    if (options.cuts.expire(steadyNow())) void learning.run()
  }, EXPIRE_MS)
  let lastLook = performance.now()
  const looking = setInterval(() => {
    const due = guard.watching() ? LOOK_MS : BLIND_LOOK_MS
    if (!fenced || performance.now() - lastLook < due) return
    lastLook = performance.now()
    restoration.suspect(false)
  }, BLIND_LOOK_MS)
  // A start that fails must not be kept from ending.
  for (const timer of [expiry, looking]) timer.unref()

  return {
    state() {
      const lastTamper = records.last()
      return {
        fence: fenced,
        redirect: redirect.stands(),
        addresses: book.addresses4.length + book.addresses6.length,
        uplinks: uplinks?.names ?? [],
        watched: guard.watching(),
        openQueues: queues?.open() ?? [],
        egress: fence.egress(),
        ...(lastTamper ? { lastTamper } : {}),
      }
    },
    async raiseFence() {
      uplinks ??= parts.watchUplinks({
        bridges: base.bridges,
        changed(names) {
          outdated = true
          queues?.hold(names)
          options.audit('uplinks-changed', { uplinks: names.join(' ') })
          options.changed()
          void rebuilding.run()
        },
        failed: (error) => log.error(`the uplinks could not be listed: ${messageOf(error)}`),
      })
      path ??= parts.watchPath({
        changed: (change) => records.path(describePath(change)),
        legacy: (table) => records.path(`a table of iptables-legacy: ${table}`),
        lost: () => records.path('more than the kernel could tell'),
        failed: (error) => log.error(`changes of routing can’t be seen: ${messageOf(error)}`),
      })
      cgroups ??= parts.watchCgroups(cgroupsOf(base), () => {
        outdated = true
        void rebuilding.run()
      })
      queues?.hold(uplinks.names)
      await guard.start()
      await inTurn(raise)
      await files.write()
    },
    startRedirect: redirect.start,
    addressesChanged: learning.run,
    cutsChanged: learning.run,
    addressesHeld: learning.settled,
    counters: () => readCounters(nft),
    uplinks: () => uplinks?.names ?? [],
    async stop() {
      for (const timer of [expiry, looking]) clearInterval(timer)
      for (const each of [learning, rebuilding, restoration]) each.stop()
      uplinks?.stop()
      cgroups?.stop()
      path?.stop()
      await queue
      await redirect.stop()
      await guard.stop()
      queues?.stop()
      await writer.close()
      records.flush()
      await files.write()
      options.changed()
    },
  }
}

const tables = (chosen: (name: string) => boolean) =>
  new Set(OWN_TABLES.filter(({ name }) => chosen(name)).map(({ family, name }) => `${family} ${name}`))
