/**
 * Throughput and latency of acknowledgements while the log integrates and signs, against the raw file in the same run:
 * blocks of both alternate, taking turns at going first, and each quantile is the median of the blocks.
 */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openLedger } from '../../../daemon/ledger/ledger.ts'
import { ed25519Signer } from '../../../daemon/ledger/note.ts'
import { median } from '../statistics.ts'
import { closedLoop, type Measured, openLoop, RECORD_BYTES, type Sink } from './load.ts'
import { RawFile } from './raw-file.ts'

const ROUNDS = 5
const BLOCK_MS = 3000
const RATES = [5000, 10_000, 20_000]
const CLIENTS = [1, 64, 1024]

interface Contender {
  readonly name: string
  run(block: (sink: Sink) => Promise<Measured>): Promise<Measured>
}

const say = (text: string): unknown => process.stdout.write(`${text}\n`)

export async function acknowledgement(base: string): Promise<void> {
  const dir = join(base, 'acknowledgement')
  mkdirSync(dir)
  const contenders = [rawFile(dir), ledger(dir)]
  say(`method        leaves of ${RECORD_BYTES} bytes, ${ROUNDS} rounds of ${BLOCK_MS / 1000} s a block; ms`)
  for (const rate of RATES) {
    await compare(contenders, `open ${rate}/s`, (sink) => openLoop(sink, rate, BLOCK_MS))
  }
  for (const clients of CLIENTS) {
    await compare(contenders, `closed, ${clients}`, (sink) => closedLoop(sink, clients, BLOCK_MS))
  }
  rmSync(dir, { recursive: true })
}

async function compare(
  contenders: readonly Contender[],
  what: string,
  block: (sink: Sink) => Promise<Measured>,
): Promise<void> {
  const blocks = new Map(contenders.map(({ name }) => [name, [] as Measured[]]))
  const pauses: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of round % 2 === 0 ? contenders : contenders.toReversed()) {
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      blocks.get(contender.name)!.push(await contender.run(block))
      delay.disable()
      if (contender.name === 'ledger') pauses.push(delay.percentile(99.9) / 1e6)
    }
  }
  const of = (name: string, key: keyof Measured): number => median(blocks.get(name)!.map((one) => one[key]))
  for (const { name } of contenders) {
    const ratios = name === 'raw' ? '' : ratiosOf((key) => of(name, key) / of('raw', key))
    const [rate, ...times] = (['perSecond', 'p50', 'p99', 'p999', 'max'] as const).map((key) => of(name, key))
    const [p50, p99, p999, max] = times.map((ms) => ms.toFixed(2))
    say(
      `${what.padEnd(14)}${name.padEnd(7)}${rate!.toFixed(0).padStart(6)}/s  p50 ${p50}  p99 ${p99}  p99.9 ${p999}  max ${max}${ratios}`,
    )
  }
  say(`${''.padEnd(21)}event loop held up, p99.9 of its blocks: ${median(pauses).toFixed(1)}`)
}

const ratiosOf = (ratio: (key: keyof Measured) => number): string =>
  `  (× ${ratio('p50').toFixed(2)}, × ${ratio('p99').toFixed(2)}, × ${ratio('p999').toFixed(2)})`

function rawFile(dir: string): Contender {
  let number = 0
  return {
    name: 'raw',
    async run(block) {
      const path = join(dir, `raw-${number++}`)
      const file = await RawFile.open(path)
      const measured = await block(file)
      await file.close()
      rmSync(path)
      return measured
    },
  }
}

/** One log for all blocks, so that it grows. */
function ledger(dir: string): Contender {
  const { sign, verifierKey } = ed25519Signer('agent-anchor.invalid/bench', Buffer.alloc(32, 7))
  return {
    name: 'ledger',
    async run(block) {
      const log = await openLedger({
        dir: join(dir, 'log'),
        origin: 'agent-anchor.invalid/bench',
        sign,
        verifierKey,
      })
      const measured = await block(log)
      await log.close()
      return measured
    },
  }
}
