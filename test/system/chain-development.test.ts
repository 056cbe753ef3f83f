/** The development chain: restarted empty, killed, damaged, grown long. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { registryAddress } from '../../daemon/chain-writer/addresses.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { caused, remedied } from '../lab/health.ts'
import { emptyDirectory, startAnvil, until } from './chain-anvil.ts'
import {
  anchored,
  anchoredAt,
  checkpointOf,
  codes,
  development,
  only,
  sizes,
  start,
  states,
} from './chain-writer-rig.ts'

t.setTimeout(240_000)

t.test(
  'a development chain that restarts empty gets its contract and the newest checkpoint again',
  async (t) => {
    const directory = emptyDirectory(t)
    const anvil = await startAnvil(t, directory)
    const writer = await anchored(
      t,
      { chain: development(anvil.port), stateDir: join(directory, 'chain') },
      5,
    )
    writer.checkpoint(checkpointOf(8))
    await anchoredAt(writer, 8)
    await anvil.kill('SIGKILL')
    rmSync(join(directory, 'state.json'), { force: true })
    const empty = await startAnvil(t, directory, anvil.port)
    await until('it is anchored again', async () => (await sizes(empty, only(writer))).length === 1)
    await anchoredAt(writer, 8)
    t.same(await sizes(empty, only(writer)), [8])
    t.match(writer.state().health, [{ code: 'chain.lost-anchors', severity: 'info' }])
    t.same(
      readAnchors(join(directory, 'chain')).chains[0]?.anchors.map(({ size }) => size),
      ['8'],
    )
  },
)

t.test('a development chain killed before it saved its last blocks is brought up to date', async (t) => {
  const directory = emptyDirectory(t)
  const anvil = await startAnvil(t, directory)
  const writer = await anchored(t, { chain: development(anvil.port), stateDir: join(directory, 'chain') }, 5)
  await anvil.kill('SIGTERM')
  const saved = await startAnvil(t, directory, anvil.port)
  for (const size of [8, 12]) {
    writer.checkpoint(checkpointOf(size))
    await anchoredAt(writer, size)
  }
  await saved.kill('SIGKILL')
  const back = await startAnvil(t, directory, anvil.port)
  t.equal(back.stderr, '', 'the state was loaded')
  await until('it is anchored again', async () => (await sizes(back, only(writer))).includes(12))
  await anchoredAt(writer, 12)
  t.same(await sizes(back, only(writer)), [5, 12])
})

t.test('a state file torn by a kill is set aside, and the chain starts anew', async (t) => {
  const directory = emptyDirectory(t)
  const ofAnvil = join(directory, 'development')
  mkdirSync(ofAnvil)
  const anvil = await startAnvil(t, ofAnvil)
  const writer = await anchored(t, { chain: development(anvil.port), stateDir: directory }, 5)
  await writer.stop()
  await anvil.kill('SIGTERM')
  const file = join(ofAnvil, 'state.json')
  const whole = readFileSync(file)
  writeFileSync(file, whole.subarray(0, whole.length >> 1))

  const back = await startAnvil(t, ofAnvil, anvil.port)
  t.match(back.stderr, /damaged; set aside/)
  const after = await anchored(t, { chain: development(back.port), stateDir: directory }, 6)
  t.match(codes(after), ['chain.development-state-damaged', 'chain.lost-anchors'])
  const { remedy } = await caused(t, states(after), 'chain.development-state-damaged')
  t.match(remedy, `Remove ${file}.damaged`)
  rmSync(`${file}.damaged`)
  await after.stop()
  const seen = await start(t, { chain: development(back.port), stateDir: directory })
  await remedied(t, states(seen), 'chain.development-state-damaged')
})

t.test('a development chain that has grown long starts over before it fills the memory', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const writer = await start(t, {
    chain: development(anvil.port),
    stateDir: join(anvil.directory, 'chain'),
    maxBlocks: 20,
  })
  writer.checkpoint(checkpointOf(5))
  await anchoredAt(writer, 5)
  const before = only(writer).anchored?.transaction
  await anvil.call('anvil_mine', '0x20')
  await until('it was reset', async () => Number(await anvil.call('eth_blockNumber')) < 20)
  await until('anchored anew', () => only(writer).anchored && only(writer).anchored?.transaction !== before)
  t.match(only(writer), { anchored: { size: '5' }, health: [] })
  t.not(only(writer).contract, registryAddress, 'anvil_reset takes the factory away: created plainly')
})
