/** `agent-anchor export ID -o FILE`: a receipt that somebody else can verify. */
import { writeFile } from 'node:fs/promises'
import { buildReceipt } from '../../daemon/receipt/build.ts'
import { formatReceipt } from '../../daemon/receipt/receipt.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { FileUnusable } from '../cli-error.ts'
import { print, printJson, type Register } from '../command.ts'
import { findRecord, openEvidence, sourcesOf } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { goneText } from '../gone-text.ts'
import { storedParts } from '../../daemon/recorder/record-parts.ts'

export const exportReceipt: Register = (program, act) =>
  program
    .command('export')
    .argument('<id>', "a record's id, or the start of it")
    .requiredOption('-o, --output <file>', 'where to write the receipt; - for standard output')
    .description('write a receipt that anybody can verify without this machine')
    .action(
      act(async (options, id) => {
        const evidence = await openEvidence(options, 'export')
        const row = findRecord(evidence, id as string)
        const receipt = buildReceipt(BigInt(row.leaf), sourcesOf(evidence))
        const { output } = options as unknown as { output: string }
        if (output === '-') print(formatReceipt(receipt))
        else {
          // A receipt holds no body and no credential, but it does say who called whom: the owner decides who reads it.
          await writeFile(output, formatReceipt(receipt), { mode: 0o600 }).catch((error: unknown) => {
            throw new FileUnusable('write', output, error)
          })
          const stored = storedParts(parseLeaf(row.bytes)).length > 0
          const erased = stored ? evidence.index.gone(row) : undefined
          const anchors = receipt.anchors.length
          if (options.json) {
            printJson({ id: row.id, output, anchors, ...(erased && { erased: erased.time }) })
          } else {
            const gone = erased === undefined ? '' : `; its content: ${goneText(erased)}`
            print(`${output}: receipt of ${row.id}, ${anchors} anchor(s)${gone}`)
          }
        }
        return ExitCode.healthy
      }),
    )
