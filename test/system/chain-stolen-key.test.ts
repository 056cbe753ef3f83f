import { Contract, ContractFactory, Interface, type Wallet } from 'ethers'
import t from 'tap'
import { deployment, FACTORY, registryAddress } from '../../daemon/chain-writer/addresses.ts'
import { readAnchoredEvent, readHead } from '../../daemon/chain-writer/on-chain.ts'
import {
  artefact,
  CONSISTENT,
  contractRig,
  FOREVER,
  HEAD,
  HISTORY,
  logKeyOf,
  NOBODY,
  originHash,
  revertOf,
  vkeyHash,
} from './contract-rig.ts'
import { hostileContract } from './hostile-contracts.ts'
import { consistency, root } from './naive-tree.ts'

const { anvil, provider, owner, gateway, thief, run, as, address, create, call } = await contractRig(t)
const abi = new Interface(artefact.abi as [])
const impostors = hostileContract('Impostor')

/** The log as it was, and as the thief would have it: another history from the sixth leaf on, and from the first. */
const honest = (size: number) => root(0, size)
const forged = (size: number) => root(1000, size)

/** A transaction that is mined whatever comes of it: whether it was reverted. */
async function mined(by: Wallet, to: string, data: string): Promise<'reverted' | 'done'> {
  const hash = await by.sendTransaction({ to, data, gasLimit: 2_000_000n })
  const receipt = await provider.waitForTransaction(hash.hash).catch(() => undefined)
  const status = receipt?.status ?? (await provider.getTransactionReceipt(hash.hash))?.status
  return status === 1 ? 'done' : 'reverted'
}
const anchor = (key: string, size: number, of: string, proof: string[]) =>
  mined(gateway, address, abi.encodeFunctionData('anchor', [key, size, of, proof]))

async function ownedLog(origin: string, size: number): Promise<string> {
  await run(owner, 'authorize', originHash(origin), CONSISTENT, gateway.address, FOREVER, vkeyHash)
  const key = logKeyOf(owner.address, origin)
  await run(gateway, 'anchor', key, size, honest(size), [])
  return key
}
const standsAt = async (key: string, size: number) =>
  (await call('head', key)).toString() === [size, honest(size)].toString()

t.test("a stolen gateway key can't rewrite a CONSISTENT log: the transaction reverts", async (t) => {
  const key = await ownedLog('log', 6)
  const tries: [what: string, size: number, of: string, proof: string[]][] = [
    ['another history, without a proof', 11, forged(11), []],
    ['with the proof of that history', 11, forged(11), consistency(6, 11, 1000)],
    ['with the proof of the true one', 11, forged(11), consistency(6, 11)],
    ['the true root as first hash', 11, forged(11), [honest(6), ...consistency(6, 11, 1000)]],
    ['the same size', 6, forged(6), []],
    ['the same size with a proof', 6, forged(6), [honest(6), forged(6)]],
    ['back', 5, honest(5), consistency(5, 6)],
    ['back to nothing', 0, honest(1), []],
    ['beyond what a size may be', 2 ** 48, forged(8), []],
    ['a power of two, its root as proof', 8, forged(8), [honest(6)]],
    ['a root of the old and the new', 12, forged(12), [honest(6), forged(6)]],
    ['very large', 2 ** 48 - 1, forged(11), Array.from({ length: 48 }, (_, i) => root(i, 1))],
  ]
  for (const [what, size, of, proof] of tries) {
    t.equal(await anchor(key, size, of, proof), 'reverted', what)
    t.ok(await standsAt(key, 6), what)
  }
  t.equal(await anchor(key, 11, honest(11), consistency(6, 11)), 'done', 'only its own continuation is taken')
  t.ok(await standsAt(key, 11))
})

t.test('nor by authorising, registering or revoking', async (t) => {
  const key = await ownedLog('rights', 6)
  const id = originHash('rights')
  const authorize = (policy: number, to: string) =>
    mined(gateway, address, abi.encodeFunctionData('authorize', [id, policy, to, FOREVER, vkeyHash]))
  // The thief's own log of that name comes into being: under another key.
  for (const policy of [HEAD, CONSISTENT, HISTORY]) {
    await authorize(policy, thief.address)
    await authorize(policy, gateway.address)
  }
  await mined(gateway, address, abi.encodeFunctionData('revoke', [id]))
  t.same(await call('registration', logKeyOf(gateway.address, 'rights')), [
    gateway.address,
    BigInt(HEAD),
    NOBODY,
    0n,
    3n,
  ])
  t.same(await call('registration', key), [owner.address, BigInt(CONSISTENT), gateway.address, FOREVER, 1n])
  t.equal(await anchor(key, 11, forged(11), []), 'reverted')
  t.ok(await standsAt(key, 6))

  // Signed by the key that was stolen, in the owner's name.
  const domain = {
    name: 'AnchorRegistry',
    version: '1',
    chainId: (await provider.getNetwork()).chainId,
    verifyingContract: address,
  }
  const fields = abi
    .getFunction('authorizeSigned')!
    .inputs[0]!.components!.map(({ name, type }) => ({ name, type }))
  for (const policy of [HEAD, CONSISTENT, HISTORY]) {
    const given = {
      owner: owner.address,
      gateway: gateway.address,
      logId: id,
      vkeyHash,
      policy,
      notBefore: 0,
      expiry: FOREVER,
      nonce: 1n,
    }
    const signature = await gateway.signTypedData(domain, { GatewayAuthorization: fields }, given)
    const data = abi.encodeFunctionData('authorizeSigned', [given, signature, signature])
    t.equal(await mined(gateway, address, data), 'reverted')
  }
  t.ok(await standsAt(key, 6))
})

t.test('nor where the stolen key owns the log itself', async (t) => {
  await run(gateway, 'authorize', originHash('own'), CONSISTENT, gateway.address, FOREVER, vkeyHash)
  const key = logKeyOf(gateway.address, 'own')
  await run(gateway, 'anchor', key, 6, honest(6), [])
  for (const policy of [HEAD, HISTORY]) {
    const data = abi.encodeFunctionData('authorize', [
      originHash('own'),
      policy,
      gateway.address,
      FOREVER,
      vkeyHash,
    ])
    t.equal(await mined(gateway, address, data), 'reverted', 'the policy is fixed')
  }
  t.equal(await mined(gateway, address, abi.encodeFunctionData('revoke', [originHash('own')])), 'done')
  await run(gateway, 'authorize', originHash('own'), CONSISTENT, gateway.address, FOREVER, vkeyHash)
  t.equal(await anchor(key, 11, forged(11), consistency(6, 11, 1000)), 'reverted')
  t.ok(await standsAt(key, 6), 'revoked and authorised again, the head is where it was')
})

t.test('nor by putting another contract in its place', async (t) => {
  await thief.sendTransaction({ to: FACTORY, data: deployment }).then((sent) => sent.wait())
  const real = new Contract(registryAddress, artefact.abi, owner)
  const log = [originHash('place'), CONSISTENT, gateway.address, FOREVER, vkeyHash]
  await (await real.getFunction('authorize')(...log)).wait()
  const key = logKeyOf(owner.address, 'place')
  const anchored = (await (
    await new Contract(registryAddress, artefact.abi, gateway).getFunction('anchor')(key, 6, honest(6), [])
  ).wait()) as { hash: string }

  t.equal(await mined(thief, FACTORY, deployment), 'reverted', 'the factory has deployed it')
  // Ends its contract while it is created, and leaves its money to the registry: the only way to send it some.
  const [balance, code] = [
    await provider.getBalance(registryAddress),
    await provider.getCode(registryAddress),
  ]
  const ended = await thief.sendTransaction({ data: `0x73${registryAddress.slice(2)}ff`, value: 1n })
  await ended.wait()
  t.equal(await provider.getBalance(registryAddress), balance + 1n)
  t.equal(await provider.getCode(registryAddress), code)

  // Its code on somebody else's storage, and a second one: they log the event, with their own addresses.
  const impostor = await create(impostors.abi, impostors.bytecode, registryAddress)
  const second = await new ContractFactory(artefact.abi, artefact.bytecode, thief).deploy()
  const twin = await second.waitForDeployment().then(() => second.getAddress())
  const where = { rpc: anvil.url, contract: registryAddress, logKey: key }
  for (const other of [impostor, twin]) {
    const as = (who: Wallet) => new Contract(other, artefact.abi, who)
    await (await as(owner).getFunction('authorize')(...log, { gasLimit: 500_000 })).wait()
    const sent = await as(gateway).getFunction('anchor')(key, 11, forged(11), [], { gasLimit: 500_000 })
    const { hash } = (await sent.wait()) as { hash: string }
    await t.rejects(readAnchoredEvent(where, { size: 11n, transaction: hash }), { code: 'NOT_ANCHORED' })
    await t.rejects(readAnchoredEvent(where, { size: 11n }), { code: 'NOT_ANCHORED' })
  }
  const theirs = { ...where, contract: impostor.toLowerCase() }
  await t.rejects(readHead(theirs), { code: 'NOT_ANCHORED', message: /no version of AnchorRegistry/ })
  await t.rejects(readAnchoredEvent(theirs, { size: 11n }), { message: /no version of AnchorRegistry/ })
  t.same(await readHead(where), { size: 6n, root: honest(6).slice(2) })
  t.match(await readAnchoredEvent(where, { size: 6n, transaction: anchored.hash }), { size: 6n })
})

t.test('the contract holds no way to end, to change or to run code of others', async (t) => {
  const code = Buffer.from(artefact.deployedBytecode.slice(2), 'hex')
  const forbidden = {
    242: 'CALLCODE',
    244: 'DELEGATECALL',
    255: 'SELFDESTRUCT',
    240: 'CREATE',
    245: 'CREATE2',
    241: 'CALL',
  }
  // The metadata after the code is data: its length stands in the last two bytes.
  const end = code.length - 2 - code.readUInt16BE(code.length - 2)
  const found: string[] = []
  for (let at = 0; at < end; at++) {
    const op = code[at]!
    if (op in forbidden) found.push(forbidden[op as keyof typeof forbidden])
    // PUSH1 to PUSH32 carry 1 to 32 bytes that are no instructions.
    if (op >= 0x60 && op <= 0x7f) at += op - 0x5f
  }
  t.same(found, [])
})

t.test('what a thief can do is add to the log, and be revoked', async (t) => {
  const key = await ownedLog('added', 6)
  // Leaves of the thief's own after the six: root and proof of a tree that truly extends them.
  t.equal(await anchor(key, 11, honest(11), consistency(6, 11)), 'done')
  await run(owner, 'revoke', originHash('added'))
  t.equal(await anchor(key, 13, honest(13), consistency(11, 13)), 'reverted')
  t.equal(await revertOf(run(gateway, 'anchor', key, 13, honest(13), consistency(11, 13))), 'NotAuthorized')
  t.equal(
    (await as(owner).queryFilter(as(owner).getEvent('Anchored')(key))).length,
    2,
    'both stand in the events',
  )
})
