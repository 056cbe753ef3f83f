/** `agent-anchor ledger …`: the log's own files, checked and put right. */
import { readFile } from 'node:fs/promises'
import { InvalidArgumentError } from 'commander'
import type { Repaired } from '../../daemon/ledger/repair.ts'
import { KeyWanted } from '../cli-error.ts'
import { type GlobalOptions, print, printJson, type Register } from '../command.ts'
import { type Evidence, openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { become, ownerOf } from '../ledger/become.ts'
import { type CheckedLog, fsck, isWhole, repair } from '../ledger/fsck.ts'
import { checkedText, repairedText } from '../ledger/fsck-text.ts'
import { indexedLeaves } from '../ledger/indexed-leaves.ts'
import { Interrupted } from '../ledger/interrupted.ts'
import { rebuildIndex } from '../ledger/rebuild-index.ts'
import { type Progress, progressOf } from '../progress.ts'

interface FsckOptions extends GlobalOptions {
  readonly dir?: string
  readonly key?: string
  readonly from?: bigint
  readonly repair?: boolean
}

const leafIndex = (text: string): bigint => {
  if (!/^[0-9]{1,18}$/.test(text)) throw new InvalidArgumentError('the index of a leaf is wanted')
  return BigInt(text)
}

export const ledger: Register = (program, act) => {
  const command = program
    .command('ledger')
    .description("the log's own files: check them, and make anew what can be")

  command
    .command('fsck')
    .option('--from <leaf>', 'leaves before this one were checked before', leafIndex)
    .option('--repair', 'make hash tiles, tree state and stale files anew from the leaves (daemon stopped)')
    .option('--dir <directory>', 'a copy of a log, instead of the one of this machine (with --key)')
    .option('--key <vkey>', 'the verifier key of that log, or a file that holds it')
    .description('hash every byte of the log again, also beside a running daemon')
    .addHelpText('after', '\nExits 0 where all is whole, 1 where something is damaged, 130 after Ctrl-C.')
    .action(act((given) => orInterrupted(checkLog(given as FsckOptions))))

  command
    .command('rebuild-index')
    .description('make index.sqlite anew from the log and the packs (daemon stopped)')
    .action(act((options) => orInterrupted(rebuild(options))))
}

async function rebuild(options: GlobalOptions): Promise<ExitCode> {
  const { paths, bodyKey } = await openEvidence(options, 'ledger rebuild-index')
  const key = await bodyKey()
  become(ownerOf(paths.recorderState))
  const rebuilt = await rebuildIndex(paths.recorderState, key, progressOf('rebuild-index', options))
  if (options.json) printJson({ rebuilt })
  else print(`index.sqlite: ${rebuilt.records} records, ${rebuilt.places} places in packs`)
  return ExitCode.healthy
}

const orInterrupted = (work: Promise<ExitCode>): Promise<ExitCode> =>
  work.catch((error: unknown) => {
    if (!(error instanceof Interrupted)) throw error
    process.stderr.write(`${error.message}\n`)
    return ExitCode.interrupted
  })

async function checkLog(options: FsckOptions): Promise<ExitCode> {
  const evidence = options.dir === undefined ? await openEvidence(options, 'ledger fsck') : undefined
  const log = {
    dir: evidence?.paths.ledger ?? options.dir!,
    verifierKey: evidence?.verifierKey ?? (await keyOf(options.key)),
  }
  const repaired =
    options.repair === true ? await repairFirst(log, evidence, progressOf('repair', options)) : undefined
  const checked = await fsck(log, repaired ? 0n : (options.from ?? 0n), progressOf('fsck', options))
  if (options.json) printJson({ ...repaired, ...checked, whole: isWhole(checked) })
  else print([...(repaired ? [repairedText(repaired)] : []), checkedText(checked, log.dir)].join('\n'))
  if (checked.interruptedAt !== undefined) return ExitCode.interrupted
  return isWhole(checked) ? ExitCode.healthy : ExitCode.error
}

function repairFirst(log: CheckedLog, evidence: Evidence | undefined, progress: Progress): Promise<Repaired> {
  const elsewhere = evidence && indexedLeaves(evidence)
  become(ownerOf(log.dir))
  return repair(log, elsewhere, progress)
}

const keyOf = async (given: string | undefined): Promise<string> => {
  if (given === undefined) throw new KeyWanted()
  // A verifier key has a `+`, a sane file name hasn't: whichever can be read decides.
  return (await readFile(given, 'utf8').catch(() => given)).trim()
}
