import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import {
  AbiCoder,
  type BaseContractMethod,
  Contract,
  ContractFactory,
  type InterfaceAbi,
  JsonRpcProvider,
  keccak256,
  Wallet,
} from 'ethers'
import t from 'tap'
import { originHash } from '../../daemon/chain-writer/addresses.ts'
import { revertName } from '../../daemon/chain-writer/registry.ts'
import { emptyDirectory, startAnvil } from './chain-anvil.ts'

const artefact: { abi: InterfaceAbi; bytecode: string } = JSON.parse(
  readFileSync(new URL('../../daemon/chain-writer/contracts/AnchorRegistry.json', import.meta.url), 'utf8'),
)

// A Merkle tree straight from the recursive definitions of RFC 6962 section 2.1, sharing nothing with the product.
const sha256 = (...parts: (string | Buffer)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(typeof part === 'string' ? Buffer.from(part.slice(2), 'hex') : part)
  return `0x${hash.digest('hex')}`
}
const leaf = (i: number) => sha256('0x00', Buffer.from(`leaf ${i}`))
const split = (n: number) => 2 ** Math.floor(Math.log2(n - 1))
const roots = new Map<string, string>()
function root(from: number, count: number): string {
  if (count === 1) return leaf(from)
  const key = `${from}/${count}`
  const k = split(count)
  const hash = roots.get(key) ?? sha256('0x01', root(from, k), root(from + k, count - k))
  roots.set(key, hash)
  return hash
}
function inclusion(m: number, from: number, n: number): string[] {
  if (n === 1) return []
  const k = split(n)
  return m < k
    ? [...inclusion(m, from, k), root(from + k, n - k)]
    : [...inclusion(m - k, from + k, n - k), root(from, k)]
}
function consistency(m: number, n: number, from = 0, whole = true): string[] {
  if (m === n) return whole ? [] : [root(from, n)]
  const k = split(n)
  return m <= k
    ? [...consistency(m, k, from, whole), root(from + k, n - k)]
    : [...consistency(m - k, n - k, from + k, false), root(from, k)]
}
const flipped = (hash: string) => hash.slice(0, -1) + (hash.endsWith('0') ? '1' : '0')
/** Every proof that differs in one place: a hash changed, one gone, one too many, two swapped. */
function mutations(proof: string[]): string[][] {
  const changed = proof.map((hash, i) => proof.with(i, flipped(hash)))
  const shorter = proof.map((_, i) => proof.toSpliced(i, 1))
  const longer = [
    [...proof, leaf(7)],
    [leaf(7), ...proof],
  ]
  const swapped = proof.slice(1).map((hash, i) => proof.with(i, hash).with(i + 1, proof[i]!))
  return [...changed, ...shorter, ...longer, ...swapped]
}

const anvil = await startAnvil(t, emptyDirectory(t))
const provider = new JsonRpcProvider(anvil.url, undefined, {
  staticNetwork: true,
  cacheTimeout: -1,
  pollingInterval: 10,
})
t.teardown(() => provider.destroy())
const account = async (byte: string) => {
  const wallet = new Wallet(`0x${byte.repeat(32)}`, provider)
  await anvil.call('anvil_setBalance', wallet.address, '0x56bc75e2d63100000')
  return wallet
}
const owner = await account('11')
const gateway = await account('22')
const thief = await account('33')
const deployed = await new ContractFactory(artefact.abi, artefact.bytecode, owner).deploy()
await deployed.waitForDeployment()
const address = await deployed.getAddress()
const as = (wallet: Wallet) => new Contract(address, artefact.abi, wallet)
const registry = as(owner)
const logKey = (origin: string) =>
  keccak256(AbiCoder.defaultAbiCoder().encode(['address', 'bytes32'], [owner.address, originHash(origin)]))
/** The cases in which the contract's verdict isn't the expected one. */
async function wrong(verify: BaseContractMethod, cases: [unknown[], boolean][]) {
  const verdicts = await Promise.all(cases.map(([args]) => verify(...args)))
  return cases.filter(([, expected], i) => verdicts[i] !== expected)
}
const FOREVER = 2n ** 40n - 1n

/** Sends and says what it cost; rejects with the contract's error. */
async function run(wallet: Wallet, method: string, ...args: unknown[]) {
  const receipt = await (await as(wallet).getFunction(method)(...args)).wait()
  return { gas: Number(receipt.gasUsed), logs: receipt.logs.length }
}
/** Name of the contract's error with which a transaction fails; undefined where it doesn't. */
const revertOf = (sent: Promise<unknown>): Promise<string | undefined> =>
  sent.then(
    () => undefined,
    (error: { data?: string }) => revertName(error.data) ?? String(error),
  )

async function register(origin: string, policy: number): Promise<string> {
  await run(owner, 'register', originHash(origin), policy)
  await run(owner, 'authorize', logKey(origin), gateway.address, FOREVER)
  return logKey(origin)
}

t.test('accepts every inclusion proof of small trees and no mutated one', async (t) => {
  const verify = registry.getFunction('verifyInclusion')
  const holds: [unknown[], boolean][] = []
  for (const n of [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 21]) {
    for (let i = 0; i < n; i++) {
      const proof = inclusion(i, 0, n)
      holds.push([[n, root(0, n), i, leaf(i), proof], true])
      for (const bad of mutations(proof)) holds.push([[n, root(0, n), i, leaf(i), bad], false])
      holds.push([[n, root(0, n), i, leaf(i + 1), proof], false])
      holds.push([[n, flipped(root(0, n)), i, leaf(i), proof], false])
      holds.push([[n, root(0, n), n, leaf(i), proof], false])
      holds.push([[4 * n, root(0, n), i, leaf(i), proof], false])
      if (n > 1) holds.push([[n, root(0, n), (i + 1) % n, leaf(i), proof], false])
    }
  }
  holds.push([[0, root(0, 1), 0, leaf(0), []], false])
  t.same(await wrong(verify, holds), [], `${holds.length} proofs`)
})

t.test('accepts every consistency proof of small trees and no mutated one', async (t) => {
  const verify = registry.getFunction('verifyConsistency')
  const holds: [unknown[], boolean][] = []
  for (const n of [1, 2, 3, 4, 6, 7, 8, 11, 16, 19]) {
    for (let m = 1; m <= n; m++) {
      const proof = consistency(m, n)
      holds.push([[m, root(0, m), n, root(0, n), proof], true])
      for (const bad of mutations(proof)) holds.push([[m, root(0, m), n, root(0, n), bad], false])
      holds.push([[m, flipped(root(0, m)), n, root(0, n), proof], false])
      holds.push([[m, root(0, m), n, flipped(root(0, n)), proof], false])
      if (m < n) holds.push([[n, root(0, n), m, root(0, m), proof], false])
      holds.push([[m, root(0, m), 4 * n, root(0, n), proof], false])
    }
  }
  holds.push([[0, root(0, 1), 5, root(0, 5), []], true], [[0, root(0, 1), 5, root(0, 5), [leaf(1)]], false])
  t.same(await wrong(verify, holds), [], `${holds.length} proofs`)
})

t.test('a head only grows, and one size never gets two roots', async (t) => {
  const key = await register('head', 0)
  t.same(await registry.getFunction('head')(key), [0n, `0x${'00'.repeat(32)}`])
  t.equal(await revertOf(run(gateway, 'anchor', key, 0, root(0, 1), [])), 'Stale')
  t.match(await run(gateway, 'anchor', key, 5, root(0, 5), []), { logs: 1 })
  t.match(await run(gateway, 'anchor', key, 5, root(0, 5), []), { logs: 0 }, 'again: nothing happens')
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 6), [])), 'Equivocation')
  t.equal(await revertOf(run(gateway, 'anchor', key, 4, root(0, 4), [])), 'Stale')
  t.equal(await revertOf(run(gateway, 'anchor', key, 2n ** 48n, root(0, 4), [])), 'TooLarge')
  await run(gateway, 'anchor', key, 9, root(0, 9), [])
  t.same(await registry.getFunction('head')(key), [9n, root(0, 9)])
  t.equal(await registry.getFunction('rootAt')(key, 9), root(0, 9))
  t.equal(await registry.getFunction('rootAt')(key, 5), `0x${'00'.repeat(32)}`)
  const [event] = await registry.queryFilter(registry.getEvent('Anchored')(key, 9))
  const hash = keccak256(
    AbiCoder.defaultAbiCoder().encode(['bytes32', 'uint64', 'bytes32'], [key, 9, root(0, 9)]),
  )
  t.same(event && registry.interface.parseLog(event)?.args, [key, 9n, root(0, 9), 5n, hash])
})

t.test('only the authorised gateway anchors, until its time is over or it is revoked', async (t) => {
  const key = await register('rights', 0)
  t.equal(await revertOf(run(thief, 'anchor', key, 1, root(0, 1), [])), 'NotAuthorized')
  t.equal(await revertOf(run(owner, 'anchor', key, 1, root(0, 1), [])), 'NotAuthorized')
  t.equal(await revertOf(run(thief, 'authorize', key, thief.address, FOREVER)), 'NotOwner')
  t.equal(await revertOf(run(gateway, 'revoke', key, gateway.address)), 'NotOwner')
  t.equal(await revertOf(run(owner, 'authorize', key, `0x${'00'.repeat(20)}`, FOREVER)), 'BadGateway')
  t.equal(await revertOf(run(owner, 'authorize', key, gateway.address, 2n ** 40n)), 'TooLarge')
  await run(gateway, 'anchor', key, 3, root(0, 3), [])

  await run(owner, 'revoke', key, thief.address)
  await run(gateway, 'anchor', key, 4, root(0, 4), [])
  await run(owner, 'revoke', key, gateway.address)
  await run(owner, 'revoke', key, gateway.address)
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 5), [])), 'NotAuthorized')
  const { timestamp } = (await provider.getBlock('latest'))!
  await run(owner, 'authorize', key, gateway.address, timestamp - 1)
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 5), [])), 'NotAuthorized')
  await run(owner, 'authorize', key, gateway.address, FOREVER)
  await run(gateway, 'anchor', key, 5, root(0, 5), [])
  t.same(await registry.getFunction('head')(key), [5n, root(0, 5)], 'rights come and go, the head stays')
  t.same(await registry.getFunction('registration')(key), [owner.address, 0n, gateway.address, FOREVER])
})

t.test('a policy is fixed when the log is registered', async (t) => {
  await register('policy', 1)
  t.match(await run(owner, 'register', originHash('policy'), 1), { logs: 0 }, 'again: nothing happens')
  t.equal(await revertOf(run(owner, 'register', originHash('policy'), 0)), 'AlreadyRegistered')
  const head = await register('other', 0)
  await run(gateway, 'anchor', head, 5, root(0, 5), [])
  await run(owner, 'register', originHash('other'), 0)
  t.same(await registry.getFunction('head')(head), [5n, root(0, 5)], 'registering again leaves the head')
})

t.test('CONSISTENT: the holder of a stolen gateway key cannot rewrite the log', async (t) => {
  const key = await register('consistent', 1)
  await run(gateway, 'anchor', key, 6, root(0, 6), [])
  // Another history of eleven leaves, and a proof that is right for it.
  const forged = root(100, 11)
  t.equal(await revertOf(run(gateway, 'anchor', key, 11, forged, [])), 'Inconsistent')
  t.equal(await revertOf(run(gateway, 'anchor', key, 11, forged, consistency(6, 11, 100))), 'Inconsistent')
  t.equal(await revertOf(run(gateway, 'anchor', key, 11, forged, consistency(6, 11))), 'Inconsistent')
  for (const bad of mutations(consistency(6, 11))) {
    t.equal(await revertOf(run(gateway, 'anchor', key, 11, root(0, 11), bad)), 'Inconsistent')
  }
  await run(gateway, 'anchor', key, 11, root(0, 11), consistency(6, 11))
  t.same(await registry.getFunction('head')(key), [11n, root(0, 11)])
})

t.test('HISTORY: the root of each anchored size stays', async (t) => {
  const key = await register('history', 2)
  for (const n of [3, 5, 8]) await run(gateway, 'anchor', key, n, root(0, n), [])
  for (const n of [3, 5, 8]) t.equal(await registry.getFunction('rootAt')(key, n), root(0, n))
  t.equal(await registry.getFunction('rootAt')(key, 4), `0x${'00'.repeat(32)}`)
  t.same(await registry.getFunction('head')(key), [8n, root(0, 8)])
  await run(gateway, 'anchor', key, 8, root(0, 8), [])
  t.equal(await revertOf(run(gateway, 'anchor', key, 8, root(0, 7), [])), 'Equivocation')
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 6), [])), 'Stale')
})

t.test('gas stays near what was measured before', async (t) => {
  const limits = { head: 36_000, consistent: 56_000, history: 54_390 }
  for (const [policy, [name, limit]] of Object.entries(limits).entries()) {
    const key = await register(`gas of ${name}`, policy)
    const first = await run(gateway, 'anchor', key, 100, root(0, 100), [])
    const proof = policy === 1 ? consistency(100, 1000) : []
    const next = await run(gateway, 'anchor', key, 1000, root(0, 1000), proof)
    t.comment(
      `${name}: first ${first.gas}, next ${next.gas}${proof.length ? ` (${proof.length} hashes)` : ''}`,
    )
    t.ok(next.gas <= limit, `${name} ≤ ${limit}`)
    t.ok(first.gas <= 73_000)
  }
})
