import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatSummed } from '../../daemon/base/summed-json.ts'
import { damagedAlarms, openAlarm } from '../../daemon/chain-writer/alarms.ts'
import {
  type Anchor,
  type AnchorState,
  readAnchors,
  thinned,
  writeAnchors,
} from '../../daemon/chain-writer/anchors.ts'
import {
  damagedAuthorizations,
  readAuthorization,
  type StoredAuthorization,
  writeAuthorization,
} from '../../daemon/chain-writer/authorization-file.ts'
import { isLoadable } from '../../daemon/chain-writer/development-state.ts'
import { damagedJournals, openJournal } from '../../daemon/chain-writer/journal.ts'
import { feesOf, gatewaySigner } from '../../daemon/chain-writer/signer.ts'

const hash = `0x${'1f'.repeat(32)}`
const address = `0x${'aa'.repeat(20)}`
const anchor = (size: number): Anchor => ({
  size: String(size),
  root: 'ab'.repeat(32),
  transaction: hash,
  block: size,
  blockHash: hash,
  time: '2026-01-01T00:00:00.000Z',
  finality: 'included',
  rpc: '127.0.0.1:1',
})
const signed = {
  hash,
  raw: '0x02',
  purpose: { type: 'anchor', size: '4', root: 'ab'.repeat(32), note: 'n' },
  signed: 5,
} as const
const state: AnchorState = {
  v: 1,
  chains: [
    {
      name: 'base',
      kind: 'rpc',
      chainId: 8453,
      contract: address,
      logKey: hash,
      gateway: address,
      anchors: [anchor(3)],
    },
  ],
}

t.test('anchors survive a restart; none are there before the first', async (t) => {
  const directory = t.testdir()
  t.same(readAnchors(directory), { v: 1, chains: [] })
  await writeAnchors(directory, state)
  t.same(readAnchors(directory), state)
})

t.test('a damaged or hostile anchors.json is refused with a remedy', async (t) => {
  const chain = state.chains[0]!
  const bad = [
    { v: 2, chains: [] },
    { v: 1, chains: [{ ...chain, name: '../../etc' }] },
    { v: 1, chains: [{ ...chain, contract: '0x1' }] },
    { v: 1, chains: [{ ...chain, anchors: [{ ...anchor(1), size: '-1' }] }] },
    { v: 1, chains: [{ ...chain, anchors: [{ ...anchor(1), root: 'x' }] }] },
  ].map((document) => formatSummed(document).toString())
  for (const text of [...bad, '', '{', 'null', JSON.stringify(state)]) {
    const directory = t.testdir()
    writeFileSync(join(directory, 'anchors.json'), text)
    t.throws(() => readAnchors(directory), { code: 'STATE_DAMAGED', remedy: /Remove it/ }, text.slice(0, 40))
  }
})

t.test('a flipped byte anywhere in the state files is noticed', async (t) => {
  const directory = t.testdir()
  await writeAnchors(directory, state)
  const { journal } = await openJournal(directory, 'base')
  await journal.put({ inFlight: { chainId: 1, nonce: 7, transactions: [signed] } })
  t.same(await damagedJournals(directory), [])
  for (const name of ['anchors.json', 'base.journal.json']) {
    const whole = readFileSync(join(directory, name))
    for (const at of whole.keys()) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1
      writeFileSync(join(directory, name), bytes)
      if (name === 'anchors.json') t.throws(() => readAnchors(directory), { code: 'STATE_DAMAGED' })
      else t.same(await damagedJournals(directory), [name])
    }
    writeFileSync(join(directory, name), whole)
  }
})

t.test(
  'what an owner signed is read as it was written, and a flipped byte anywhere is noticed',
  async (t) => {
    const directory = t.testdir()
    const file = join(directory, 'base.json')
    const given = {
      ...{ owner: address, gateway: address, logId: hash, vkeyHash: hash, policy: 'consistent' as const },
      ...{ notBefore: 0, expiry: 2_000_000_000, nonce: 18_446_744_073_709_551_615n },
    } as const
    const stored: StoredAuthorization = {
      ...{ v: 1, chainId: 8453, contract: address, given, signature: `0x${'ab'.repeat(65)}` },
    }
    t.same(damagedAuthorizations(join(directory, 'absent')), [])
    await writeAuthorization(directory, file, stored)
    t.same(readAuthorization(file), stored)
    t.same(damagedAuthorizations(directory), [])
    const whole = readFileSync(file)
    for (const at of whole.keys()) {
      const bytes = Buffer.from(whole)
      bytes[at]! ^= 1
      writeFileSync(file, bytes)
      t.same(damagedAuthorizations(directory), ['base.json'])
    }
  },
)

t.test('keeps the newest anchors all and older ones ever more sparsely', async (t) => {
  let anchors: Anchor[] = []
  for (let size = 1; size <= 20_000; size++) anchors = thinned(anchors, anchor(size))
  t.ok(anchors.length <= 512)
  const sizes = anchors.map(({ size }) => Number(size))
  t.equal(sizes[0], 1)
  t.same(
    sizes.slice(-256),
    Array.from({ length: 256 }, (_, i) => 20_000 - 255 + i),
  )
  t.same(
    sizes,
    sizes.toSorted((a, b) => a - b),
  )
  t.same(
    thinned([anchor(1), anchor(2)], anchor(2)).map(({ size }) => size),
    ['1', '2'],
  )
})

t.test('the journal gives back what was put before a restart', async (t) => {
  const directory = t.testdir()
  const { journal } = await openJournal(directory, 'base')
  t.equal(journal.inFlight, undefined)
  const inFlight = { chainId: 1, nonce: 7, transactions: [signed] }
  const spending = { day: '2026-01-02', wei: '42' }
  await journal.put({ inFlight, spending })
  t.match((await openJournal(directory, 'base')).journal, { inFlight, spending })
  t.equal((await openJournal(directory, 'other')).journal.inFlight, undefined)
  const tree = { logKey: hash, size: '4', root: 'ab'.repeat(32) }
  await journal.put({ nextNonce: 8, tree })
  t.match((await openJournal(directory, 'base')).journal, { inFlight, spending, nextNonce: 8, tree })
  await journal.put({ inFlight: undefined })
  t.match((await openJournal(directory, 'base')).journal, {
    inFlight: undefined,
    spending,
    nextNonce: 8,
    tree,
  })
})

t.test('an alarm stands until its file is removed, whatever becomes of the file', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'base.alarm.json')
  const first = await openAlarm(directory, 'base')
  t.equal(first.alarm, undefined)
  await first.raise('two roots', '2026-01-01T00:00:00Z')
  await first.raise('another', '2026-01-02T00:00:00Z')
  t.match(first.alarm, { title: 'two roots' })
  t.match((await openAlarm(directory, 'base')).alarm, { title: 'two roots', since: '2026-01-01T00:00:00Z' })
  t.equal((await openAlarm(directory, 'other')).alarm, undefined)
  t.same(await damagedAlarms(directory), [])
  const whole = readFileSync(file)
  for (const bytes of ['', '{}', whole.subarray(0, 20), Buffer.from(whole).fill(0x20, 8, 9)]) {
    writeFileSync(file, bytes)
    t.match((await openAlarm(directory, 'base')).alarm, { title: /damaged/ })
    t.same(await damagedAlarms(directory), ['base.alarm.json'])
  }
  rmSync(file)
  t.equal((await openAlarm(directory, 'base')).alarm, undefined)
})

t.test('an alarm that can not be written stands in memory, and is written when it can be', async (t) => {
  const directory = join(t.testdir(), 'later')
  const alarm = await openAlarm(directory, 'base')
  await t.rejects(alarm.raise('two roots', '2026-01-01T00:00:00Z'), { code: 'IO' })
  t.match(alarm.alarm, { title: 'two roots' })
  mkdirSync(directory)
  await alarm.raise('two roots', '2026-01-03T00:00:00Z')
  t.match((await openAlarm(directory, 'base')).alarm, { since: '2026-01-01T00:00:00Z' })
})

t.test('a damaged journal is set aside and named', async (t) => {
  const directory = t.testdir({ 'base.journal.json': '{"v":1,"inFl' })
  const { journal, damaged } = await openJournal(directory, 'base')
  t.equal(journal.inFlight, undefined)
  t.equal(damaged, join(directory, 'base.journal.json.damaged'))
  t.ok(existsSync(damaged ?? ''))
})

t.test('signs for its address, with the fees it was told', async (t) => {
  // Account and key that anvil and hardhat publish as their first.
  const signer = gatewaySigner(
    Buffer.from('ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80', 'hex'),
  )
  t.equal(signer.address, '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266')
  const transaction = { chainId: 1, nonce: 3, to: address, data: '0x01', gasLimit: 21_000n }
  for (const fees of [
    { type: 2, maxFeePerGas: 9n, maxPriorityFeePerGas: 2n },
    { type: 0, gasPrice: 7n },
  ] as const) {
    const { raw, hash } = signer.sign({ ...transaction, fees })
    t.same(feesOf(raw), fees)
    t.match(hash, /^0x[0-9a-f]{64}$/)
  }
})

t.test('tells a development chain state that is whole from one that is torn', async (t) => {
  const whole = {
    block: { number: '0x0', timestamp: '0x1' },
    accounts: { [address]: { nonce: 0, balance: '0x0', code: '0x' } },
    best_block_number: 0,
    blocks: [{ header: { number: '0x0' } }],
    transactions: [],
  }
  const directory = t.testdir({
    whole: JSON.stringify(whole),
    torn: JSON.stringify(whole).slice(0, -20),
    empty: '',
    other: '{}',
  })
  t.ok(isLoadable(join(directory, 'whole')))
  for (const name of ['torn', 'empty', 'other', 'absent']) t.notOk(isLoadable(join(directory, name)), name)
})
