/** An enforcer on this network namespace whose every word and act is kept, and the hands that undo its work. */
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { type AddressBook, openAddressBook } from '../../../daemon/supervisor/address-book.ts'
import { cutBook } from '../../../daemon/supervisor/cut-book.ts'
import { type Enforcer, enforcer } from '../../../daemon/supervisor/enforcer.ts'
import type { Log } from '../../../daemon/supervisor/log.ts'
import type { Enforcement } from '../../../firewall/enforcement.ts'
import { systemNft } from '../../../firewall/nft.ts'
import { openNftSession } from '../../../firewall/nft-session.ts'
import { startRedirect } from '../../../firewall/redirect-owner.ts'
import { PATH, PROXY_PORT, PROXY_UID } from '../firewall/places.ts'

export const LEASE_MS = 1500

export const base: Omit<Enforcement, 'addresses4' | 'addresses6' | 'uplinks'> = {
  fence: 'providers',
  redirect: 'ports',
  ports: [80, 443],
  bridges: ['br-*'],
  proxyUids: [PROXY_UID],
  subjects: 'everyone',
  exempt: { uids: [], gids: [], cgroups: [] },
  allowed: [],
  redirectPort: PROXY_PORT,
  localPorts: [],
  guardedPorts: [],
  logGroup: 71,
  dnsLogGroup: 72,
  resolversRefused: false,
  leaseMs: LEASE_MS,
}

interface Told {
  readonly event: string
  readonly detail: Record<string, string | number | boolean>
}
interface Gap {
  readonly cause: string
  readonly from: number
  readonly to: number
}

export interface Guarded {
  readonly enforcer: Enforcer
  readonly book: AddressBook
  readonly audit: Told[]
  readonly gaps: Gap[]
  readonly log: string[]
  /** Transactions that the enforcer made in tables that nobody owns. */
  readonly writes: { count: number }
  /** The owner of the owned tables, and the session that writes the others. */
  readonly pids: { owner: number; writer: number }
  readonly well: { value: boolean }
  /** How often something of `event` happened, however it was put together. */
  counted(event: string, which?: (detail: Told['detail']) => boolean): number
}

export async function guarded(t: Test): Promise<Guarded> {
  const directory = mkdtempSync(join(tmpdir(), 'aa-guard-'))
  const book = await openAddressBook(join(directory, 'addresses.json'), Date.now())
  book.learn([{ address: '203.0.113.10' }, { address: '2001:db8:113::10' }], Date.now())
  const audit: Told[] = []
  const gaps: Gap[] = []
  const log: string[] = []
  const writes = { count: 0 }
  const pids = { owner: 0, writer: 0 }
  const well = { value: true }
  const word = (text: string) => void log.push(text)
  const it = enforcer({
    nft: systemNft(),
    base,
    book,
    cuts: cutBook(),
    fenceScript: join(directory, 'fence.nft'),
    log: { error: word, warn: word, info: word } as unknown as Log,
    changed: () => {},
    audit: (event, detail) => void audit.push({ event, detail }),
    gap: (cause, from, to) => void gaps.push({ cause, from, to }),
    draft: () => {},
    healthy: () => well.value,
    parts: {
      async openNftSession() {
        const session = await openNftSession()
        pids.writer = session.pid
        return {
          ...session,
          run(script) {
            if (!script.includes('aa_hello_')) writes.count += 1
            return session.run(script)
          },
        }
      },
      async startRedirect(enforcement) {
        const redirect = await startRedirect(enforcement)
        pids.owner = redirect.pid
        return redirect
      },
    },
  })
  t.teardown(async () => {
    await it.stop()
    rmSync(directory, { recursive: true })
  })
  return {
    enforcer: it,
    book,
    audit,
    gaps,
    log,
    writes,
    pids,
    well,
    counted: (event, which = () => true) =>
      audit
        .filter((told) => told.event === event && which(told.detail))
        .reduce((sum, { detail }) => sum + Number(detail.count ?? 1), 0),
  }
}

export function nft(...args: string[]): string {
  return execFileSync('nft', args, { env: { PATH, LC_ALL: 'C' }, encoding: 'utf8', maxBuffer: 64 << 20 })
}

export function nftFile(program: string, script: string): void {
  execFileSync(program, ['-f', '-'], {
    env: { PATH, LC_ALL: 'C' },
    input: script,
    stdio: ['pipe', 'inherit', 'pipe'],
  })
}

/** nft under another name: who the kernel says made a change. */
export function nftAs(t: Test, name: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'aa-nft-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const path = join(directory, name)
  copyFileSync(execFileSync('sh', ['-c', 'command -v nft'], { env: { PATH }, encoding: 'utf8' }).trim(), path)
  chmodSync(path, 0o755)
  return path
}

/** As {@link nft}, without keeping this process, which is the guard's too, from its work. */
export function nftAside(...args: string[]): Promise<string> {
  return new Promise((resolve, reject) =>
    execFile('nft', args, { env: { PATH, LC_ALL: 'C' }, maxBuffer: 64 << 20 }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    ),
  )
}

/** The tables of the fence, or that one isn't there. */
export async function fence(...options: '--terse'[]): Promise<string> {
  const tables = ['inet', 'netdev'].map((family) =>
    nftAside(...options, '--stateless', 'list', 'table', family, 'aa_fence').catch(
      () => `no ${family} aa_fence\n`,
    ),
  )
  return (await Promise.all(tables)).join('')
}

export const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Milliseconds until it holds; Infinity where it doesn't within the patience. */
export async function until(holds: () => boolean | Promise<boolean>, patienceMs = 5000): Promise<number> {
  const start = performance.now()
  for (;;) {
    if (await holds()) return performance.now() - start
    if (performance.now() - start > patienceMs) return Number.POSITIVE_INFINITY
    await later(2)
  }
}

/** Children of this process whose command line is this. */
export function children(command: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim()
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return line === command && Number(parent) === process.pid && state !== 'Z'
      } catch {
        return false
      }
    })
    .map(Number)
}
