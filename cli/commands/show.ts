/** `agent-anchor show ID`: one record, with its bodies where asked. */
import { recordRows } from '../../daemon/receipt/record-rows.ts'
import { openBodies } from '../../daemon/recorder/body-reader.ts'
import { LogRecord } from '../../daemon/recorder/record.ts'
import { storedParts } from '../../daemon/recorder/record-parts.ts'
import { print, printJson, type Register } from '../command.ts'
import { findRecord, openEvidence } from '../evidence.ts'
import { ExitCode } from '../exit-code.ts'
import { goneText } from '../gone-text.ts'
import { printable, table } from '../terminal.ts'

export const show: Register = (program, act) =>
  program
    .command('show')
    .argument('<id>', "a record's id, or the start of it")
    .description('show one record')
    .option('--bodies', 'also what was sent and received')
    .action(
      act(async (options, id) => {
        const evidence = await openEvidence(options, 'show')
        const row = findRecord(evidence, id as string)
        const record = LogRecord.parse(JSON.parse(Buffer.from(row.bytes).toString('utf8')))
        const wanted = (options as { bodies?: boolean }).bodies === true
        const stored = storedParts(record)
        const erased = stored.length > 0 ? evidence.index.gone(row) : undefined
        const bodies =
          wanted && erased === undefined
            ? openBodies(evidence.paths.recorderState, await evidence.bodyKey())
            : undefined
        const parts = stored.map(({ name, part }) => ({
          name,
          bytes: bodies?.read(part.digest).bytes,
        }))
        bodies?.close()
        if (options.json) {
          const contents = Object.fromEntries(
            parts.map(({ name, bytes }) => [name, bytes?.toString('base64')]),
          )
          const gone = erased && {
            erased: { id: erased.id, time: erased.time, event: erased.event, ...erased.detail },
          }
          printJson({ leaf: row.leaf, record, ...gone, ...(wanted ? { bodies: contents } : {}) })
          return ExitCode.healthy
        }
        const gone = erased === undefined ? [] : [['content', goneText(erased)]]
        print(table([['leaf', String(row.leaf)], ...gone, ...recordRows(record)]))
        for (const { name, bytes } of parts) {
          if (bytes === undefined) continue
          print(`\n── ${name} (${bytes.length} bytes)`)
          print(bytes.toString('utf8').split(/\r?\n/).map(printable).join('\n'))
        }
        return ExitCode.healthy
      }),
    )
