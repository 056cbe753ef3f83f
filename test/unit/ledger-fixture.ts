/** A log in a temporary directory, for the ledger's tests. */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { Damage } from '../../daemon/ledger/damage.ts'
import { checkLedger } from '../../daemon/ledger/fsck.ts'
import { type Ledger, type LedgerOptions, openLedger } from '../../daemon/ledger/ledger.ts'
import { ed25519Signer } from '../../daemon/ledger/note.ts'

export const ORIGIN = 'agent-anchor.invalid/test'
export const signer = ed25519Signer(ORIGIN, Buffer.alloc(32, 7))

export function temporaryDirectory(t: Test): string {
  const dir = mkdtempSync(join(tmpdir(), 'ledger-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export function open(dir: string, options: Partial<LedgerOptions> = {}): Promise<Ledger> {
  return openLedger({ dir, origin: ORIGIN, sign: signer.sign, verifierKey: signer.verifierKey, ...options })
}

/** Leaf `i` of every test: short, of differing lengths, sometimes empty. */
export function leaf(i: number): Buffer {
  return Buffer.from('.'.repeat(i % 5) + (i % 7 === 0 ? '' : `leaf ${i}`))
}

export async function appendLeaves(ledger: Ledger, from: number, to: number): Promise<void> {
  await Promise.all(Array.from({ length: to - from }, (_, i) => ledger.append(leaf(from + i))))
}

/** Opens the log, appends leaves [from, to) and closes it. */
export async function grow(dir: string, from: number, to: number): Promise<void> {
  const ledger = await open(dir)
  await appendLeaves(ledger, from, to)
  await ledger.close()
}

export async function fsck(dir: string): Promise<Damage[]> {
  const damages: Damage[] = []
  for await (const damage of checkLedger(dir, signer.verifierKey)) damages.push(damage)
  return damages
}

/** All files below a directory, relative to it. */
export function filesOf(dir: string): string[] {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => relative(dir, path))
    .sort()
}

/** Flips one bit of a byte; returns the inverse. */
export function flip(path: string, offset: number): () => void {
  const bytes = readFileSync(path)
  const altered = Buffer.from(bytes)
  altered[offset]! ^= 1 << (offset % 8)
  writeFileSync(path, altered)
  return () => writeFileSync(path, bytes)
}

/** A process that appends to a log until it is killed, and prints the last index acknowledged. */
export function writer(dir: string): ChildProcessByStdio<null, Readable, null> {
  const script = `
    import { leaf, open } from ${JSON.stringify(import.meta.url)}
    const ledger = await open(${JSON.stringify(dir)}, { checkpointIntervalMs: 30 })
    for (;;) {
      const first = Number(ledger.size)
      const indexes = await Promise.all(Array.from({ length: 20 }, (_, i) => ledger.append(leaf(first + i))))
      console.log(String(indexes.at(-1)))
    }`
  return spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}
