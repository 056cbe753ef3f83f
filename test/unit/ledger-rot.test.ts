/** Any bit of any file of a log may flip: who checks names the file, who opens signs nothing over it. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { LedgerError } from '../../daemon/ledger/errors.ts'
import { encodeBatch, encodeFrame } from '../../daemon/ledger/wal-frame.ts'
import { filesOf, fsck, grow, leaf, open, signer, temporaryDirectory } from './ledger-fixture.ts'

t.test(
  'a flipped bit anywhere is named by fsck or by who opens the log, and nothing is signed over it',
  async (t) => {
    const whole = temporaryDirectory(t)
    for (const [from, to] of [
      [0, 513],
      [513, 520],
    ] as const) {
      await grow(whole, from, to)
    }
    const segment = filesOf(whole).find((file) => file.startsWith('wal/'))!
    const batch = encodeBatch(520n, [leaf(520), leaf(521)])
    const frames = [batch.bytes, encodeFrame(522n, leaf(522))]
    writeFileSync(join(whole, segment), Buffer.concat([readFileSync(join(whole, segment)), ...frames]))
    const files = filesOf(whole).filter((file) => file !== 'lock')
    t.ok(
      new Set(files.map((file) => file.split('/').slice(0, 2).join('/'))).size === 6,
      'every class of file',
    )

    const place = fc.constantFrom(...files).chain((file) =>
      fc.record({
        file: fc.constant(file),
        offset: fc.nat(readFileSync(join(whole, file)).length - 1),
        bit: fc.nat(7),
      }),
    )
    await fc.assert(
      fc.asyncProperty(place, async ({ file, offset, bit }) => {
        const dir = temporaryDirectory(t)
        cpSync(whole, dir, { recursive: true })
        const bytes = readFileSync(join(dir, file))
        bytes[offset]! ^= 1 << bit
        writeFileSync(join(dir, file), bytes)
        const named = (await fsck(dir)).map((damage) => damage.file)
        if (named.length === 0 || named.some((other) => other !== file)) return false

        const before = readFileSync(join(dir, 'checkpoint'))
        const signed: string[] = []
        const sign = (text: Buffer) => {
          signed.push(text.toString())
          return signer.sign(text)
        }
        try {
          const ledger = await open(dir, { sign })
          await ledger.close()
          // Not needed for going on, or taken for the torn end of a crash, which is told: what was signed stays true.
          return file.startsWith('tile/') || ledger.cut?.file === file
        } catch (error) {
          return (
            error instanceof LedgerError &&
            signed.length === 0 &&
            readFileSync(join(dir, 'checkpoint')).equals(before)
          )
        }
      }),
      { numRuns: Number(process.env.LEDGER_ROT_RUNS ?? 60) },
    )
  },
)
