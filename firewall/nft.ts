/** The nft program behind a small interface; fake-nft.ts is its stand-in for tests. */
import { spawn } from 'node:child_process'
import { FirewallError } from './errors.ts'

export interface NamedCounter {
  readonly packets: number
  readonly bytes: number
}

/** A named counter and the table that it is in. */
export interface TableCounter extends NamedCounter {
  readonly family: string
  readonly table: string
  readonly name: string
}

export interface Nft {
  /** Runs a script as one transaction: all of it or nothing. */
  apply(script: string): Promise<void>
  /** Lets the kernel judge a script without applying it. */
  check(script: string): Promise<void>
  /** nft's JSON of a table, without the elements of its sets; `undefined` where there is no such table. */
  listTable(family: string, name: string): Promise<unknown | undefined>
  /** The table's text without the state of counters; `undefined` where there is no such table. */
  listText(family: string, name: string, options: { elements: boolean }): Promise<string | undefined>
  /** Every named counter, of all tables: asked for one table nft reads the whole ruleset just the same. */
  listCounters(): Promise<TableCounter[]>
  /** Whether a table stands, and whether it vanishes with a process that owns it. */
  ownership(family: string, name: string): Promise<'absent' | 'unowned' | 'owned'>
}

/**
 * Environment of nft: a daemon's PATH may lack sbin; messages are parsed, so no locale; an interactive nft
 * writes its history to HOME.
 */
export const NFT_ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  HOME: '/dev/null',
}

/** nft lists a table of 10,000 addresses in well under a second. */
const DEADLINE_MS = 30_000
const MAX_OUTPUT = 64 << 20
const MAX_DIAGNOSIS = 4096

/** nft of this machine, in the network namespace of this process. Every method rejects with FirewallError. */
export function systemNft(): Nft {
  const list = async (args: string[]): Promise<string | undefined> => {
    try {
      return await run(args)
    } catch (error) {
      if (error instanceof FirewallError && error.message.includes('No such file or directory'))
        return undefined
      throw error
    }
  }
  return {
    apply: async (script) => void (await run(['-f', '-'], script)),
    check: async (script) => void (await run(['-c', '-f', '-'], script)),
    async listTable(family, name) {
      const text = await list(['-j', '-t', 'list', 'table', family, name])
      return text === undefined ? undefined : parseJson(text)
    },
    listText: (family, name, { elements }) =>
      list(['--stateless', ...(elements ? [] : ['--terse']), 'list', 'table', family, name]),
    listCounters: async () => countersOf(parseJson(await run(['-j', 'list', 'counters']))),
    // Not from JSON: nft 1.0.6 reads an owned table's flag names past the end of its array there.
    async ownership(family, name) {
      const text = await list(['-t', 'list', 'table', family, name])
      if (text === undefined) return 'absent'
      return /^\tflags [a-z,]*\bowner\b/m.test(text) ? 'owned' : 'unowned'
    },
  }
}

/** The error that nft's own words stand for. `detail` is its stderr. */
export function nftError(detail: string): FirewallError {
  const text = detail.trim().slice(0, MAX_DIAGNOSIS) || 'nft failed and gave no reason'
  if (/Operation not permitted|Permission denied|must be root/.test(text)) {
    return new FirewallError(
      'not-permitted',
      `nft: ${text}`,
      'run as root with CAP_NET_ADMIN; a table owned by another process goes only with that process (see: nft list tables)',
    )
  }
  if (/Operation not supported|Protocol not supported|Unable to initialize Netlink/.test(text)) {
    return new FirewallError(
      'kernel-unsupported',
      `nft: ${text}`,
      'use a kernel >= 5.12 with nf_tables, nft_redir, nft_fib_inet, nft_reject_inet and nfnetlink_log',
    )
  }
  return new FirewallError(
    'rules-refused',
    `nft: ${text}`,
    'report this with the output of: nft --version; uname -r',
  )
}

export function nftMissing(cause?: unknown): FirewallError {
  return new FirewallError(
    'nft-missing',
    'the program nft was not found',
    'install the package nftables',
    cause,
  )
}

function run(args: string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', args, { env: NFT_ENVIRONMENT, stdio: 'pipe' })
    const output: Buffer[] = []
    let size = 0
    let diagnosis = ''
    let unresponsive = false
    const deadline = setTimeout(() => {
      unresponsive = true
      child.kill('SIGKILL')
    }, DEADLINE_MS)
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size <= MAX_OUTPUT) output.push(chunk)
    })
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      if (diagnosis.length < MAX_DIAGNOSIS) diagnosis += chunk
    })
    // nft may refuse a script before it has read all of it: its exit status tells, not the broken pipe.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    child.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(deadline)
      reject(
        error.code === 'ENOENT'
          ? nftMissing(error)
          : new FirewallError(
              'system-call',
              `nft: ${error.message}`,
              'free processes or memory and try again',
              error,
            ),
      )
    })
    child.on('close', (code) => {
      clearTimeout(deadline)
      if (unresponsive) {
        reject(
          new FirewallError(
            'nft-unresponsive',
            `nft gave no answer for ${DEADLINE_MS / 1000} s`,
            'see whether another program holds the ruleset, then try again',
          ),
        )
      } else if (code === 0 && size <= MAX_OUTPUT) resolve(Buffer.concat(output).toString())
      else reject(nftError(diagnosis))
    })
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new FirewallError(
      'rules-refused',
      'nft gave JSON that does not parse',
      'report this with the output of: nft --version',
      error,
    )
  }
}

function countersOf(listing: unknown): TableCounter[] {
  return itemsOf(listing).flatMap((item) => {
    const { family, table, name, packets, bytes } = (item.counter ?? {}) as Record<string, unknown>
    const named = typeof family === 'string' && typeof table === 'string' && typeof name === 'string'
    if (!named || typeof packets !== 'number' || typeof bytes !== 'number') return []
    return [{ family, table, name, packets, bytes }]
  })
}

/** The objects of a listing (libnftables-json(5)); none where it has another shape. */
export function itemsOf(listing: unknown): Record<string, unknown>[] {
  const items = (listing as { nftables?: unknown } | undefined)?.nftables
  return Array.isArray(items) ? items.filter((item) => typeof item === 'object' && item !== null) : []
}
