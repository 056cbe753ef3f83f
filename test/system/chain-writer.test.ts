import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { FACTORY, registryAddress } from '../../daemon/chain-writer/addresses.ts'
import { readAnchors } from '../../daemon/chain-writer/anchors.ts'
import { ChainError } from '../../daemon/chain-writer/chain-error.ts'
import { type ChainWriter, startChainWriter } from '../../daemon/chain-writer/chain-writer.ts'
import {
  type ChainSpec,
  ChainWriterData,
  ChainWriterState,
} from '../../daemon/chain-writer/chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import { openJournal } from '../../daemon/chain-writer/journal.ts'
import { httpRpc, type Rpc } from '../../daemon/chain-writer/json-rpc.ts'
import { readAnchoredEvent, readHead } from '../../daemon/chain-writer/on-chain.ts'
import { anchoredTopics } from '../../daemon/chain-writer/registry.ts'
import { nodeHash, rootOf } from '../../daemon/ledger/merkle.ts'
import { caused, remedied } from '../lab/health.ts'
import { type Anvil, emptyDirectory, freePort, startAnvil, until } from './chain-anvil.ts'

t.setTimeout(240_000)
const key = Buffer.alloc(32, 7)
const verifierKey = 'test.invalid/log+00000000+AQ=='
const rootFor = (size: number) => createHash('sha256').update(`tree of ${size}`).digest('hex')
const checkpointOf = (size: number, root = rootFor(size)) => ({
  size: BigInt(size),
  root,
  note: `note of ${size}`,
})
const anchoring = { maxDelayMs: 300, maxLeaves: 1000 }
/** Quick enough for a test; the order of things is the product's. */
const limits = { pollMs: 20, checkMs: 200, patienceMs: 200, maxBackOffMs: 200 }

interface Setup {
  readonly chain: ChainSpec
  readonly stateDir: string
  readonly rpc?: (url: string, signal: AbortSignal) => Rpc
  readonly policy?: 'head' | 'consistent'
  readonly maxBlocks?: number
  readonly origin?: string
}

async function start(
  t: Test,
  { chain, stateDir, rpc, policy = 'head', maxBlocks = 1000, origin = 'test.invalid/log' }: Setup,
): Promise<ChainWriter> {
  const data = ChainWriterData.parse({
    chains: [{ ...chain, policy }],
    key,
    stateDir,
    origin,
    verifierKey,
    anchoring,
  })
  const writer = await startChainWriter({
    data,
    changed: () => {},
    limits: { ...limits, maxBlocks },
    ...(rpc ? { rpc } : {}),
  })
  t.teardown(() => writer.stop())
  return writer
}

const development = (port: number): ChainSpec => ({
  name: 'development',
  kind: 'development',
  port,
  policy: 'head',
})
const only = (writer: ChainWriter) => writer.state().chains[0]!
const codes = (writer: ChainWriter) => writer.state().health.map(({ code }) => code)
const states = (writer: ChainWriter) => () => writer.state().health
const anchoredAt = (writer: ChainWriter, size: number) =>
  until(
    `${size} leaves are anchored`,
    () => only(writer).anchored?.size === String(size) && !only(writer).pending,
  )

/** All anchors that the chain has seen, in order. */
async function events(anvil: Anvil, { contract, logKey }: { contract?: string | undefined; logKey: string }) {
  const filter = {
    address: contract,
    topics: anchoredTopics(logKey),
    fromBlock: 'earliest',
    toBlock: 'latest',
  }
  const logs = (await anvil.call('eth_getLogs', filter)) as { topics: string[]; transactionHash: string }[]
  return logs.map(({ topics, transactionHash }) => ({
    size: Number(topics[2]),
    transaction: transactionHash,
  }))
}
const sizes = async (anvil: Anvil, of: { contract?: string | undefined; logKey: string }) =>
  (await events(anvil, of)).map(({ size }) => size)
const nonceOf = async (anvil: Anvil, address: string) =>
  Number(await anvil.call('eth_getTransactionCount', address, 'latest'))

/** The product's own way to an endpoint, but for what a test does to one method. */
const faulty =
  (method: string, fault: (call: () => Promise<unknown>) => Promise<unknown>) =>
  (url: string, signal: AbortSignal): Rpc => {
    const rpc = httpRpc(url, { signal })
    return {
      host: rpc.host,
      call: (name, params) =>
        name === method ? fault(() => rpc.call(name, params)) : rpc.call(name, params),
    }
  }
const unreachable = () => Promise.reject(new ChainError('RPC_UNREACHABLE', 'cut by the test', ''))

t.test(
  'as a thread: deploys, anchors at once, goes on anchoring, and can be verified by anybody',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const stateDir = join(anvil.directory, 'chain')
    const worker = new Worker(new URL('../../daemon/chain-writer/thread.ts', import.meta.url), {
      workerData: {
        chains: [development(anvil.port)],
        key,
        stateDir,
        origin: 'test.invalid/log',
        verifierKey,
        anchoring,
      },
    })
    t.teardown(() => worker.terminate())
    let state: ChainWriterState | undefined
    worker.on('message', (message) => {
      state = ChainWriterState.parse(message)
    })
    const send = (size: number) =>
      worker.postMessage({
        type: 'checkpoint',
        size: String(size),
        root: rootFor(size),
        note: `note of ${size}`,
      })
    const anchored = (size: number) =>
      until(
        `${size} leaves`,
        () => state?.chains[0]?.anchored?.size === String(size) && !state.chains[0].pending,
      )

    const began = performance.now()
    send(3)
    await anchored(3)
    t.comment(`deployed, authorised, anchored after ${Math.round(performance.now() - began)} ms`)
    send(10)
    send(11)
    await anchored(11)
    send(2500)
    await anchored(2500)

    const chain = state!.chains[0]!
    t.match(chain, {
      name: 'development',
      label: 'development chain: no independent evidence',
      chainId: DEVELOPMENT_CHAIN_ID,
      contract: registryAddress,
      head: { size: '2500', root: rootFor(2500) },
      anchored: { size: '2500', root: rootFor(2500) },
      health: [],
    })
    const where = { rpc: anvil.url, contract: registryAddress, logKey: chain.logKey }
    t.same(await readHead(where), { size: 2500n, root: rootFor(2500) })
    t.same(await sizes(anvil, chain), [3, 11, 2500])
    const receipt = await anvil.call('eth_getTransactionReceipt', chain.anchored!.transaction)
    t.comment(`gas of an anchor: ${Number((receipt as { gasUsed: string }).gasUsed)}`)

    const [kept] = readAnchors(stateDir).chains
    t.same(
      kept?.anchors.map(({ size, root, note }) => ({ size, root, note })),
      [3, 11, 2500].map((size) => ({
        size: String(size),
        root: rootFor(size),
        note: `note of ${size}`,
      })),
    )
    t.equal(kept?.label, 'development chain: no independent evidence')
    const { transaction } = kept!.anchors[1]!
    for (const sought of [{ size: 11n }, { size: 11n, transaction }]) {
      t.match(await readAnchoredEvent(where, sought), {
        size: 11n,
        root: rootFor(11),
        previousSize: 3n,
        transaction,
      })
    }
    await t.rejects(readAnchoredEvent(where, { size: 10n }), { code: 'NOT_ANCHORED' })
    await t.rejects(readAnchoredEvent(where, { size: 3n, transaction }), { code: 'NOT_ANCHORED' })
    await t.rejects(readAnchoredEvent({ ...where, chainId: 1 }, { size: 11n }), { code: 'WRONG_CHAIN' })
    await t.rejects(readHead({ ...where, contract: `0x${'01'.repeat(20)}` }), { code: 'NOT_ANCHORED' })

    const exit = once(worker, 'exit')
    worker.postMessage({ type: 'stop' })
    t.same(await exit, [0])
  },
)

t.test('a message that makes no sense ends the thread with a typed error, not the process', async (t) => {
  const workerData = { chains: [], key, stateDir: emptyDirectory(t), origin: 'x', verifierKey, anchoring }
  const thread = (data: unknown) =>
    new Worker(new URL('../../daemon/chain-writer/thread.ts', import.meta.url), { workerData: data })
  const worker = thread(workerData)
  await once(worker, 'message')
  worker.postMessage({ type: 'checkpoint', size: '-1', root: 'zz', note: '' })
  t.match((await once(worker, 'error'))[0], { code: 'BAD_MESSAGE' })
  t.match((await once(thread({ ...workerData, key: Buffer.alloc(31) }), 'error'))[0], { code: 'BAD_MESSAGE' })
})

t.test('a chain that is down for a while costs one anchor: the newest', async (t) => {
  const directory = emptyDirectory(t)
  const port = await freePort()
  const writer = await start(t, { chain: development(port), stateDir: join(directory, 'chain') })
  for (let size = 1; size <= 40; size++) {
    writer.checkpoint(checkpointOf(size))
    await sleep(10)
  }
  t.same(codes(writer), [], 'a chain that is just starting is no alarm')
  await until('health says so', () => codes(writer).includes('chain.rpc-unreachable'))
  t.match(writer.state().health[0], { severity: 'warning', remedy: /catches up/ })
  const anvil = await startAnvil(t, directory, port)
  await anchoredAt(writer, 40)
  t.same(await sizes(anvil, only(writer)), [40])
  t.same(codes(writer), [])

  // And between two anchors.
  await anvil.kill('SIGTERM')
  for (let size = 41; size <= 60; size++) writer.checkpoint(checkpointOf(size))
  await sleep(500)
  const again = await startAnvil(t, directory, port)
  await anchoredAt(writer, 60)
  t.same(await sizes(again, only(writer)), [40, 60])
})

t.test('stopped between persist and send: the same bytes go out after the restart', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  const first = await start(t, setup)
  first.checkpoint(checkpointOf(5))
  await anchoredAt(first, 5)
  await first.stop()

  const cut = await start(t, { ...setup, rpc: faulty('eth_sendRawTransaction', unreachable) })
  cut.checkpoint(checkpointOf(6))
  await until('it is signed', () => only(cut).pending?.size === '6')
  await cut.stop()
  const { journal } = await openJournal(setup.stateDir, 'development')
  const [signed] = journal.inFlight!.transactions

  const after = await start(t, setup)
  after.checkpoint(checkpointOf(6))
  await anchoredAt(after, 6)
  t.equal(only(after).anchored?.transaction, signed?.hash)
  t.same(await sizes(anvil, only(after)), [5, 6])
  t.equal(await nonceOf(anvil, only(after).gatewayAddress), 4, 'deploy, authorise, two anchors')
})

t.test(
  'stopped between persist and send, with a newer checkpoint after: that one takes the nonce',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
    const first = await start(t, setup)
    first.checkpoint(checkpointOf(5))
    await anchoredAt(first, 5)
    await first.stop()
    const cut = await start(t, { ...setup, rpc: faulty('eth_sendRawTransaction', unreachable) })
    cut.checkpoint(checkpointOf(6))
    await until('it is signed', () => only(cut).pending?.size === '6')
    await cut.stop()

    const after = await start(t, { ...setup, rpc: slowlyFollowing() })
    after.checkpoint(checkpointOf(9))
    await anchoredAt(after, 9)
    t.same(await sizes(anvil, only(after)), [5, 9])
    t.equal(await nonceOf(anvil, only(after).gatewayAddress), 4)
  },
)
/** Lets the checkpoint come before the first look at the journal. */
const slowlyFollowing = () =>
  faulty('eth_chainId', async (call) => {
    await sleep(50)
    return call()
  })

t.test('stopped between send and receipt: nothing is sent twice, the anchor is found', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  const first = await start(t, setup)
  first.checkpoint(checkpointOf(5))
  await anchoredAt(first, 5)
  await first.stop()
  let sent = 0
  const rpc = faulty('eth_sendRawTransaction', async (call) => {
    sent++
    await call()
    return unreachable()
  })
  const blind = (url: string, signal: AbortSignal): Rpc => {
    const inner = rpc(url, signal)
    return {
      host: inner.host,
      call: (method, params) =>
        method === 'eth_getTransactionReceipt' ? unreachable() : inner.call(method, params),
    }
  }
  const cut = await start(t, { ...setup, rpc: blind })
  cut.checkpoint(checkpointOf(6))
  await until('it is mined', async () => (await nonceOf(anvil, only(first).gatewayAddress)) === 4)
  await cut.stop()
  t.equal(sent, 1)

  const after = await start(t, {
    ...setup,
    rpc: faulty('eth_sendRawTransaction', () => Promise.reject(t.fail('sent'))),
  })
  after.checkpoint(checkpointOf(6))
  await anchoredAt(after, 6)
  t.same(await sizes(anvil, only(after)), [5, 6])
})

t.test('a lost state directory: the anchor is found on the chain, nothing is sent', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const stateDir = join(anvil.directory, 'chain')
  const first = await start(t, { chain: development(anvil.port), stateDir })
  first.checkpoint(checkpointOf(5))
  await anchoredAt(first, 5)
  await first.stop()
  rmSync(stateDir, { recursive: true })
  const after = await start(t, { chain: development(anvil.port), stateDir })
  after.checkpoint(checkpointOf(5))
  await anchoredAt(after, 5)
  t.same(only(after).anchored, only(first).anchored)
  t.equal(await nonceOf(anvil, only(after).gatewayAddress), 3)
})

t.test(
  'a development chain that restarts empty gets its contract and the newest checkpoint again',
  async (t) => {
    const directory = emptyDirectory(t)
    const anvil = await startAnvil(t, directory)
    const writer = await start(t, { chain: development(anvil.port), stateDir: join(directory, 'chain') })
    writer.checkpoint(checkpointOf(5))
    await anchoredAt(writer, 5)
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
  const writer = await start(t, { chain: development(anvil.port), stateDir: join(directory, 'chain') })
  writer.checkpoint(checkpointOf(5))
  await anchoredAt(writer, 5)
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
  const writer = await start(t, { chain: development(anvil.port), stateDir: directory })
  writer.checkpoint(checkpointOf(5))
  await anchoredAt(writer, 5)
  await writer.stop()
  await anvil.kill('SIGTERM')
  const file = join(ofAnvil, 'state.json')
  const whole = readFileSync(file)
  writeFileSync(file, whole.subarray(0, whole.length >> 1))

  const back = await startAnvil(t, ofAnvil, anvil.port)
  t.match(back.stderr, /damaged; set aside/)
  const after = await start(t, { chain: development(back.port), stateDir: directory })
  after.checkpoint(checkpointOf(6))
  await anchoredAt(after, 6)
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

t.test(
  'a chain without the deployment factory gets a plain contract, found again after a restart',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    await anvil.call('anvil_setCode', FACTORY, '0x')
    const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
    const first = await start(t, setup)
    first.checkpoint(checkpointOf(5))
    await anchoredAt(first, 5)
    await first.stop()
    const after = await start(t, setup)
    after.checkpoint(checkpointOf(7))
    await anchoredAt(after, 7)
    t.equal(only(after).contract, only(first).contract)
    t.same(await sizes(anvil, only(after)), [5, 7])
  },
)

t.test('an endpoint that answers garbage is a state of health, and nothing else', async (t) => {
  const server = createServer((request, response) => {
    request.resume()
    response.end('<html>It works!</html>')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const writer = await start(t, { chain: development(port), stateDir: emptyDirectory(t) })
  for (let size = 1; size < 1000; size++) writer.checkpoint(checkpointOf(size))
  await until('health says so', () => codes(writer).includes('chain.rpc-garbage'))
  t.match(writer.state().health[0], { severity: 'warning', title: /^development: / })
})

t.test('an endpoint of another chain gets no transaction', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const chain: ChainSpec = { name: 'base', kind: 'rpc', chainId: 8453, rpc: [anvil.url] }
  const writer = await start(t, { chain, stateDir: join(anvil.directory, 'chain') })
  writer.checkpoint(checkpointOf(5))
  await until('health says so', () => codes(writer).includes('chain.wrong-chain'))
  t.equal(await nonceOf(anvil, only(writer).gatewayAddress), 0)
  t.equal(only(writer).pending, undefined)
})

t.test(
  'a real chain needs money: health names the account, and anchoring goes on once it is there',
  async (t) => {
    const anvil = await startAnvil(t, emptyDirectory(t))
    const chain: ChainSpec = { name: 'real', kind: 'rpc', chainId: DEVELOPMENT_CHAIN_ID, rpc: [anvil.url] }
    const writer = await start(t, { chain, stateDir: join(anvil.directory, 'chain') })
    writer.checkpoint(checkpointOf(5))
    await until('health says so', () => codes(writer).includes('chain.unfunded'))
    const { gatewayAddress, label } = only(writer)
    t.equal(label, undefined)
    t.ok(writer.state().health[0]?.remedy.includes(gatewayAddress))
    await anvil.call('anvil_setBalance', gatewayAddress, '0xde0b6b3a7640000')
    await anchoredAt(writer, 5)
    t.same(codes(writer), [])
  },
)

t.test('a configured address without our contract gets nothing', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const contract = FACTORY
  const chain: ChainSpec = {
    name: 'real',
    kind: 'rpc',
    chainId: DEVELOPMENT_CHAIN_ID,
    rpc: [anvil.url],
    contract,
  }
  const stateDir = join(anvil.directory, 'chain')
  const writer = await start(t, { chain, stateDir })
  writer.checkpoint(checkpointOf(5))
  const { remedy } = await caused(t, states(writer), 'chain.wrong-contract')
  t.match(remedy, 'leave it out to have one deployed')
  const { gatewayAddress } = only(writer)
  t.equal(await nonceOf(anvil, gatewayAddress), 0)
  await writer.stop()
  await anvil.call('anvil_setBalance', gatewayAddress, '0xde0b6b3a7640000')
  const { contract: _, ...corrected } = chain
  const after = await start(t, { chain: corrected, stateDir })
  after.checkpoint(checkpointOf(5))
  await anchoredAt(after, 5)
  await remedied(t, states(after), 'chain.wrong-contract')
})

t.test('another root for one size on the chain is an alarm that no restart clears', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const honest = { chain: development(anvil.port), stateDir: join(anvil.directory, 'honest') }
  const first = await start(t, honest)
  first.checkpoint(checkpointOf(5))
  await anchoredAt(first, 5)
  await first.stop()

  const other = { chain: development(anvil.port), stateDir: join(anvil.directory, 'other') }
  const forked = await start(t, other)
  forked.checkpoint(checkpointOf(5, rootFor(500)))
  await until('the alarm is raised', () => codes(forked).includes('chain.equivocation'))
  t.match(forked.state().health[0], { severity: 'error' })
  await forked.stop()
  const again = await start(t, other)
  again.checkpoint(checkpointOf(6))
  await sleep(700)
  t.ok(codes(again).includes('chain.equivocation'))
  t.same(await sizes(anvil, only(first)), [5], 'nothing is anchored over contradicting evidence')
})

t.test('a chain ahead of the ledger is an error, and nothing is sent', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const setup = { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') }
  const first = await start(t, setup)
  first.checkpoint(checkpointOf(50))
  await anchoredAt(first, 50)
  await first.stop()
  const rolledBack = await start(t, setup)
  rolledBack.checkpoint(checkpointOf(20))
  await until('health says so', () => codes(rolledBack).includes('chain.ledger-behind'))
  t.match(rolledBack.state().health[0], { severity: 'error', remedy: /backup/ })
  t.same(await sizes(anvil, only(rolledBack)), [50])
})

t.test('a ledger that gives two roots for one size is never anchored with the second', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const writer = await start(t, { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') })
  writer.checkpoint(checkpointOf(5))
  writer.checkpoint(checkpointOf(5, rootFor(6)))
  await anchoredAt(writer, 5)
  const { remedy } = await caused(t, states(writer), 'chain.checkpoint-conflict')
  t.match(remedy, /begin a new log \(another `ledger\.origin`\)/)
  t.equal(only(writer).anchored?.root, rootFor(5))
  await writer.stop()
  const anew = await start(t, {
    ...{ chain: development(anvil.port), stateDir: join(anvil.directory, 'new') },
    origin: 'test.invalid/new',
  })
  anew.checkpoint(checkpointOf(1))
  await anchoredAt(anew, 1)
  await remedied(t, states(anew), 'chain.checkpoint-conflict')
})

t.test('CONSISTENT: waits for the proof, uses it, and raises the alarm at one that is wrong', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const leaves = Array.from({ length: 5 }, (_, i) => createHash('sha256').update(`${i}`).digest())
  const root = (n: number) => rootOf(leaves.slice(0, n)).toString('hex')
  const [a, b, c, d, e] = leaves as [Buffer, Buffer, Buffer, Buffer, Buffer]
  const setup = {
    chain: development(anvil.port),
    stateDir: join(anvil.directory, 'chain'),
    policy: 'consistent',
  } as const
  const writer = await start(t, setup)
  writer.checkpoint(checkpointOf(3, root(3)))
  await anchoredAt(writer, 3)
  writer.checkpoint(checkpointOf(4, root(4)))
  await caused(t, states(writer), 'chain.no-consistency-proof')
  // RFC 9162 section 2.1.5: from 3 to 5 leaves.
  const proof = [c, d, nodeHash(a, b), e].map((hash) => hash.toString('hex'))
  writer.checkpoint(checkpointOf(5, root(5)), { from: 3n, proof })
  await anchoredAt(writer, 5)
  await remedied(t, states(writer), 'chain.no-consistency-proof')
  t.same(codes(writer), [])
  writer.checkpoint(checkpointOf(6), { from: 5n, proof })
  await until('the alarm is raised', () => codes(writer).includes('chain.equivocation'))
  t.same(await sizes(anvil, only(writer)), [3, 5])
})

t.test('a reorganisation that drops the anchor ends with the newest checkpoint anchored', async (t) => {
  const anvil = await startAnvil(t, emptyDirectory(t))
  const writer = await start(t, { chain: development(anvil.port), stateDir: join(anvil.directory, 'chain') })
  for (const size of [5, 9]) {
    writer.checkpoint(checkpointOf(size))
    await anchoredAt(writer, size)
  }
  const before = only(writer).anchored!
  await anvil.call('anvil_reorg', 1, [])
  await until('it stands in another block', async () => {
    const { anchored, pending } = only(writer)
    return anchored?.size === '9' && !pending && anchored.blockHash !== before.blockHash
  })
  const { contract, logKey } = only(writer)
  t.same(await readHead({ rpc: anvil.url, contract: contract!, logKey }), { size: 9n, root: rootFor(9) })
  await readAnchoredEvent({ rpc: anvil.url, contract: contract!, logKey }, { size: 9n })
})
