/**
 * Keeps the owned tables standing: starts their owner, starts another when it dies, and beats the lease while
 * the gateway is well. A gateway that is frozen, or not well, doesn't beat; the kernel then stops redirecting by
 * itself, and LLM traffic meets the refusals.
 */
import type { Enforcement } from '../../../firewall/enforcement.ts'
import type { Redirect, startRedirect } from '../../../firewall/redirect-owner.ts'
import { messageOf } from '../../base/errors.ts'
import { backOff } from '../back-off.ts'
import type { Log } from '../log.ts'

export interface RedirectKeeper {
  /** Starts the owner; resolves once its tables stand. @throws FirewallError */
  start(): Promise<void>
  /** Whether governed traffic is redirected: the tables stand and their lease runs. */
  stands(): boolean
  /** Whether the owned tables are ours, so that the kernel lets nobody else change them. */
  owned(): boolean
  /** Makes the owned tables what `wanted()` says now, and says whether they stand. @throws FirewallError */
  update(): Promise<boolean>
  stop(): Promise<void>
}

export interface RedirectKeeperOptions {
  readonly startRedirect: typeof startRedirect
  readonly wanted: () => Enforcement
  /**
   * Makes the fence hold the addresses that the owned tables begin with. Later ones reach it with each update, as
   * what differs from those: one that it lacked now it would lack for ever, and be open once the daemon is dead.
   */
  readonly fenced: (enforcement: Enforcement) => Promise<void>
  /** Whether what is redirected can be served. */
  readonly healthy: () => boolean
  /** One change at a time. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  readonly log: Log
  readonly changed: () => void
  readonly audit: (event: string, detail: Record<string, string | number | boolean>) => void
  /** A span without redirection is over; milliseconds since the epoch. */
  readonly gap: (from: number, to: number, why: string) => void
  /** A beat reached the kernel; it was sent at this time (`performance.now()`). */
  readonly beaten: (sent: number) => void
}

/** Beats to a lease: two may be lost. */
const BEATS = 3

export function redirectKeeper(options: RedirectKeeperOptions): RedirectKeeper {
  const { log, audit } = options
  const { leaseMs } = options.wanted()
  const delays = backOff()
  let redirect: Redirect | undefined
  let starting = false
  let stopping = false
  /** Until when the kernel redirects without a further beat; it doesn't count by the wall clock either. */
  let leaseUntil = 0
  let beating: { readonly since: number } | undefined
  /** Since when nothing is redirected, and why, while it should be. */
  let down: { readonly from: number; readonly why: string } | undefined
  let retryTimer: NodeJS.Timeout | undefined

  const alive = () => redirect !== undefined && performance.now() < leaseUntil
  const renewed = (sent: number) => {
    // A lease that ran out unnoticed: this process was frozen.
    if (leaseUntil !== 0 && sent >= leaseUntil)
      down ??= { from: onTheWall(leaseUntil), why: 'the lease ran out' }
    leaseUntil = sent + leaseMs
    if (!down) return
    const { from, why } = down
    down = undefined
    options.gap(from, Date.now(), why)
    audit('redirect-restored', { why })
    options.changed()
  }

  const own = async () => {
    const born = performance.now()
    starting = true
    let mine: Redirect
    try {
      const enforcement = options.wanted()
      await options.fenced(enforcement)
      mine = await options.startRedirect(enforcement)
    } finally {
      starting = false
    }
    redirect = mine
    leaseUntil = 0
    renewed(born)
    options.changed()
    mine.exited.then((code) => {
      if (stopping || redirect !== mine) return
      redirect = undefined
      down ??= { from: Date.now(), why: 'its owner ended' }
      options.changed()
      log.error(
        `the owner of the redirect table ended (${code}); LLM traffic is refused until it stands again`,
      )
      audit('redirect-lost', { code: code ?? -1 })
      retry(performance.now() - born)
    })
  }
  const retry = (livedMs: number) => {
    retryTimer = setTimeout(() => {
      if (stopping) return
      options.inTurn(own).catch((error: unknown) => {
        log.error(`the redirect could not be restored: ${messageOf(error)}`)
        retry(0)
      })
    }, delays.next(livedMs))
  }

  const lapse = (why: string) => {
    if (down || alive() || !redirect) return
    down = { from: onTheWall(leaseUntil), why }
    log.error(`nothing is redirected any more: ${why}; LLM traffic is refused`)
    audit('redirect-lost', { why })
    options.changed()
  }
  const beat = async () => {
    const mine = redirect
    if (!mine || stopping) return
    if (!options.healthy()) return lapse('the gateway is not well')
    if (beating) {
      // An owner that takes no orders (it may be stopped) is as good as dead: its tables go with it.
      if (performance.now() - beating.since > leaseMs / 2) process.kill(mine.pid, 'SIGKILL')
      return lapse('its owner does not answer')
    }
    const sent = performance.now()
    beating = { since: sent }
    try {
      await mine.beat()
      if (redirect !== mine) return
      renewed(sent)
      options.beaten(sent)
    } catch (error) {
      // Where the owner is gone, `exited` tells and another is started.
      log.error(`the lease of the redirect could not be renewed: ${messageOf(error)}`)
    } finally {
      beating = undefined
    }
  }
  const beats = setInterval(() => void beat(), Math.max(Math.floor(leaseMs / BEATS), 10))
  // A start that fails must not be kept from ending.
  beats.unref()

  return {
    start: () => options.inTurn(own),
    stands: alive,
    owned: () => starting || redirect !== undefined,
    async update() {
      const mine = redirect
      if (!mine) return false
      await mine.update(options.wanted())
      return true
    },
    async stop() {
      stopping = true
      clearInterval(beats)
      clearTimeout(retryTimer)
      await redirect?.stop()
      redirect = undefined
      options.changed()
    },
  }
}

/** Milliseconds since the epoch of a `performance.now()`. */
const onTheWall = (time: number) => Math.round(Date.now() - (performance.now() - time))
