/**
 * A process that appends under load until it is killed: `node ledger-appender.ts DIR RUN`. What the world hears of it
 * goes out line by line: `opened`, `leaf INDEX NUMBER` once acknowledged, `signed BASE64` for each new checkpoint.
 */
import { writeSync } from 'node:fs'
import { leafOf } from './ledger-appended.ts'
import { open } from './ledger-fixture.ts'

const APPENDERS = 48

const [dir, run] = process.argv.slice(2) as [string, string]
const say = (line: string): number => writeSync(1, `${line}\n`)

const ledger = await open(dir, { checkpointIntervalMs: 15 })
const told = (note: string): number => say(`signed ${Buffer.from(note).toString('base64')}`)
ledger.onCheckpoint(({ note }) => told(note))
told(ledger.signed!.note)
say('opened')

let number = 0
async function append(): Promise<never> {
  for (;;) {
    const mine = number++
    const index = await ledger.append(leafOf(Number(run), mine))
    say(`leaf ${index} ${mine}`)
  }
}
await Promise.all(Array.from({ length: APPENDERS }, append))
