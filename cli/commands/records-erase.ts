/** `agent-anchor records erase ID…`: the content of records goes, the records and their proofs stay. */
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { storedParts } from '../../daemon/recorder/record-parts.ts'
import { print, printJson, type Register } from '../command.ts'
import { confirm } from '../confirm.ts'
import { eraseRecords } from '../erase-records.ts'
import { findRecord, openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { progressOf } from '../progress.ts'
import { table } from '../terminal.ts'

const WORD = 'erase'

export const recordsErase: Register = (records, act) =>
  records
    .command('erase')
    .argument('<ids...>', "records' ids, or the starts of them")
    .description('erase what was sent and received for good; the records stay, and their proofs hold')
    .option('--yes', "don't ask")
    .addHelpText(
      'after',
      '\nErases heads, bodies and the salts of their digests, wherever the gateway has them. Backups are not touched.\nWho did it, when and to which records stands in the log.',
    )
    .action(
      act(async (options, given) => {
        const evidence = await openEvidence(options, 'records erase')
        const rows = (given as unknown as string[]).map((id) => findRecord(evidence, id))
        const { yes, json } = options as { yes?: boolean; json: boolean }
        if (yes !== true) {
          const told = rows.map(({ id, time, provider, bytes }) => {
            const size = storedParts(parseLeaf(bytes)).reduce((sum, { part }) => sum + part.size, 0)
            return [id, time, provider ?? '-', `${size} bytes`]
          })
          process.stderr.write(`${table(told)}\n`)
          await confirm(WORD)
        }
        const ids = [...new Set(rows.map(({ id }) => id))]
        const progress = progressOf('erase: packs written anew', { json })
        const result = await eraseRecords(evidence, ids, ({ done, of }) => {
          if (of > 0) progress.at(BigInt(done), BigInt(of))
        }).finally(() => progress.clear())
        if (json) printJson(result)
        else {
          for (const { id, why } of result.skipped) print(`${id}: nothing to erase: ${why}`)
          for (const id of result.erased) print(`${id}: erased`)
        }
        return ExitCode.healthy
      }),
    )
