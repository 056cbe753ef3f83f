/**
 * Watches who changes the ruleset: a long-lived `nft monitor`, which dies with this process (as the session of
 * nft-session.ts does). It tells of commits, so it sees what stood for a moment only.
 *
 * Which transactions are our own is told by the process that the kernel names with each. That number is of the
 * machine's first pid namespace, which a process in a container can't translate: so each session of ours is
 * introduced by a transaction with a name that nobody can know before ({@link RulesetWatch.introduce}).
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { FirewallError } from './errors.ts'
import { NFT_ENVIRONMENT } from './nft.ts'
import type { Transaction } from './ruleset-events.ts'
import { transactionReader } from './ruleset-events.ts'

export interface RulesetWatch {
  /** When it last told anything (`performance.now()`). */
  heard(): number
  /** How it ended. Changes from then on are unseen: start another and look for yourself. */
  readonly exited: Promise<string>
  /**
   * The process that `run` makes transactions as, in the kernel's count; undefined where the kernel names none.
   * Resolves once the watch has seen one, so from then on it sees everything.
   * @param run runs a script as one transaction
   * @throws FirewallError `watch-blind` where it isn't seen in time; what `run` throws
   */
  introduce(run: (script: string) => Promise<void>): Promise<number | undefined>
  /** Ends it; resolves when it is gone. Idempotent. */
  stop(): Promise<void>
}

/** The lines of a transaction come in one go: a pause this long ends one that no generation followed. */
const IDLE_MS = 100
/** A monitor reads the whole ruleset before it listens. */
const INTRODUCTION_MS = 5_000
const AGAIN_MS = 50
const MAX_LINE = 64 * 1024
const INTRODUCTION = /^aa_hello_[0-9a-f]{32}$/

/**
 * Starts the monitor in the network namespace of this process.
 * @throws FirewallError `setpriv-missing`; that nft is missing shows in `exited`
 */
export async function watchRuleset(options: {
  /** Processes whose transactions are ours, in the kernel's count. */
  readonly ownPids: () => ReadonlySet<number>
  /**
   * Somebody else's transaction, or one of which the kernel doesn't say whose it was. One that touches no table
   * could not be printed.
   */
  readonly changed: (transaction: Transaction) => void
  /** Changes may have been missed, or made to look like ours: look for yourself. */
  readonly lost: (why: string) => void
  /** It can't print some changes any more, another one could: replace it. `lost` tells of each such change. */
  readonly confused: () => void
}): Promise<RulesetWatch> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nft', 'monitor'], {
    env: NFT_ENVIRONMENT,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(cannotStart(error)))
  })
  // After a spawn, 'error' can only mean a failed kill: 'exit' tells what became of the child.
  child.on('error', () => {})

  const awaited = new Map<string, (pid: number | undefined) => void>()
  const reader = transactionReader({
    committed(transaction) {
      const { pid, tables } = transaction
      for (const { name } of tables) if (INTRODUCTION.test(name)) awaited.get(name)?.(pid)
      if (pid !== undefined && options.ownPids().has(pid)) return
      const others = tables.filter(({ name }) => !awaited.has(name))
      if (others.length > 0 || tables.length === 0) options.changed({ ...transaction, tables: others })
    },
    lost: options.lost,
  })
  let idle: NodeJS.Timeout | undefined
  let heard = performance.now()
  const lines = lineReader(MAX_LINE, reader.line)
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    heard = performance.now()
    lines(chunk)
    clearTimeout(idle)
    idle = setTimeout(reader.idle, IDLE_MS).unref()
  })
  let words = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    words = (words + chunk).slice(-512)
    options.lost('nft could not print a change of the ruleset')
    options.confused()
  })
  let gone = false
  const exited = new Promise<string>((resolve) => {
    child.once('close', (code, signal) => {
      gone = true
      clearTimeout(idle)
      resolve(`${signal ?? `exit ${code}`}${words.trim() === '' ? '' : `: ${words.trim()}`}`)
    })
  })

  return {
    heard: () => heard,
    exited,
    async introduce(run) {
      const name = `aa_hello_${randomBytes(16).toString('hex')}`
      const seen = Promise.withResolvers<number | undefined>()
      awaited.set(name, seen.resolve)
      const deadline = Date.now() + INTRODUCTION_MS
      try {
        let settled = false
        seen.promise.then(() => {
          settled = true
        })
        // The first may come before the monitor listens. Less and less often: each is a new generation of the ruleset,
        // and nft starts a listing that is under way from its beginning, which takes a while with 10,000 addresses.
        for (let again = AGAIN_MS; !settled && !gone && Date.now() < deadline; again *= 2) {
          await run(`add table inet ${name}\ndelete table inet ${name}`)
          await Promise.race([seen.promise, exited, after(again)])
        }
        if (!settled) throw blind()
        return await seen.promise
      } finally {
        // Kept for a moment: one that was repeated may still come, and is nobody's else.
        setTimeout(() => awaited.delete(name), IDLE_MS).unref()
      }
    },
    async stop() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Lines of a stream; a line that is too long is given as its beginning. */
function lineReader(most: number, line: (text: string) => void): (chunk: string) => void {
  let rest = ''
  let cut = false
  return (chunk) => {
    const parts = (rest + chunk).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) {
      if (!cut) line(part)
      cut = false
    }
    if (rest.length <= most) return
    if (!cut) line(rest)
    cut = true
    rest = ''
  }
}

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

function blind(): FirewallError {
  return new FirewallError(
    'watch-blind',
    'changes of the ruleset are not seen',
    'see whether "nft monitor" prints the changes made meanwhile',
  )
}

function cannotStart(error: NodeJS.ErrnoException): FirewallError {
  return error.code === 'ENOENT'
    ? new FirewallError(
        'setpriv-missing',
        'the program setpriv was not found',
        'install the package util-linux',
        error,
      )
    : new FirewallError(
        'system-call',
        `setpriv: ${error.message}`,
        'free processes or memory and try again',
        error,
      )
}
