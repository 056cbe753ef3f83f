/** Whether anvil will load its state file: it refuses to start with one that it can't read. */
import { readFileSync, statSync } from 'node:fs'
import { z } from 'zod'

const Hex = z.string().regex(/^0x[0-9a-fA-F]*$/)
/** What anvil 1.7 can't do without; the rest it fills in. */
const State = z.object({
  block: z.object({ number: Hex, timestamp: Hex }).nullable(),
  accounts: z.record(z.string(), z.object({ nonce: z.number(), balance: Hex, code: Hex })),
  best_block_number: z.union([z.number(), Hex]).nullish(),
  blocks: z.array(z.object({ header: z.object({ number: Hex }) })),
  transactions: z.array(z.object({ block_hash: Hex })),
})

/** The chain starts over long before its state is as large as this. */
const MAX_BYTES = 256 << 20

export function isLoadable(file: string): boolean {
  try {
    if (statSync(file).size > MAX_BYTES) return false
    return State.safeParse(JSON.parse(readFileSync(file, 'utf8'))).success
  } catch {
    return false
  }
}
