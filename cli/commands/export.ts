/** `agent-anchor export ID… -o FILE`: a receipt that somebody else can verify. */
import { writeFile } from 'node:fs/promises'
import { formatReceipt, type Receipt } from '../../daemon/receipt/receipt.ts'
import { parseLeaf } from '../../daemon/recorder/index/row.ts'
import { storedParts } from '../../daemon/recorder/record-parts.ts'
import { FileUnusable } from '../cli-error.ts'
import { print, printJson, type Register } from '../command.ts'
import { type Evidence, findRecord, openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { namedLeaves, receiptOf, withBodies } from '../export-receipt.ts'
import { goneText } from '../gone-text.ts'
import { progressOf } from '../progress.ts'

export const exportReceipt: Register = (program, act) =>
  program
    .command('export')
    .argument('<ids...>', "records' ids, or the starts of them; FROM..TO for all between two")
    .requiredOption('-o, --output <file>', 'where to write the receipt; - for standard output')
    .option('--with-bodies', 'with what was sent and received, and the salts that open its digests')
    .description('write a receipt that anybody can verify without this machine')
    .addHelpText(
      'after',
      '\nVerified by `agent-anchor verify --receipt FILE`, or in a browser by dashboard/verification-page/verify.html.',
    )
    .action(
      act(async (given, ids) => {
        const options = given as typeof given & { output: string; withBodies?: boolean }
        const evidence = await openEvidence(options, 'export')
        const bare = receiptOf(evidence, namedLeaves(evidence, ids as unknown as string[]))
        const receipt = options.withBodies
          ? await withBodies(evidence, bare, progressOf('export', options))
          : bare
        const { output } = options
        if (output === '-') {
          print(formatReceipt(receipt))
          return ExitCode.healthy
        }
        // Who called whom stands in it, and perhaps what was said: the owner decides who reads it.
        await writeFile(output, formatReceipt(receipt), { mode: 0o600 }).catch((error: unknown) => {
          throw new FileUnusable('write', output, error)
        })
        const told = receipt.records.map(({ record }) => describe(evidence, record))
        const anchors = receipt.anchors.length
        const bodies = receipt.records.reduce((sum, held) => sum + (held.bodies?.length ?? 0), 0)
        if (options.json) {
          const [first, ...more] = told
          printJson({ ...(more.length === 0 ? first : { records: told }), output, anchors, bodies })
        } else print(summary(output, receipt, told, bodies))
        return ExitCode.healthy
      }),
    )

interface Told {
  readonly id: string
  /** When its content went; `gone` says how. */
  readonly erased?: string
  readonly gone?: string
}

function describe(evidence: Evidence, record: string): Told {
  const row = findRecord(evidence, parseLeaf(Buffer.from(record)).id)
  const stored = storedParts(parseLeaf(row.bytes)).length > 0
  const erased = stored ? evidence.index.gone(row) : undefined
  return { id: row.id, ...(erased && { erased: erased.time, gone: goneText(erased) }) }
}

function summary(output: string, { anchors }: Receipt, told: readonly Told[], bodies: number): string {
  const [first] = told
  const what = told.length === 1 ? first?.id : `${told.length} records`
  const held = bodies > 0 ? `, ${bodies} head(s) and bodies: it shows what was said` : ''
  const gone = told.filter((record) => record.gone !== undefined)
  const lost =
    gone.length === 0
      ? ''
      : told.length === 1
        ? `; its content: ${first?.gone}`
        : `; the content of ${gone.length} is gone`
  return `${output}: receipt of ${what}, ${anchors.length} anchor(s)${held}${lost}`
}
