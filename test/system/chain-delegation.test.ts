import { Interface, Signature, Wallet } from 'ethers'
import t from 'tap'
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
import { root } from './naive-tree.ts'

const { anvil, provider, owner, gateway, thief, create, address, as, run, runAt, call, now } =
  await contractRig(t)
const wallets = hostileContract('Wallet')
const abi = new Interface(artefact.abi as [])
const { chainId } = await provider.getNetwork()

const domain = { name: 'AnchorRegistry', version: '1', chainId, verifyingContract: address }
// As docs/formats.md gives them: written down here anew.
const AUTHORIZATION = {
  GatewayAuthorization: [
    { name: 'owner', type: 'address' },
    { name: 'gateway', type: 'address' },
    { name: 'logId', type: 'bytes32' },
    { name: 'vkeyHash', type: 'bytes32' },
    { name: 'policy', type: 'uint8' },
    { name: 'notBefore', type: 'uint64' },
    { name: 'expiry', type: 'uint64' },
    { name: 'nonce', type: 'uint64' },
  ],
}
const REVOCATION = {
  GatewayRevocation: [
    { name: 'owner', type: 'address' },
    { name: 'logId', type: 'bytes32' },
    { name: 'nonce', type: 'uint64' },
  ],
}
const given = (of: string, origin: string, other: object = {}) => ({
  owner: of,
  gateway: gateway.address,
  logId: originHash(origin),
  vkeyHash,
  policy: CONSISTENT,
  notBefore: 0,
  expiry: FOREVER,
  nonce: 0n,
  ...other,
})
type Given = ReturnType<typeof given>
const sign = (by: Wallet, message: Given, where: object = {}) =>
  by.signTypedData({ ...domain, ...where }, AUTHORIZATION, message)
const revocation = async (by: Wallet, origin: string, nonce: bigint, of = by.address) => {
  const message = { owner: of, logId: originHash(origin), nonce }
  return [message, await by.signTypedData(domain, REVOCATION, message)] as const
}
/** What comes of an authorisation, with the signatures of its owner and gateway where no others are given. */
const submit = async (
  message: Given,
  ownerSignature?: string,
  gatewaySignature?: string,
  by: Wallet = thief,
) =>
  revertOf(
    run(
      by,
      'authorizeSigned',
      message,
      ownerSignature ?? (await sign(owner, message)),
      gatewaySignature ?? (await sign(gateway, message)),
    ),
  )
const registered = (origin: string, of = owner.address) => call('registration', logKeyOf(of, origin))
const UNREGISTERED = [NOBODY, 0n, NOBODY, 0n, 0n]

t.test('an owner who never sends a transaction registers its log and lets a gateway anchor', async (t) => {
  const poor = new Wallet(`0x${'44'.repeat(32)}`, provider)
  const message = given(poor.address, 'signed')
  const ownerSignature = await sign(poor, message)
  t.equal(await submit(message, ownerSignature), undefined, 'whoever submits')
  const key = logKeyOf(poor.address, 'signed')
  t.same(await call('registration', key), [poor.address, 1n, gateway.address, FOREVER, 1n])
  await run(gateway, 'anchor', key, 3, root(0, 3), [])
  t.same(await call('head', key), [3n, root(0, 3)])
  t.equal(await provider.getTransactionCount(poor.address), 0)
  const [event] = await as(owner).queryFilter(as(owner).getEvent('Authorized')(key))
  t.same(event && abi.parseLog(event)?.args, [key, gateway.address, FOREVER, vkeyHash])
  const [first] = await as(owner).queryFilter(as(owner).getEvent('Registered')(key))
  t.same(first && abi.parseLog(first)?.args, [key, poor.address, originHash('signed'), 1n])
})

t.test('every field is what owner and gateway signed, or nothing happens', async (t) => {
  const message = given(owner.address, 'fields', { notBefore: 5, expiry: FOREVER - 9n })
  const [ownerSignature, gatewaySignature] = [await sign(owner, message), await sign(gateway, message)]
  const others: Partial<Given>[] = [
    { owner: thief.address },
    { gateway: thief.address },
    { logId: originHash('another') },
    { vkeyHash: originHash('fields') },
    { policy: HEAD },
    { policy: HISTORY },
    { notBefore: 4 },
    { expiry: FOREVER },
    { nonce: 1n },
  ]
  for (const other of others) {
    const changed = { ...message, ...other }
    const name = Object.keys(other)[0]!
    t.ok(await submit(changed, ownerSignature, gatewaySignature), `${name}: neither signed it`)
    if (!('nonce' in other)) {
      t.equal(
        await submit(changed, ownerSignature, 'gateway' in other ? await sign(thief, changed) : undefined),
        'BadOwnerSignature',
        `${name}: the owner didn't`,
      )
      if (!('owner' in other))
        t.equal(await submit(changed, undefined, gatewaySignature), 'BadGatewaySignature', name)
    }
  }
  t.equal(await submit(message, gatewaySignature, ownerSignature), 'BadGatewaySignature', 'swapped')
  t.equal(await submit(message, gatewaySignature, gatewaySignature), 'BadOwnerSignature')
  t.equal(await submit(message, ownerSignature, ownerSignature), 'BadGatewaySignature')
  t.equal(await submit(message, ownerSignature, await sign(thief, message)), 'BadGatewaySignature')
  t.equal(await submit(message, await sign(thief, message), gatewaySignature), 'BadOwnerSignature')
  const nobody = { ...message, gateway: NOBODY }
  t.equal(await submit(nobody, await sign(owner, nobody), `0x${'00'.repeat(65)}`), 'BadGateway')
  const unowned = { ...message, owner: NOBODY }
  t.equal(await submit(unowned, `0x${'00'.repeat(65)}`), 'BadOwnerSignature')
  t.same(await registered('fields'), UNREGISTERED)
  t.equal(await submit(message, ownerSignature, gatewaySignature), undefined, 'as signed it is good')
})

t.test('a signature has one form', async (t) => {
  const message = given(owner.address, 'forms')
  const good = Signature.from(await sign(owner, message))
  const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const hex = (n: bigint, bytes = 32) => n.toString(16).padStart(2 * bytes, '0')
  const [r, s, v] = [BigInt(good.r), BigInt(good.s), good.v]
  const put = (r: bigint, s: bigint, v: number) => `0x${hex(r)}${hex(s)}${hex(BigInt(v), 1)}`
  const forms: Record<string, string> = {
    'the other s': put(r, order - s, v === 27 ? 28 : 27),
    'the other s, as if it were low': put(r, order - s, v),
    'v from 0': put(r, s, v - 27),
    'the other v': put(r, s, v === 27 ? 28 : 27),
    'v with a chain id (EIP-155)': put(r, s, v + 8),
    'v 255': put(r, s, 255),
    'r 0': put(0n, s, v),
    's 0': put(r, 0n, v),
    'r of the order and above': put(order, s, v),
    'nothing but zeros': put(0n, 0n, 27),
    compact: good.compactSerialized,
    'a byte short': good.serialized.slice(0, -2),
    'a byte long': `${good.serialized}00`,
    twice: good.serialized + good.serialized.slice(2),
    empty: '0x',
  }
  for (const [name, form] of Object.entries(forms)) {
    t.equal(await submit(message, form), 'BadOwnerSignature', name)
  }
  const theirs = Signature.from(await sign(gateway, message))
  const high = put(BigInt(theirs.r), order - BigInt(theirs.s), theirs.v === 27 ? 28 : 27)
  t.equal(await submit(message, good.serialized, high), 'BadGatewaySignature')
  t.equal(await submit(message, good.serialized, '0x'), 'BadGatewaySignature')
  t.equal(await submit(message, good.serialized), undefined, 'the one form is good')
})

t.test('an authorisation is good in its time only', async (t) => {
  const start = (await now()) + 1000
  const message = given(owner.address, 'times', { notBefore: start, expiry: start + 50 })
  const signatures = [await sign(owner, message), await sign(gateway, message)]
  const at = (time: number) => revertOf(runAt(time, thief, 'authorizeSigned', message, ...signatures))
  t.equal(await at(start - 1), 'NotYetValid')
  t.equal(await at(start), undefined)
  t.equal(await at(start + 50), undefined)
  t.equal(await at(start + 51), 'Expired')
  t.equal(await submit(given(owner.address, 'times', { expiry: FOREVER + 1n })), 'TooLarge')
})

t.test('nothing signed is good twice, in another contract, or on another chain', async (t) => {
  const message = given(owner.address, 'replay')
  const signatures = [await sign(owner, message), await sign(gateway, message)] as const
  const twin = await create(artefact.abi, artefact.bytecode)
  const sendTo = (to: string) =>
    provider.call({ to, data: abi.encodeFunctionData('authorizeSigned', [message, ...signatures]) })
  t.equal(await revertOf(sendTo(address)), undefined)
  t.equal(await revertOf(sendTo(twin)), 'BadGatewaySignature', 'another contract')
  await anvil.call('anvil_setChainId', Number(chainId) + 1)
  t.equal(await revertOf(sendTo(address)), 'BadGatewaySignature', 'another chain')
  await anvil.call('anvil_setChainId', Number(chainId))
  for (const where of [{ chainId: 1n }, { verifyingContract: twin }, { version: '2' }, { name: 'Other' }]) {
    t.equal(
      await submit(message, await sign(owner, message, where)),
      'BadOwnerSignature',
      Object.keys(where)[0]!,
    )
  }
  t.equal(await submit(message, ...signatures), undefined)
  t.equal(await submit(message, ...signatures), 'BadNonce', 'a second time')
  t.equal(await submit(given(owner.address, 'replay', { nonce: 2n })), 'BadNonce', 'before its turn')
  const next = given(owner.address, 'replay', { nonce: 1n, gateway: thief.address })
  t.equal(await submit(next, undefined, await sign(thief, next)), undefined)
  t.equal((await registered('replay'))[2], thief.address)
  t.equal(await submit(message, ...signatures), 'BadNonce', 'the former gateway has it still')
})

t.test('what is revoked stays revoked: no signature from before is good again', async (t) => {
  const first = given(owner.address, 'revoked')
  const firstSignatures = [await sign(owner, first), await sign(gateway, first)] as const
  t.equal(await submit(first, ...firstSignatures), undefined)
  // Signed, and not submitted yet.
  const second = given(owner.address, 'revoked', { nonce: 1n })
  const secondSignatures = [await sign(owner, second), await sign(gateway, second)] as const

  const [message, signature] = await revocation(owner, 'revoked', 1n)
  const revoke = (m: object, s: string) => revertOf(run(thief, 'revokeSigned', m, s))
  t.equal(
    await revoke(message, (await revocation(thief, 'revoked', 1n, owner.address))[1]),
    'BadOwnerSignature',
  )
  t.equal(await revoke(message, await sign(owner, second)), 'BadOwnerSignature', 'an authorisation is none')
  t.equal(await revoke({ ...message, nonce: 2n }, signature), 'BadOwnerSignature')
  t.equal(await revoke({ ...message, logId: originHash('other') }, signature), 'BadOwnerSignature')
  t.equal(await revoke(...(await revocation(owner, 'revoked', 0n))), 'BadNonce', 'one that came too late')
  t.equal((await registered('revoked'))[2], gateway.address)
  t.equal(await revoke(message, signature), undefined, 'submitted by anybody')
  t.same(await registered('revoked'), [owner.address, 1n, NOBODY, 0n, 2n])
  const key = logKeyOf(owner.address, 'revoked')
  t.equal(await revertOf(run(gateway, 'anchor', key, 3, root(0, 3), [])), 'NotAuthorized')

  t.equal(await submit(first, ...firstSignatures), 'BadNonce')
  t.equal(await submit(second, ...secondSignatures), 'BadNonce', 'signed before the revocation')
  t.equal(await revoke(message, signature), 'BadNonce', 'the revocation too is good once')
  t.equal(await submit(given(owner.address, 'revoked', { nonce: 2n })), undefined, 'a new one is good')
  t.equal(await revoke(message, signature), 'BadNonce', 'and the old revocation does nothing to it')
  t.equal((await registered('revoked'))[2], gateway.address)
})

t.test("the owner's own transactions void what was signed before", async (t) => {
  const message = given(owner.address, 'own')
  const signatures = [await sign(owner, message), await sign(gateway, message)] as const
  await run(owner, 'revoke', originHash('own'))
  t.same(await registered('own'), [NOBODY, 0n, NOBODY, 0n, 1n], 'of a log that is not registered yet')
  t.equal(await submit(message, ...signatures), 'BadNonce')

  const later = given(owner.address, 'own', { nonce: 1n })
  await run(owner, 'authorize', originHash('own'), HEAD, thief.address, FOREVER, vkeyHash)
  t.equal(await submit(later), 'BadNonce')
  t.equal(await submit(given(owner.address, 'own', { nonce: 2n })), 'PolicyFixed')
  t.equal(await submit(given(owner.address, 'own', { nonce: 2n, policy: HEAD })), undefined)
})

t.test('a revocation kept for an emergency voids everything up to its nonce', async (t) => {
  const [emergency, signature] = await revocation(owner, 'emergency', 2n ** 64n - 1n)
  for (const nonce of [0n, 1n, 2n]) {
    t.equal(await submit(given(owner.address, 'emergency', { nonce })), undefined)
  }
  await run(thief, 'revokeSigned', emergency, signature)
  t.same(await registered('emergency'), [owner.address, 1n, NOBODY, 0n, 2n ** 64n])
  t.equal(await submit(given(owner.address, 'emergency', { nonce: 2n ** 64n - 1n })), 'BadNonce')
  t.equal(await revertOf(run(thief, 'revokeSigned', emergency, signature)), 'BadNonce')
  await run(owner, 'authorize', originHash('emergency'), CONSISTENT, gateway.address, FOREVER, vkeyHash)
  t.equal((await registered('emergency'))[2], gateway.address, 'the owner itself still may')
})

t.test('an account with code of its own (EIP-7702) still signs with its key', async (t) => {
  const account = new Wallet(`0x${'55'.repeat(32)}`, provider)
  await anvil.call('anvil_setCode', account.address, '0x60006000fd')
  const message = given(account.address, 'delegated')
  t.equal(await submit(message, await sign(account, message)), undefined)
})

t.test('a contract may own a log (EIP-1271), and can do no more than agree', async (t) => {
  const wallet = await create(wallets.abi, wallets.bytecode, owner.address)
  const walletAbi = new Interface(wallets.abi)
  const tell = async (method: string, ...args: unknown[]) => {
    const sent = await owner.sendTransaction({
      to: wallet,
      data: walletAbi.encodeFunctionData(method, args),
    })
    await sent.wait()
  }
  const message = given(wallet, 'wallet')
  const good = Signature.from(await sign(owner, message))
  const packed = `0x${good.r.slice(2)}${good.s.slice(2)}${good.v.toString(16).padStart(64, '0')}`
  const cases: [says: string, expected: string | undefined][] = [
    ['NO', 'BadOwnerSignature'],
    ['OTHER_WORD', 'BadOwnerSignature'],
    ['DIRTY', 'BadOwnerSignature'],
    ['SHORT', 'BadOwnerSignature'],
    ['REVERT', 'BadOwnerSignature'],
    ['REVERT_YES', 'BadOwnerSignature'],
    ['BURN', 'BadOwnerSignature'],
    ['MUCH_WRONG', 'BadOwnerSignature'],
    ['NOTHING', 'BadOwnerSignature'],
  ]
  const SAYS =
    'BY_KEY YES NO OTHER_WORD DIRTY SHORT REVERT REVERT_YES BURN MUCH MUCH_WRONG NOTHING CALLS'.split(' ')
  for (const [says, expected] of cases) {
    await tell('set', SAYS.indexOf(says))
    t.equal(await submit(message, packed), expected, says)
  }
  t.same(await registered('wallet', wallet), UNREGISTERED)

  const data = abi.encodeFunctionData('authorizeSigned', [message, packed, await sign(gateway, message)])
  const others = {
    'the same authorisation': data,
    'a revocation': abi.encodeFunctionData('revoke', [originHash('wallet')]),
    'an authorisation': abi.encodeFunctionData('authorize', [
      originHash('wallet'),
      HEAD,
      thief.address,
      FOREVER,
      vkeyHash,
    ]),
  }
  for (const [name, question] of Object.entries(others)) {
    await tell('setCall', address, question)
    t.equal(await submit(message, packed), 'BadOwnerSignature', `it calls back with ${name}`)
    t.same(await registered('wallet', wallet), UNREGISTERED)
  }
  await tell('setCall', address, abi.encodeFunctionData('head', [logKeyOf(wallet, 'wallet')]))
  t.equal(await revertOf(provider.call({ to: address, data })), undefined, 'reading back is no harm')

  await tell('set', SAYS.indexOf('MUCH'))
  const gas = await provider.estimateGas({ to: address, data })
  t.ok(gas < 200_000n, `what it answers beyond a word costs the registry nothing (${gas})`)
  t.equal(await submit(given(wallet, 'by key'), '0x'), undefined, 'MUCH begins with the right word')

  await tell('set', SAYS.indexOf('BY_KEY'))
  t.equal(await submit(message, packed.replace(/.$/, '0')), 'BadOwnerSignature')
  const other = { ...message, expiry: 5n * 10n ** 9n }
  t.equal(await submit(other, packed), 'BadOwnerSignature', 'its key signed another document')
  t.equal(await submit(message, packed), undefined)
  t.equal((await registered('wallet', wallet))[0], wallet)
  t.equal(await submit(message, packed), 'BadNonce')
  await tell('act', address, abi.encodeFunctionData('revoke', [originHash('wallet')]))
  t.same(await registered('wallet', wallet), [wallet, 1n, NOBODY, 0n, 2n])
  t.equal(await submit(message, packed), 'BadNonce', 'a wallet that still agrees changes nothing')
})

t.test('no precompile, and not the registry itself, agrees to own a log', async (t) => {
  const precompiles = Array.from({ length: 20 }, (_, i) => `0x${(i + 1).toString(16).padStart(40, '0')}`)
  for (const account of [...precompiles, address, gateway.address]) {
    const message = given(account, 'none')
    t.equal(await submit(message, await sign(thief, message)), 'BadOwnerSignature', account)
  }
})
