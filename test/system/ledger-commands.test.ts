/** `agent-anchor ledger …` on a gateway's own log: beside the daemon, and with it stopped. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { openIndexDatabase } from '../../daemon/recorder/index/database.ts'
import { enterLab } from '../lab/enter.ts'
import { labWithGateway } from '../lab/lab-with-gateway.ts'

t.setTimeout(180_000)
await enterLab(import.meta.url)
const { lab, gateway } = await labWithGateway(t, { wireLog: false })
const recorder = join(gateway.config.stateDir, 'recorder')
const index = join(recorder, 'index.sqlite')
const ledger = join(recorder, 'ledger')

const call = () =>
  lab.run('agent1', ['curl', '-sS', '-H', 'Authorization: Bearer k', 'https://api.openai.com/v1/models'])
const rows = () => {
  const database = openIndexDatabase(index)!
  try {
    const of = (table: string) =>
      database
        .prepare(`SELECT * FROM ${table}`)
        .all()
        .map((row) => JSON.stringify(row))
    return { records: of('record'), places: of('place').sort() }
  } finally {
    database.close()
  }
}

t.test('a running gateway is checked without a false alarm, and not repaired', async (t) => {
  for (let i = 0; i < 5; i++) await call()
  t.match(await gateway.cli('ledger', 'fsck'), { code: 0, stdout: /^whole / })
  t.match(await gateway.cli('ledger', 'fsck', '--repair'), { code: 1, stderr: /Stop the daemon/ })
  t.match(await gateway.cli('ledger', 'rebuild-index'), { code: 1, stderr: /Stop the daemon/ })
})

t.test('the index is made anew from the log and the packs, and is the same', async (t) => {
  await gateway.stop()
  const before = rows()
  t.ok(before.records.length > 5 && before.places.length > 5)
  const { uid, gid, mode } = statSync(index)
  writeFileSync(index, 'no database')
  t.equal((await gateway.cli('verify')).code, 1)
  t.match(await gateway.cli('ledger', 'rebuild-index'), {
    code: 0,
    stdout: `index.sqlite: ${before.records.length} records, ${before.places.length} places in packs`,
  })
  t.same(rows(), before)
  t.match(statSync(index), { uid, gid, mode }, "and still the daemon's file")
  t.equal((await gateway.cli('verify')).code, 0)
})

t.test(
  'a bundle that rotted comes back from the index, and what is computed from the leaves too',
  async (t) => {
    const [tile] = readdirSync(join(ledger, 'tile/entries'))
    const widest = readdirSync(join(ledger, 'tile/entries', tile!))
      .map(Number)
      .sort((a, b) => b - a)[0]
    const bundle = join(ledger, 'tile/entries', tile!, String(widest))
    const whole = readFileSync(bundle)
    const rotten = Buffer.from(whole)
    rotten[whole.length >> 1]! ^= 4
    writeFileSync(bundle, rotten)
    rmSync(join(ledger, 'state.json'))
    const { uid } = statSync(bundle)
    t.match(await gateway.cli('ledger', 'fsck'), {
      code: 1,
      stdout: /damaged {2}state\.json.*\n(.*\n)*.*--repair/,
    })
    t.match(await gateway.cli('ledger', 'fsck', '--repair'), {
      code: 0,
      stdout: /written {2}tile\/entries\/.*\n(.*\n)*whole /,
    })
    t.same(readFileSync(bundle), whole)
    t.equal(statSync(bundle).uid, uid)
    t.equal(statSync(join(ledger, 'state.json')).uid, uid)
    await gateway.start()
    await call()
    t.ok(existsSync(index))
    t.equal((await gateway.cli('verify', '--offline')).code, 0)
  },
)
