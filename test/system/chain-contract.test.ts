import { AbiCoder, keccak256 } from 'ethers'
import t from 'tap'
import {
  CONSISTENT,
  contractRig,
  FOREVER,
  HEAD,
  HISTORY,
  logKeyOf,
  NOBODY,
  NOTHING,
  originHash,
  revertOf,
  vkeyHash,
} from './contract-rig.ts'
import { root } from './naive-tree.ts'

const { owner, gateway, thief, as, run, runAt, call, register, now } = await contractRig(t)
const registry = as(owner)

t.test('a head only grows, and one size never gets two roots', async (t) => {
  const key = await register('head', HEAD)
  t.same(await call('head', key), [0n, NOTHING])
  t.equal(await revertOf(run(gateway, 'anchor', key, 0, root(0, 1), [])), 'Stale')
  t.match(await run(gateway, 'anchor', key, 5, root(0, 5), []), { logs: 1 })
  t.match(await run(gateway, 'anchor', key, 5, root(0, 5), []), { logs: 0 }, 'again: nothing happens')
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 6), [])), 'Equivocation')
  t.equal(await revertOf(run(gateway, 'anchor', key, 4, root(0, 4), [])), 'Stale')
  t.equal(await revertOf(run(gateway, 'anchor', key, 2n ** 48n, root(0, 4), [])), 'TooLarge')
  await run(gateway, 'anchor', key, 9, root(0, 9), [])
  t.same(await call('head', key), [9n, root(0, 9)])
  t.equal(await call('rootAt', key, 9), root(0, 9))
  t.equal(await call('rootAt', key, 5), NOTHING)
  const [event] = await registry.queryFilter(registry.getEvent('Anchored')(key, 9))
  const hash = keccak256(
    AbiCoder.defaultAbiCoder().encode(['bytes32', 'uint64', 'bytes32'], [key, 9, root(0, 9)]),
  )
  t.same(event && registry.interface.parseLog(event)?.args, [key, 9n, root(0, 9), 5n, hash])
})

t.test('only the authorised gateway anchors, until its time is over or it is revoked', async (t) => {
  const key = await register('rights', HEAD)
  const id = originHash('rights')
  const authorize = (who: typeof owner, gateway: string, until: bigint | number) =>
    run(who, 'authorize', id, HEAD, gateway, until, vkeyHash)
  t.equal(await revertOf(run(thief, 'anchor', key, 1, root(0, 1), [])), 'NotAuthorized')
  t.equal(await revertOf(run(owner, 'anchor', key, 1, root(0, 1), [])), 'NotAuthorized')
  t.equal(await revertOf(authorize(owner, NOBODY, FOREVER)), 'BadGateway')
  t.equal(await revertOf(authorize(owner, gateway.address, FOREVER + 1n)), 'TooLarge')
  t.equal(await revertOf(authorize(owner, gateway.address, (await now()) - 1)), 'Expired')
  await run(gateway, 'anchor', key, 3, root(0, 3), [])

  // Who isn't the owner speaks of a log of their own that has the same name.
  await authorize(thief, thief.address, FOREVER)
  await run(thief, 'revoke', id)
  t.same(await call('registration', logKeyOf(thief.address, 'rights')), [thief.address, 0n, NOBODY, 0n, 2n])
  t.equal(await revertOf(run(thief, 'anchor', key, 4, root(0, 4), [])), 'NotAuthorized')
  await run(gateway, 'anchor', key, 4, root(0, 4), [])

  await run(owner, 'revoke', id)
  t.same(await call('registration', key), [owner.address, 0n, NOBODY, 0n, 2n])
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 5), [])), 'NotAuthorized')
  const soon = (await now()) + 3600
  await authorize(owner, gateway.address, soon)
  await run(gateway, 'anchor', key, 5, root(0, 5), [])
  const next = ['anchor', key, 6, root(0, 6), []] as const
  t.equal(await revertOf(runAt(soon, gateway, ...next)), undefined)
  t.equal(await revertOf(runAt(soon + 1, gateway, ...next)), 'NotAuthorized')
  await authorize(owner, thief.address, FOREVER)
  t.equal(await revertOf(run(gateway, ...next)), 'NotAuthorized', 'one at a time')
  t.same(await call('head', key), [5n, root(0, 5)], 'rights come and go, the head stays')
})

t.test('a policy is fixed by the first authorisation', async (t) => {
  const authorize = (origin: string, policy: number) =>
    run(owner, 'authorize', originHash(origin), policy, gateway.address, FOREVER, vkeyHash)
  const key = await register('policy', CONSISTENT)
  t.match(await authorize('policy', CONSISTENT), { logs: 1 }, 'again: registers nothing')
  for (const policy of [HEAD, HISTORY]) t.equal(await revertOf(authorize('policy', policy)), 'PolicyFixed')
  t.match(String(await revertOf(authorize('policy', 3))), /revert/, 'there is no fourth')
  await run(owner, 'revoke', originHash('policy'))
  t.equal(await revertOf(authorize('policy', HEAD)), 'PolicyFixed', 'after a revocation too')
  t.equal((await call('registration', key))[1], BigInt(CONSISTENT))

  const other = await register('other', HEAD)
  await run(gateway, 'anchor', other, 5, root(0, 5), [])
  await authorize('other', HEAD)
  t.same(await call('head', other), [5n, root(0, 5)], 'authorising again leaves the head')
})

t.test('HISTORY: the root of each anchored size stays', async (t) => {
  const key = await register('history', HISTORY)
  for (const n of [3, 5, 8]) await run(gateway, 'anchor', key, n, root(0, n), [])
  for (const n of [3, 5, 8]) t.equal(await call('rootAt', key, n), root(0, n))
  t.equal(await call('rootAt', key, 4), NOTHING)
  t.same(await call('head', key), [8n, root(0, 8)])
  await run(gateway, 'anchor', key, 8, root(0, 8), [])
  t.equal(await revertOf(run(gateway, 'anchor', key, 8, root(0, 7), [])), 'Equivocation')
  t.equal(await revertOf(run(gateway, 'anchor', key, 5, root(0, 6), [])), 'Stale')
})
