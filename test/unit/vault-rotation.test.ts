/** Rotation and rewrapping: what is in force at each step, and after a crash at any of them. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { readSuccession } from '../../daemon/ledger/key-history.ts'
import { type GatewayKeys, openGatewayKeys } from '../../daemon/vault/gateway-keys.ts'
import { KEY_NAMES, type KeyName, keyId } from '../../daemon/vault/key-kinds.ts'
import { openBodyKey } from '../../daemon/vault/keys.ts'
import { openVault } from '../../daemon/vault/open-vault.ts'
import { passphraseProvider } from '../../daemon/vault/passphrase.ts'
import { rewrap } from '../../daemon/vault/rewrap.ts'
import { type KeyPlace, stageRotation } from '../../daemon/vault/rotation.ts'
import { secretSource } from '../../daemon/vault/secret-source.ts'
import { compiledCode } from '../lab/compiled.ts'
import { open, origin, ownership, placeIn, secrets, vaultIn } from './vault-fixture.ts'

t.setTimeout(240_000)
const secretOf = ({ keys }: GatewayKeys, name: KeyName) => (name === 'log' ? keys.log.privateKey : keys[name])
const vkey = (place: KeyPlace) => readFileSync(join(place.dir, 'log.vkey'), 'utf8').trim()

t.test("a new log's first change names its first key, and is told at each start", async (t) => {
  const place = await placeIn(t.testdir())
  const first = await open(place)
  t.equal(first.changes.length, 1)
  const { note, to, key } = first.changes[0]!
  t.same(readSuccession(note), { origin, from: undefined, to, time: first.changes[0]!.time })
  t.equal(key, 'log')
  t.equal(to, vkey(place))
  t.same((await open(place)).changes, first.changes)
})

for (const name of KEY_NAMES) {
  t.test(
    `${name}: the new key is in force from the next start, and the old one ends when it is recorded`,
    async (t) => {
      const base = t.testdir()
      const place = await placeIn(base)
      const before = await open(place)
      const change = await stageRotation(place, name)
      await t.rejects(stageRotation(place, name), { code: 'rotation-under-way' })
      const during = await open(place)
      t.notOk(secretOf(during, name).equals(secretOf(before, name)))
      t.equal(await keyId(name, secretOf(during, name), origin), change.to)
      for (const other of KEY_NAMES.filter((each) => each !== name))
        t.ok(secretOf(during, other).equals(secretOf(before, other)), `${other} stays`)
      t.ok(
        secretOf(await open(place), name).equals(secretOf(during, name)),
        'another start before that is the same',
      )
      if (name === 'log') {
        t.ok(during.predecessor?.logKey?.equals(before.keys.log.privateKey), 'both sign')
        t.equal(vkey(place), change.from, 'and the old one stays published')
        t.match(readSuccession(change.note), { from: change.from, to: change.to }, 'both signed the change')
      }
      await during.settle(change.id)
      const after = await open(place)
      t.ok(secretOf(after, name).equals(secretOf(during, name)))
      t.notOk(existsSync(join(place.dir, `${name}.next.sealed`)))
      if (name === 'log') {
        t.equal(vkey(place), change.to)
        t.same(after.predecessor, { verifierKey: change.from, logKey: undefined }, 'the old one is gone')
      }
      const ring = Buffer.concat([secretOf(after, 'body'), ...(name === 'body' ? [before.keys.body] : [])])
      t.ok(after.bodyKeys.equals(ring), 'bodies under the old key open')
      t.ok((await openBodyKey(place.vault, place.dir, ownership)).equals(ring), 'for those who only read too')
      t.ok(
        name !== 'gateway' || after.owner?.equals(before.keys.gateway),
        'the first account stays the owner',
      )
      t.match(await stageRotation(place, name), { from: change.to }, 'and it can be rotated again')
    },
  )
}

t.test('rotations at the same time: one is prepared of each key, and all of them settle', async (t) => {
  const place = await placeIn(t.testdir())
  await open(place)
  const asked = [...KEY_NAMES, ...KEY_NAMES].map((name) => stageRotation(place, name))
  const settled = await Promise.allSettled(asked)
  const codes = settled.map((each) => (each.status === 'fulfilled' ? 'staged' : each.reason.code))
  t.same(codes.sort(), [...Array(4).fill('rotation-under-way'), ...Array(4).fill('staged')])
  const keys = await open(place)
  await Promise.all(keys.changes.map(({ id }) => keys.settle(id)))
  const after = await open(place)
  t.equal(after.changes.length, 5)
  t.notOk(after.changes.some(({ pending }) => pending))
})

t.test('a key that this gateway has used does not come back', async (t) => {
  const place = await placeIn(t.testdir())
  const before = await open(place)
  const change = await stageRotation(place, 'log')
  await (await open(place)).settle(change.id)
  await t.rejects(stageRotation(place, 'log', before.keys.log.privateKey), { code: 'import-invalid' })
  await t.rejects(stageRotation(place, 'gateway', Buffer.alloc(32)), { code: 'import-invalid' })
})

/** Runs it in a process that dies before its Nth change; false once it got through. */
function diesAt(step: number, what: string, base: string): boolean {
  const [preload, script] = ['./vault-crash-preload.mjs', './vault-crasher.ts'].map((file) =>
    fileURLToPath(new URL(file, import.meta.url)),
  )
  const args = ['--import', preload ?? '', script ?? '', String(step), what, base]
  const { signal, status, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...compiledCode, PATH: process.env.PATH },
  })
  if (signal === 'SIGKILL') return true
  if (status !== 0) throw new Error(stderr)
  return false
}

for (const name of ['log', 'body'] as const) {
  t.test(
    `${name}: after a crash before any change of the disk old or new is in force, and it goes on`,
    async (t) => {
      const fresh = join(t.testdir(), 'fresh')
      const before = await open(await placeIn(fresh))
      let step = 1
      for (; ; step++) {
        const base = `${fresh}-${step}`
        cpSync(fresh, base, { recursive: true })
        if (!diesAt(step, name, base)) break
        const place = await placeIn(base)
        const keys = await open(place)
        const change = keys.changes.find(({ key, from }) => key === name && from !== undefined)
        const id = await keyId(name, secretOf(keys, name), origin)
        t.equal(
          id,
          change?.to ?? (await keyId(name, secretOf(before, name), origin)),
          `step ${step}: one is in force`,
        )
        if (name === 'body') t.ok(keys.bodyKeys.includes(before.keys.body), 'and opens what is there')
        if (change?.pending && name === 'log')
          t.ok(keys.predecessor?.logKey, 'with the old one while it is not recorded')
        if (change) await keys.settle(change.id)
        else {
          const { id } = await stageRotation(place, name)
          await (await open(place)).settle(id)
        }
        const done = await open(place)
        t.notOk(done.changes.some(({ pending }) => pending))
        t.notOk(secretOf(done, name).equals(secretOf(before, name)), 'in the end the new one is')
      }
      t.ok(step > 8, `${step - 1} instants`)
    },
  )
}

t.test('rewrapping moves every key, and after a crash at any instant all of them open', async (t) => {
  const fresh = join(t.testdir(), 'fresh')
  const place = await placeIn(fresh)
  const before = await open(place)
  // Made ahead and cheap, so that each of the runs below need not derive it at full cost.
  const cost = { N: 2 ** 14, r: 8, p: 1 }
  await passphraseProvider({ keysDirectory: place.dir, secrets, ownership, cost }).create()
  let step = 1
  for (; ; step++) {
    const base = `${fresh}-${step}`
    cpSync(fresh, base, { recursive: true })
    if (!diesAt(step, 'rewrap', base)) break
    const vault = await openVault(vaultIn(base))
    const keys = await openGatewayKeys({ ...place, vault, dir: join(base, 'keys') })
    for (const name of KEY_NAMES)
      t.ok(secretOf(keys, name).equals(secretOf(before, name)), `step ${step}: ${name}`)
  }
  t.ok(step > 4, `${step - 1} instants`)
  const moved = `${fresh}-${step}`
  t.equal((await openVault(vaultIn(moved))).level, 'passphrase')
  await t.rejects(
    openVault({ ...vaultIn(moved), settings: { ...vaultIn(moved).settings, provider: 'host-key' } }),
    {
      code: 'provider-differs',
      remedy: /keys rewrap --to host-key/,
    },
  )
  const wrong = secretSource({ prompt: async () => Buffer.from('not the passphrase') })
  await t.rejects(openVault({ ...vaultIn(moved), secrets: wrong }), { code: 'passphrase-wrong' })
  const back = await rewrap(vaultIn(moved), 'host-key')
  t.same([back.stayed, back.moved.length], [[], KEY_NAMES.length])
  t.equal((await openVault(vaultIn(moved))).level, 'host-key')
})
