/**
 * What a durable leaf costs, and what a log of ten million leaves does: `ledger.ts [acknowledgement] [large]`, both
 * without an argument. LEDGER_BENCH_DIR: where, on a disk and not in memory. LEDGER_BENCH_LEAVES: how large.
 * Prints; asserts nothing about time.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { acknowledgement } from './ledger/acknowledgement.ts'
import { large } from './ledger/large.ts'

const sections = process.argv.slice(2)
const dir = mkdtempSync(join(process.env.LEDGER_BENCH_DIR ?? tmpdir(), 'ledger-bench-'))
process.stdout.write(
  `machine       ${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}\n`,
)
try {
  if (sections.length === 0 || sections.includes('acknowledgement')) await acknowledgement(dir)
  if (sections.length === 0 || sections.includes('large'))
    await large(dir, Number(process.env.LEDGER_BENCH_LEAVES ?? 10_000_000))
} finally {
  rmSync(dir, { recursive: true })
}
