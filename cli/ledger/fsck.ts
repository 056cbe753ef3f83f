/** What `ledger fsck` does: every byte of a log is hashed again; on request what can be computed is made anew. */
import type { Damage } from '../../daemon/ledger/damage.ts'
import { checkLedger } from '../../daemon/ledger/fsck.ts'
import { type Repaired, repairLedger } from '../../daemon/ledger/repair.ts'
import type { ElsewhereLeaf } from '../../daemon/ledger/repair-leaves.ts'
import type { Progress } from '../progress.ts'
import { Interrupted, interruptible } from './interrupted.ts'

export interface CheckedLog {
  readonly dir: string
  readonly verifierKey: string
}

/** Who can put a damaged file right. */
export type Remedy =
  /** `fsck --repair` computes it from the leaves. */
  | 'repair'
  /** The next start of the daemon cuts it off, if a crash left it. */
  | 'start'
  /** Only a copy has it. */
  | 'restore'

export interface Found extends Damage {
  readonly remedy: Remedy
}

export interface Checked {
  readonly damages: readonly Found[]
  readonly leaves: bigint
  /** Set where Ctrl-C ended the check: leaves before this one are checked. */
  readonly interruptedAt?: bigint
}

/** False too where the check did not reach the end. */
export const isWhole = ({ damages, interruptedAt }: Checked): boolean =>
  damages.length === 0 && interruptedAt === undefined

export async function fsck(log: CheckedLog, from: bigint, progress: Progress): Promise<Checked> {
  const damages: Found[] = []
  let leaves = 0n
  let checked = from
  try {
    await interruptible(async (step) => {
      const told = (done: bigint, size: bigint): void => {
        ;[checked, leaves] = [done, size]
        progress.at(done, size)
        step()
      }
      for await (const damage of checkLedger(log.dir, log.verifierKey, { from, progress: told }))
        damages.push({ ...damage, remedy: remedyOf(damage) })
    })
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    return { damages, leaves, interruptedAt: checked }
  } finally {
    progress.clear()
  }
  return { damages, leaves }
}

function remedyOf({ file, what }: Damage): Remedy {
  if (/^tile\/[0-7]\//.test(file) || file === 'state.json') return 'repair'
  // An older bundle goes, a damaged one comes back where the index has its leaves.
  if (file.startsWith('tile/entries/')) return 'repair'
  return file.startsWith('wal/') && what.includes('torn by a crash') ? 'start' : 'restore'
}

/** @throws what {@link repairLedger} throws, and Interrupted: what was written until then is right, and stays. */
export async function repair(
  log: CheckedLog,
  elsewhere: ElsewhereLeaf | undefined,
  progress: Progress,
): Promise<Repaired> {
  try {
    return await interruptible((step) => {
      const told = (done: bigint, of: bigint): void => {
        progress.at(done, of)
        step()
      }
      return repairLedger({ ...log, elsewhere, progress: told })
    })
  } finally {
    progress.clear()
  }
}
