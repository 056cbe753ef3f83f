/** What a check and a repair of the log say on a terminal. */
import type { Repaired } from '../../daemon/ledger/repair.ts'
import { printable } from '../terminal.ts'
import type { Checked, Remedy } from './fsck.ts'

const REMEDIES: Readonly<Record<Remedy, string>> = {
  repair: 'Stop the daemon and run: agent-anchor ledger fsck --repair',
  start: 'Start the daemon: it cuts off what a crash left there, and says so in the log.',
  restore: 'Restore these from a copy: nothing else has what they held. Nothing is signed until then.',
}

export function checkedText({ damages, leaves, interruptedAt }: Checked, dir: string): string {
  const found = damages.map(({ file, offset, what }) => {
    const place = offset === undefined ? '' : ` at byte ${offset}`
    return printable(`damaged  ${file}${place}: ${what}`)
  })
  const advice = (Object.keys(REMEDIES) as Remedy[])
    .map((remedy) => [remedy, damages.filter((damage) => damage.remedy === remedy)] as const)
    .filter(([, its]) => its.length > 0)
    .map(([remedy, its]) => printable(`${REMEDIES[remedy]} (${its.map(({ file }) => file).join(', ')})`))
  if (interruptedAt !== undefined) {
    const on = `interrupted: leaves before ${interruptedAt} are checked. Go on with --from ${interruptedAt}`
    return [...found, ...advice, on].join('\n')
  }
  const end =
    damages.length === 0 ? `whole    every byte of ${leaves} leaves in ${printable(dir)}` : undefined
  return [...found, ...advice, ...(end === undefined ? [] : [end])].join('\n')
}

export function repairedText({ written, removed }: Repaired): string {
  if (written.length + removed.length === 0) return 'nothing to repair'
  return [...written.map((file) => `written  ${file}`), ...removed.map((file) => `removed  ${file}`)]
    .map(printable)
    .join('\n')
}
