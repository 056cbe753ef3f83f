/**
 * Who changes the rules: keeps a watch running, tells our own transactions from others', and tells the keeper of
 * the fence when to look. Nothing is decided here about what must stand.
 */
import type { Transaction, Weight } from '../../../firewall/ruleset-events.ts'
import type { RulesetWatch, watchRuleset } from '../../../firewall/ruleset-watch.ts'
import { messageOf } from '../../base/errors.ts'
import { backOff } from '../back-off.ts'
import type { Log } from '../log.ts'
import type { RulesetWriter } from './ruleset-writer.ts'

/** Somebody's change to one table. */
export interface Tampering {
  /** The process's name as the kernel told it; `unknown` where it didn't. */
  readonly by: string
  readonly pid: number | undefined
  /** Family and name. */
  readonly table: string
  /** The change in nft's words. */
  readonly what: string
  /** What it may do to packets, where that is known. */
  readonly weight?: Weight
}

export interface RulesetGuard {
  /** Starts watching; resolves once everything is seen, or when it can't be for now. Never rejects. */
  start(): Promise<void>
  /** False while changes go unseen: the rules must be looked at themselves. */
  watching(): boolean
  /** A transaction of ours was made at this time (`performance.now()`), so the watch must have told something. */
  expectNews(since: number): void
  stop(): Promise<void>
}

export interface RulesetGuardOptions {
  readonly watchRuleset: typeof watchRuleset
  readonly writer: RulesetWriter
  /** Tables of ours (`family name`): those that anybody with the privilege can change … */
  readonly unowned: ReadonlySet<string>
  /** … and those that the kernel lets only their owner change, while it lives. */
  readonly owned: ReadonlySet<string>
  readonly ownerLives: () => boolean
  readonly log: Log
  /** Somebody changed tables of ours. */
  readonly tampered: (changes: readonly Tampering[]) => void
  /** Somebody changed tables of theirs. */
  readonly foreign: (change: Tampering) => void
  /** Our tables may have been changed unseen, `by` somebody where that much is known. */
  readonly suspicious: (why: string, by?: Pick<Tampering, 'by' | 'pid'>) => void
  /** Changes went unseen; milliseconds since the epoch. Follows `suspicious`. */
  readonly unwatched: (from: number, to: number, why: string) => void
}

/** How long the news of a transaction may take to arrive. */
const NEWS_MS = 1000
/** A watch that was replaced is listened to for so long: what it has read may still be in its pipe. */
const OVERLAP_MS = 500
/** Between replacements of confused watches, doubling from the least to the most while they go on. */
const REPLACE_MS = { least: 1000, most: 60_000 }
/** Generations that were handled already; two watches tell of each while one replaces the other. */
const MOST_GENERATIONS = 1024

export function rulesetGuard(options: RulesetGuardOptions): RulesetGuard {
  const { writer, log } = options
  const delays = backOff()
  const handled = new Set<number>()
  /** Every watch that runs; the last is the one that counts. */
  const watches = new Set<RulesetWatch>()
  let current: RulesetWatch | undefined
  let stopping = false
  let owner: number | undefined
  let blindSince: { readonly at: number; readonly why: string } | undefined
  let timer: NodeJS.Timeout | undefined
  let replacing: NodeJS.Timeout | undefined
  /** The watches that can't print everything any more. */
  const confused = new WeakSet<RulesetWatch>()
  let replaced = { at: Number.NEGATIVE_INFINITY, spacing: REPLACE_MS.least }

  const ownPids = () => new Set([writer.pid(), owner].filter((pid) => pid !== undefined))

  const changed = ({ generation, pid, process, tables }: Transaction) => {
    // Until our own processes are known, our own changes look like others'; a look follows.
    if (!current || stopping) return
    if (generation !== undefined) {
      if (handled.has(generation)) return
      handled.add(generation)
      for (const oldest of handled) {
        if (handled.size <= MOST_GENERATIONS) break
        handled.delete(oldest)
      }
    }
    const named = tables.map(({ family, name, what, weight }) => ({
      ...{ key: `${family} ${name}`, what, weight },
    }))
    // The kernel refuses the whole transaction where it touches a table that another process owns.
    if (options.ownerLives() && named.some(({ key }) => options.owned.has(key))) {
      owner = pid
      return
    }
    const by = process ?? 'unknown'
    if (named.length === 0) return options.suspicious('a change that nft could not print', { by, pid })
    const ours: Tampering[] = []
    for (const { key, what, weight } of named) {
      const change = { by, pid, table: key, what, weight }
      if (options.unowned.has(key) || options.owned.has(key)) ours.push(change)
      else options.foreign(change)
    }
    if (ours.length === 0) {
      // There may be more to it than could be printed.
      if (confused.has(current)) options.suspicious('a change that nft could not print in full', { by, pid })
      return
    }
    // It may be our own, where the kernel doesn't say: what stands tells.
    if (pid === undefined) options.suspicious(`a change by an unknown process: ${ours[0]?.what}`)
    else options.tampered(ours)
  }

  /** Starts a watch, which counts from the moment it sees everything. */
  const open = async (): Promise<void> => {
    const born = performance.now()
    const fresh = await options.watchRuleset({
      ownPids,
      changed,
      lost: (why) => {
        if (!stopping) options.suspicious(why)
      },
      confused: () => {
        confused.add(fresh)
        if (fresh === current) replace()
      },
    })
    watches.add(fresh)
    fresh.exited.then((how) => {
      watches.delete(fresh)
      if (fresh === current) ended(how, performance.now() - born)
    })
    try {
      await writer.introduceTo(fresh)
    } catch (error) {
      await fresh.stop()
      throw error
    }
    const old = current
    current = fresh
    if (old) setTimeout(() => void old.stop(), OVERLAP_MS).unref()
  }
  const begin = async (): Promise<void> => {
    try {
      await open()
    } catch (error) {
      if (stopping) return
      log.error(`changes of the ruleset can’t be watched: ${messageOf(error)}`)
      return again(0)
    }
    if (!blindSince || stopping) return
    const { at, why } = blindSince
    blindSince = undefined
    options.suspicious(why)
    options.unwatched(at, Date.now(), why)
  }
  const ended = (how: string, livedMs: number) => {
    current = undefined
    if (stopping) return
    blindSince = { at: Date.now(), why: `the watch of the ruleset ended (${how})` }
    again(livedMs)
  }
  const again = (livedMs: number) => {
    blindSince ??= { at: Date.now(), why: 'the ruleset can’t be watched' }
    timer = setTimeout(() => {
      if (!stopping) void begin()
    }, delays.next(livedMs))
  }
  const replace = () => {
    if (replacing) return
    const { at, spacing } = replaced
    const calm = performance.now() - at > REPLACE_MS.most
    const next = calm ? REPLACE_MS.least : Math.min(2 * spacing, REPLACE_MS.most)
    replacing = setTimeout(
      () => {
        replaced = { at: performance.now(), spacing: next }
        replacing = undefined
        if (stopping || !current) return
        open().catch((error: unknown) => {
          if (!stopping) log.error(`the watch of the ruleset could not be replaced: ${messageOf(error)}`)
        })
      },
      Math.max(0, at + (calm ? 0 : spacing) - performance.now()),
    )
    replacing.unref()
  }

  return {
    start: begin,
    watching: () => current !== undefined,
    expectNews(since) {
      const asked = current
      setTimeout(() => {
        if (stopping || !asked || asked !== current || asked.heard() >= since) return
        log.error('the watch of the ruleset tells nothing any more; another is started')
        void asked.stop()
      }, NEWS_MS).unref()
    },
    async stop() {
      stopping = true
      clearTimeout(timer)
      clearTimeout(replacing)
      await Promise.all([...watches].map((watch) => watch.stop()))
    },
  }
}
