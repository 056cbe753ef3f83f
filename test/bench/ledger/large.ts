/** A log of many leaves: memory while it grows, time to open and to check it, time of proofs. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkLedger } from '../../../daemon/ledger/fsck.ts'
import { type Ledger, openLedger } from '../../../daemon/ledger/ledger.ts'
import { leafHash, verifyConsistency, verifyInclusion } from '../../../daemon/ledger/merkle.ts'
import { treeRoot } from '../../../daemon/ledger/merkle-path.ts'
import { ed25519Signer } from '../../../daemon/ledger/note.ts'
import { openReader } from '../../../daemon/ledger/reader.ts'
import { storedNodes } from '../../../daemon/ledger/tile-store.ts'
import { quantile } from '../statistics.ts'
import { forgetPages } from './page-cache.ts'

const ORIGIN = 'agent-anchor.invalid/bench'
const { sign, verifierKey } = ed25519Signer(ORIGIN, Buffer.alloc(32, 7))
/** Leaves under way: enough that the disk never waits for them. */
const WINDOW = 4096
const PROOFS = 10_000
const COLD_PROOFS = 2000

const say = (text: string): unknown => process.stdout.write(`${text}\n`)
const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`
const resident = (): string => `${(process.memoryUsage.rss() / 2 ** 20).toFixed(0)} MB resident`
const peak = (): string =>
  `${(Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024).toFixed(0)} MB at most`

const leafAt = (i: number): Buffer => Buffer.from(`leaf ${i}`)

const open = (dir: string): Promise<Ledger> => openLedger({ dir, origin: ORIGIN, sign, verifierKey })

export async function large(base: string, leaves: number): Promise<void> {
  const dir = join(base, 'large')
  await grow(dir, leaves)
  const opening = performance.now()
  await (await open(dir)).close()
  say(`restart       ${(performance.now() - opening).toFixed(0)} ms to open and close the log`)
  forgetPages(dir)
  proofs(dir, leaves, 'cold', COLD_PROOFS)
  proofs(dir, leaves, 'warm', PROOFS)
  const checking = performance.now()
  let damages = 0
  for await (const _ of checkLedger(dir, verifierKey)) damages++
  say(
    `fsck          ${seconds(checking)} for every byte of ${leaves} leaves: ${damages} damaged files; ${resident()}, ${peak()}`,
  )
}

async function grow(dir: string, leaves: number): Promise<void> {
  const log = await open(dir)
  const start = performance.now()
  let next = Number(log.size)
  let acknowledged = next
  const step = Math.max(1, leaves / 10)
  let told = step
  const appender = async (): Promise<void> => {
    while (next < leaves) {
      await log.append(leafAt(next++))
      if (++acknowledged < told) continue
      say(`grows         ${acknowledged} leaves after ${seconds(start)}, ${resident()}`)
      told += step
    }
  }
  await Promise.all(Array.from({ length: WINDOW }, appender))
  await log.close()
  const rate = (leaves / (performance.now() - start)) * 1000
  const size = spawnSync('du', ['-sm', dir], { encoding: 'utf8' }).stdout.split('\t')[0]
  say(`              ${rate.toFixed(0)} leaves/s, integrated and signed; ${size} MB on disk; ${peak()}`)
}

function proofs(dir: string, leaves: number, what: string, count: number): void {
  const reader = openReader(dir)
  const { size, root } = reader.checkpoint()!
  const any = (): number => Math.floor(Math.random() * leaves)
  const inclusion: number[] = []
  const consistency: number[] = []
  for (let i = 0; i < count; i++) {
    const index = BigInt(any())
    let at = performance.now()
    const proof = reader.inclusionProof(index, size)
    inclusion.push(performance.now() - at)
    verifyInclusion({ index, size, root, proof, leafHash: leafHash(leafAt(Number(index))) })
    const oldSize = BigInt(any())
    at = performance.now()
    const path = reader.consistencyProof(oldSize, size)
    consistency.push(performance.now() - at)
    if (oldSize === 0n) continue
    const oldRoot = treeRoot(oldSize, storedNodes(dir, size))
    verifyConsistency({ oldSize, oldRoot, newSize: size, newRoot: root, proof: path })
  }
  for (const [kind, times] of [
    ['inclusion', inclusion],
    ['consistency', consistency],
  ] as const) {
    const [p50, p99, max] = [0.5, 0.99, 1].map((q) => quantile(times, q).toFixed(2))
    say(`proofs        ${what}, ${kind}, ${count} at random: p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`)
  }
}
