/** A log that somebody else owns on a chain: from the command that asks the owner to the anchor, and back. */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Contract, Interface, type InterfaceAbi, Wallet } from 'ethers'
import t, { type Test } from 'tap'
import type { HealthCode } from '../../daemon/base/health-codes.ts'
import { formatSummed } from '../../daemon/base/summed-json.ts'
import { FACTORY, logKeyOf, originHash, registryAddress } from '../../daemon/chain-writer/addresses.ts'
import { readAnchors, writeAnchors } from '../../daemon/chain-writer/anchors.ts'
import { type ChainWriter, startChainWriter } from '../../daemon/chain-writer/chain-writer.ts'
import { ChainWriterData } from '../../daemon/chain-writer/chain-writer-state.ts'
import { DEVELOPMENT_CHAIN_ID } from '../../daemon/chain-writer/development-chain.ts'
import { readAnchoredEvent, readHead } from '../../daemon/chain-writer/on-chain.ts'
import { gatewaySigner } from '../../daemon/chain-writer/signer.ts'
import { layout } from '../../daemon/supervisor/layout.ts'
import { caused, remedied } from '../lab/health.ts'
import { emptyDirectory, until } from './chain-anvil.ts'
import { artefact, contractRig } from './contract-rig.ts'
import { hostileContract } from './hostile-contracts.ts'

t.setTimeout(120_000)
const { anvil, provider, owner, thief, create } = await contractRig(t)
const call = (method: string, ...args: unknown[]) =>
  new Contract(registryAddress, artefact.abi, owner).getFunction(method)(...args)
const main = join(import.meta.dirname, '../../cli/main.ts')
const ORIGIN = 'test.invalid/owned'
const VKEY = `${ORIGIN}+00000000+AQ==`
const key = Buffer.alloc(32, 9)
const gateway = gatewaySigner(key).address
await anvil.call('anvil_setBalance', gateway, '0x56bc75e2d63100000')

interface Host {
  readonly paths: ReturnType<typeof layout>
  /** The chain-writer as the configuration says, on this host's state. */
  start(): Promise<ChainWriter>
  /** The command, as a user types it. */
  run(args: readonly string[], input?: string): Promise<{ code: number; stdout: string; stderr: string }>
}

function host(t: Test, chain: { owner?: string; policy?: string; kind?: 'rpc' | 'development' }): Host {
  const directory = emptyDirectory(t)
  const directories = { stateDir: join(directory, 'state'), runtimeDir: join(directory, 'run') }
  const paths = layout(directories)
  mkdirSync(paths.keysDirectory, { recursive: true })
  writeFileSync(paths.verifierKey, `${VKEY}\n`)
  const spec = {
    kind: 'rpc',
    name: 'lab',
    chainId: DEVELOPMENT_CHAIN_ID,
    rpc: [anvil.url],
    policy: 'head',
    ...chain,
  }
  const file = join(directory, 'gateway.yaml')
  writeFileSync(file, JSON.stringify({ ...directories, logDir: join(directory, 'log'), chains: [spec] }))
  return {
    paths,
    async start() {
      const data = ChainWriterData.parse({
        chains: [spec],
        key,
        stateDir: paths.chainState,
        origin: ORIGIN,
        verifierKey: VKEY,
        authorizations: paths.authorizations,
        anchoring: { maxDelayMs: 200, maxLeaves: 1000 },
      })
      const limits = { pollMs: 20, checkMs: 100, patienceMs: 200, maxBackOffMs: 100 }
      const writer = await startChainWriter({ data, changed: () => {}, limits })
      t.teardown(() => writer.stop())
      return writer
    },
    run(args, input = '') {
      const argv = ['--disable-warning=ExperimentalWarning', main, '--config', file, 'chain', ...args]
      return new Promise((resolve) => {
        const env = { PATH: '/usr/bin:/bin', LANG: 'C.UTF-8' }
        const child = execFile(process.execPath, argv, { env, timeout: 30_000 }, (_, stdout, stderr) =>
          resolve({ code: child.exitCode ?? -1, stdout, stderr }),
        )
        child.stdin?.end(input)
      })
    },
  }
}

const only = (writer: ChainWriter) => writer.state().chains[0]!
const states = (writer: ChainWriter) => () => writer.state().health
const codes = (writer: ChainWriter) => writer.state().health.map(({ code }) => code)
const said = (writer: ChainWriter, code: HealthCode) =>
  until(`health says ${code}`, () => codes(writer).includes(code))
const rootFor = (size: number) => size.toString(16).padStart(64, '0')
async function anchors(writer: ChainWriter, size: number): Promise<void> {
  writer.checkpoint({ size: BigInt(size), root: rootFor(size), note: `note of ${size}` })
  await until(`${size} leaves are anchored`, () => only(writer).anchored?.size === String(size))
}

/** What the owner's wallet makes of the command's output. */
async function signed(by: Wallet, document: string): Promise<string> {
  const { types, domain, message } = JSON.parse(document)
  delete types.EIP712Domain
  return by.signTypedData(domain, types, message)
}
async function authorize(on: Host, by: Wallet, days = 365): Promise<void> {
  const { stdout } = await on.run(['authorization', 'request', '--days', String(days)])
  const { code, stderr } = await on.run(['authorization', 'add', '-'], await signed(by, stdout))
  if (code !== 0) throw new Error(stderr)
}
let wallets = 0
/** Never had any money. */
const someOwner = () => new Wallet(`0x${(0xa000 + wallets++).toString(16).padStart(64, '0')}`, provider)

t.test('an owner who only ever signs: asked by one command, answered by another, anchored', async (t) => {
  const owner = someOwner()
  const here = host(t, { owner: owner.address })
  const writer = await here.start()
  writer.checkpoint({ size: 3n, root: rootFor(3), note: 'n' })
  await said(writer, 'chain.not-authorized')
  const [health] = writer.state().health
  t.match(health?.title, new RegExp(`the owner ${owner.address.toLowerCase()} has to authorise ${gateway}`))
  t.match(health?.remedy, /agent-anchor chain authorization request --chain lab/)

  const asked = await here.run(['authorization', 'request'])
  t.equal(asked.code, 0, asked.stderr)
  const { primaryType, domain, message } = JSON.parse(asked.stdout)
  t.equal(primaryType, 'GatewayAuthorization')
  t.same(domain, {
    name: 'AnchorRegistry',
    version: '1',
    chainId: DEVELOPMENT_CHAIN_ID,
    verifyingContract: registryAddress,
  })
  t.match(message, {
    owner: owner.address.toLowerCase(),
    gateway,
    logId: originHash(ORIGIN),
    policy: '0',
    nonce: '0',
  })

  const good = await signed(owner, asked.stdout)
  const bad = {
    "another's": await signed(thief, asked.stdout),
    'of another document': await owner.signMessage(asked.stdout),
    'cut off': good.slice(0, -2),
    'no hex': 'yes',
    nothing: '',
  }
  for (const [what, signature] of Object.entries(bad)) {
    const { code, stderr } = await here.run(['authorization', 'add', '-'], signature)
    t.match({ code, stderr }, { code: 1, stderr: /signature/ }, what)
  }
  t.ok(codes(writer).includes('chain.not-authorized'))
  // As some wallets give it: v from 0, and in JSON.
  const old = good.replace(/1b$/, '00').replace(/1c$/, '01')
  const file = join(here.paths.authorizations, '..', 'signature.json')
  writeFileSync(file, JSON.stringify({ signature: old }))
  const added = await here.run(['authorization', 'add', file, '--chain', 'lab'])
  t.match(added, { code: 0, stdout: /the gateway submits it/ }, added.stderr)

  await until('it is anchored', () => only(writer).anchored?.size === '3')
  await until('nothing is wrong', () => codes(writer).length === 0)
  t.match(only(writer), { owner: owner.address.toLowerCase(), authorization: { policy: 'head' } })
  t.equal(only(writer).logKey, logKeyOf(owner.address, ORIGIN))
  t.equal(await provider.getTransactionCount(owner.address), 0)
  t.equal(readAnchors(here.paths.chainState).chains[0]?.logKey, only(writer).logKey)
  await writer.stop()

  // What was used can't be used again, by a restart or by a thief of the file.
  const again = await here.start()
  await anchors(again, 5)
  t.same(codes(again), [])
})

t.test('an authorisation that ends soon is said to, and a new one takes its place unnoticed', async (t) => {
  const owner = someOwner()
  const here = host(t, { owner: owner.address })
  const writer = await here.start()
  const missing = await caused(t, states(writer), 'chain.not-authorized')
  t.match(missing.remedy, 'agent-anchor chain authorization request --chain lab')
  await authorize(here, owner, 29)
  await anchors(writer, 3)
  await remedied(t, states(writer), 'chain.not-authorized')
  t.same(codes(writer), ['chain.authorization-expiring'])
  await caused(t, states(writer), 'chain.authorization-expiring')
  await authorize(here, owner, 400)
  await remedied(t, states(writer), 'chain.authorization-expiring')
  t.same(codes(writer), [])
  await anchors(writer, 4)
})

t.test(
  'the owner takes the right away, by a transaction or by a signature, and gives it again',
  async (t) => {
    const owner = someOwner()
    const here = host(t, { owner: owner.address })
    const writer = await here.start()
    await said(writer, 'chain.not-authorized')
    await authorize(here, owner)
    await anchors(writer, 3)

    const printed = await here.run(['revoke'])
    const { transaction, typedData } = JSON.parse(printed.stdout)
    const signature = await signed(owner, JSON.stringify(typedData))
    const forged = await here.run(
      ['revoke', '--signature', '-'],
      await signed(thief, JSON.stringify(typedData)),
    )
    t.match(forged, { code: 1, stderr: /not the signature of/ })
    const anybodys = await here.run(['revoke', '--signature', '-'], signature)
    const { to, data } = JSON.parse(anybodys.stdout).transaction
    await (await thief.sendTransaction({ to, data })).wait()
    await said(writer, 'chain.not-authorized')
    t.match(writer.state().health[0]?.title, /used or revoked/)

    await authorize(here, owner)
    await anchors(writer, 4)
    await anvil.call('anvil_setBalance', owner.address, '0x56bc75e2d63100000')
    await (await owner.sendTransaction({ to: transaction.to, data: transaction.data })).wait()
    await said(writer, 'chain.not-authorized')

    await authorize(here, owner)
    await anchors(writer, 5)
    const emergency = await here.run(['revoke', '--emergency'])
    const kept = await signed(owner, JSON.stringify(JSON.parse(emergency.stdout).typedData))
    await authorize(here, owner)
    await anchors(writer, 6)
    const later = await here.run(['revoke', '--emergency', '--signature', '-'], kept)
    await (await thief.sendTransaction(JSON.parse(later.stdout).transaction)).wait()
    await said(writer, 'chain.not-authorized')
  },
)

t.test('a contract may be the owner', async (t) => {
  const { abi, bytecode } = hostileContract('Wallet')
  const wallet = await create(abi, bytecode, owner.address)
  const says = async (what: number) => {
    const data = new Interface(abi).encodeFunctionData('set', [what])
    await (await owner.sendTransaction({ to: wallet, data })).wait()
  }
  const here = host(t, { owner: wallet })
  const writer = await here.start()
  await said(writer, 'chain.not-authorized')
  const { stdout } = await here.run(['authorization', 'request'])
  const signature = await signed(owner, stdout)
  for (const refusing of [2, 6]) {
    await says(refusing)
    t.match(await here.run(['authorization', 'add', '-'], signature), {
      code: 1,
      stderr: /not the signature/,
    })
  }
  await says(1)
  t.equal((await here.run(['authorization', 'add', '-'], signature)).code, 0)
  await anchors(writer, 3)

  // It changes its mind before the gateway has submitted: the one that holds is as good as before.
  await writer.stop()
  await here.run(['authorization', 'request'])
  t.equal((await here.run(['authorization', 'add', '-'], signature)).code, 0)
  await says(2)
  const again = await here.start()
  await anchors(again, 4)
  t.same(codes(again), [])
  t.equal((await call('registration', logKeyOf(wallet, ORIGIN)))[4], 1n, 'authorised once')
})

t.test('what the gateway could not submit is never sent, and said', async (t) => {
  const owner = someOwner()
  const here = host(t, { owner: owner.address })
  const writer = await here.start()
  await said(writer, 'chain.not-authorized')
  await authorize(here, owner)
  await anchors(writer, 3)
  await writer.stop()
  const file = join(here.paths.authorizations, 'lab.json')
  const { sum: _, ...stored } = JSON.parse(readFileSync(file, 'utf8'))
  const nonce = await provider.getTransactionCount(gateway)

  const elsewhere = host(t, { owner: someOwner().address })
  mkdirSync(elsewhere.paths.authorizations, { recursive: true })
  const other = await elsewhere.start()
  const put = (change: object) =>
    writeFileSync(join(elsewhere.paths.authorizations, 'lab.json'), formatSummed({ ...stored, ...change }))
  const told = (words: RegExp) => until(`health says ${words}`, () => words.test(writer2Title()))
  const writer2Title = () =>
    other
      .state()
      .health.map(({ title }) => title)
      .join()
  await told(/none is stored/)
  put({})
  await told(/is of the owner/)
  put({ contract: FACTORY })
  await told(/for the contract/)
  writeFileSync(join(elsewhere.paths.authorizations, 'lab.json'), '{"v": 1')
  await told(/no stored authorisation/)
  const damaged = await caused(t, states(other), 'chain.state-damaged')
  t.match(damaged.remedy, /^Remove it; /)
  rmSync(join(elsewhere.paths.authorizations, 'lab.json'))
  await remedied(t, states(other), 'chain.state-damaged')
  t.equal(await provider.getTransactionCount(gateway), nonce)
})

t.test("a policy that isn't the log's is said, and the log's holds", async (t) => {
  const owner = someOwner()
  const here = host(t, { owner: owner.address })
  const writer = await here.start()
  await said(writer, 'chain.not-authorized')
  await authorize(here, owner)
  await anchors(writer, 3)
  await writer.stop()
  const changed = host(t, { owner: owner.address, policy: 'consistent' })
  const other = await changed.start()
  await anchors(other, 4)
  t.same(codes(other), ['chain.policy-fixed'])
  t.equal(only(other).authorization?.policy, 'head')
  const { remedy } = await caused(t, states(other), 'chain.policy-fixed')
  t.match(remedy, 'set `policy: head` for this chain')
  await other.stop()
  const put = await here.start()
  await anchors(put, 5)
  await remedied(t, states(put), 'chain.policy-fixed')
})

t.test('without an owner there is nobody to be asked', async (t) => {
  const here = host(t, {})
  for (const args of [['authorization', 'request'], ['authorization', 'add', '-'], ['revoke']]) {
    t.match(await here.run(args, '0x00'), { code: 1, stderr: /owns its log there itself/ }, args.join(' '))
  }
  t.match(await here.run(['authorization', 'request', '--chain', 'other']), {
    code: 1,
    stderr: /no chain other/,
  })
  t.match(await here.run(['authorization', 'request', '--days', '0']), { code: 2 })
  t.match(await here.run(['status']), { code: 3 })
  const waiting = host(t, { owner: thief.address })
  t.match(await waiting.run(['authorization', 'request']), { code: 1, stderr: /account isn't known yet/ })
})

t.test('what was anchored in the former version of the contract stays evidence', async (t) => {
  const former: { abi: InterfaceAbi; bytecode: string } = JSON.parse(
    readFileSync(new URL('contracts/former-registry.json', import.meta.url), 'utf8'),
  )
  const address = '0xaf01cc4d39a0f22342c58f152bff2634ae8b3725'
  const deployment = `0x${'00'.repeat(32)}${former.bytecode.slice(2)}`
  await (await thief.sendTransaction({ to: FACTORY, data: deployment })).wait()
  const old = new Contract(address, former.abi, new Wallet(`0x${key.toString('hex')}`, provider))
  const logKey = logKeyOf(gateway, ORIGIN)
  const sent = async (method: string, ...args: unknown[]) =>
    (await (await old.getFunction(method)(...args)).wait()) as {
      hash: string
      blockNumber: number
      blockHash: string
    }
  await sent('register', originHash(ORIGIN), 0)
  await sent('authorize', logKey, gateway, 2n ** 40n - 1n)
  const { hash, blockNumber, blockHash } = await sent('anchor', logKey, 3, `0x${rootFor(3)}`, [])
  const anchor = {
    size: '3',
    root: rootFor(3),
    note: 'note of 3',
    transaction: hash,
    block: blockNumber,
    blockHash,
    time: new Date().toISOString(),
    finality: 'included' as const,
    rpc: '127.0.0.1',
  }
  const before = {
    name: 'lab',
    chainId: DEVELOPMENT_CHAIN_ID,
    contract: address,
    logKey,
    gateway,
    anchors: [anchor],
  }

  const here = host(t, {})
  mkdirSync(here.paths.chainState, { recursive: true })
  await writeAnchors(here.paths.chainState, { v: 1, chains: [{ ...before, kind: 'rpc' }] })
  const writer = await here.start()
  await anchors(writer, 5)
  t.same(codes(writer), [], 'nothing was lost')
  t.equal(only(writer).contract, registryAddress)
  const kept = () => readAnchors(here.paths.chainState).chains
  await until('the anchor is kept', () => (kept()[1]?.anchors.length ?? 0) > 0)
  t.match(
    kept().map(({ contract, former, anchors }) => [contract, former, anchors.map(({ size }) => size)]),
    [
      [address, true, ['3']],
      [registryAddress, undefined, ['5']],
    ],
  )
  await writer.stop()
  const restarted = await here.start()
  await anchors(restarted, 6)
  t.equal(readAnchors(here.paths.chainState).chains.length, 2, 'after a restart too')

  const where = { rpc: anvil.url, chainId: DEVELOPMENT_CHAIN_ID, contract: address, logKey }
  t.match(await readAnchoredEvent(where, { size: 3n, transaction: hash }), { size: 3n, root: rootFor(3) })
  t.same(await readHead(where), { size: 3n, root: rootFor(3) })
  t.not(await provider.getCode(address), artefact.deployedBytecode)
})
