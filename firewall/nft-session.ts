/**
 * A long-lived interactive nft on a pipe: the tables that it makes with `flags owner` live as long as it does.
 *
 * It dies with this process, however that dies: the kernel kills it (PR_SET_PDEATHSIG, set by setpriv, which
 * holds for the thread that spawned it), and should it have been orphaned before that was set, it ends at the
 * end of its input.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FirewallError } from './errors.ts'
import { NFT_ENVIRONMENT, nftError, nftMissing } from './nft.ts'

export interface NftSession {
  readonly pid: number
  /** Exit code, `null` where a signal ended it. */
  readonly exited: Promise<number | null>
  /** Runs a script, one command a line, as one transaction; scripts run in the order of the calls. @throws FirewallError */
  run(script: string): Promise<void>
  /** Ends nft; resolves when it is gone. Idempotent. */
  close(): Promise<void>
}

interface Pending {
  readonly settle: (error?: FirewallError) => void
  readonly marker: string
}

const ANSWER_MS = 10_000
const CLOSE_MS = 2_000
const MAX_ANSWER = 1 << 20
const MAX_LINE = 4 << 10

/** @throws FirewallError `setpriv-missing`; that nft is missing shows at the first `run` */
export async function openNftSession(): Promise<NftSession> {
  // Its output is not wanted; errors tell all. Without a terminal nft prints no prompt.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nft', '-i'], {
    env: NFT_ENVIRONMENT,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(spawnError(error)))
  })
  // After a spawn, 'error' can only mean a failed kill: 'exit' tells what became of the child.
  child.on('error', () => {})
  child.stdin.on('error', () => {})

  let answer = ''
  let pending: Pending | undefined
  let gone: FirewallError | undefined
  let sent = 0
  let tail: Promise<void> = Promise.resolve()

  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    answer = (answer + chunk).slice(-MAX_ANSWER)
    if (!pending) return
    const end = answer.indexOf(`\n${pending.marker}\n`)
    if (end === -1) return
    const complaint = complaintOf(answer.slice(0, end))
    answer = ''
    pending.settle(complaint === '' ? undefined : nftError(complaint))
  })
  const exited = new Promise<number | null>((resolve) => {
    // 'close' comes after the last of stderr, which says why.
    child.once('close', (code) => {
      gone = lostError(code, answer)
      pending?.settle(gone)
      resolve(code)
    })
  })

  // nft says nothing about a command that succeeded. So each is followed by a word that it must complain
  // about: that complaint ends the answer, and stderr keeps the order.
  const execute = (script: string) =>
    new Promise<void>((resolve, reject) => {
      if (gone) return reject(gone)
      const marker = `aa_sync_${++sent}`
      const deadline = setTimeout(() => {
        settle(
          new FirewallError(
            'nft-unresponsive',
            `nft gave no answer for ${ANSWER_MS / 1000} s`,
            'see whether another program holds the ruleset, then try again',
          ),
        )
        child.kill('SIGKILL')
      }, ANSWER_MS)
      const command = commandFor(script)
      const settle = (error?: FirewallError) => {
        clearTimeout(deadline)
        command.done()
        pending = undefined
        if (error) reject(error)
        else resolve()
      }
      pending = { settle, marker }
      child.stdin.write(`${command.line}\n${marker}\n`)
    })

  return {
    pid: child.pid ?? 0,
    exited,
    run(script) {
      if (script.trim() === '') return tail
      const result = tail.then(() => execute(script))
      tail = result.catch(() => {})
      return result
    },
    async close() {
      child.stdin.end()
      const deadline = setTimeout(() => child.kill('SIGKILL'), CLOSE_MS)
      await exited
      clearTimeout(deadline)
    },
  }
}

/**
 * The line that runs a script: one line is one transaction. nft takes a line in a byte at a time (60,000 addresses
 * in a second) and repeats the whole of it with each complaint; so a long one comes from a file that only root can
 * read.
 */
function commandFor(script: string): { readonly line: string; readonly done: () => void } {
  const line = script.trim().split('\n').join('; ')
  if (line.length <= MAX_LINE) return { line, done() {} }
  let directory: string | undefined
  const done = () => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true })
  }
  try {
    directory = mkdtempSync(join(tmpdir(), 'agent-anchor-nft-'))
    const file = join(directory, 'script.nft')
    writeFileSync(file, script, { mode: 0o600 })
    return { line: `include "${file}"`, done }
  } catch {
    // A full disk must not keep the rules from being changed.
    done()
    return { line, done() {} }
  }
}

/**
 * What nft complained about before the marker: less the carets under the marker of the answer before, and less
 * the headline of the complaint about this one.
 */
function complaintOf(text: string): string {
  const lines = text.split('\n').filter((line, i) => !(i === 0 && /^[\s^~]*$/.test(line)))
  return lines.slice(0, -1).join('\n').trim()
}

function spawnError(error: NodeJS.ErrnoException): FirewallError {
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

function lostError(code: number | null, words: string): FirewallError {
  if (code === 127) return nftMissing()
  const ending = code === null ? 'was killed' : `exited with ${code}`
  const why = words.trim().slice(-512)
  return new FirewallError(
    'redirect-lost',
    `the nft that owns the redirect ${ending}${why === '' ? '' : `: ${why}`}`,
    'start the redirect again; see the kernel log where it was killed',
  )
}
