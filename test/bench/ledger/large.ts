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
  const any = (): bigint => BigInt(Math.floor(Math.random() * leaves))
  const inclusion: Timed[] = []
  const consistency: Timed[] = []
  for (let i = 0; i < count; i++) {
    const index = any()
    const proof = timed(inclusion, index, () => reader.inclusionProof(index, size))
    verifyInclusion({ index, size, root, proof, leafHash: leafHash(leafAt(Number(index))) })
    const oldSize = any()
    const path = timed(consistency, oldSize, () => reader.consistencyProof(oldSize, size))
    if (oldSize === 0n) continue
    const oldRoot = treeRoot(oldSize, storedNodes(dir, size))
    verifyConsistency({ oldSize, oldRoot, newSize: size, newRoot: root, proof: path })
  }
  tell(`${what}, inclusion`, inclusion, (index) => reader.inclusionProof(index, size))
  tell(`${what}, consistency`, consistency, (oldSize) => reader.consistencyProof(oldSize, size))
}

interface Timed {
  readonly of: bigint
  /** Milliseconds on the clock, and of this thread's processor time. */
  readonly wall: number
  readonly cpu: number
}

function timed<T>(into: Timed[], of: bigint, work: () => T): T {
  const before = process.threadCpuUsage()
  const at = performance.now()
  const done = work()
  const wall = performance.now() - at
  const { user, system } = process.threadCpuUsage(before)
  into.push({ of, wall, cpu: (user + system) / 1000 })
  return done
}

/** The slowest are asked once more: whether it is the leaf or the moment (another process, the compiler) that was slow. */
function tell(what: string, times: readonly Timed[], again: (of: bigint) => unknown): void {
  const slowest = times.toSorted((a, b) => b.wall - a.wall).slice(0, 20)
  const repeated: Timed[] = []
  for (const { of } of slowest) timed(repeated, of, () => again(of))
  const wall = times.map((one) => one.wall)
  const [p50, p99, p9999, max] = [0.5, 0.99, 0.9999, 1].map((q) => quantile(wall, q).toFixed(2))
  const most = (of: readonly number[]): string => quantile([...of], 1).toFixed(2)
  say(
    `proofs        ${what}, ${times.length} at random: p50 ${p50} ms, p99 ${p99} ms, p99.99 ${p9999} ms, max ${max} ms ` +
      `(its processor time: at most ${most(times.map((one) => one.cpu))} ms); ` +
      `the 20 slowest once more: at most ${most(repeated.map((one) => one.wall))} ms`,
  )
}
