/** The policy in force, and what becomes of it when its files change. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Config } from '../../daemon/config/config.ts'
import {
  fixedSettings,
  type Prepared,
  policyKeeper,
  preparePolicy,
} from '../../daemon/supervisor/policy-keeper.ts'

const HEAD = 'apiVersion: agent-anchor/v1\nkind: Policy\nname: mine\n'

async function rig(t: Test, settings = '') {
  const dir = t.testdir()
  mkdirSync(dir, { recursive: true })
  const write = (text: string) => writeFileSync(join(dir, 'mine.yaml'), HEAD + text)
  write(settings)
  const config = {
    policiesDir: dir,
    policy: 'mine',
    chains: [],
    ledger: {},
    bridges: [],
    listen: { ports: { dns: 53 } },
  } as unknown as Config
  const prepare = () => preparePolicy(config)
  const applied: Prepared[] = []
  const audit: [string, Record<string, string>][] = []
  const keeper = policyKeeper({
    initial: await prepare(),
    prepare,
    apply: (next) => void applied.push(next),
    audit: (event, detail) => void audit.push([event, detail]),
    log: { info: () => {}, error: () => {} } as never,
    changed: () => {},
  })
  return { write, keeper, applied, audit, prepare }
}

t.test('good files are taken by every part, once, and both hashes are on record', async (t) => {
  const { write, keeper, applied, audit } = await rig(t)
  const { hash } = keeper.state()
  await keeper.reload()
  t.strictSame([applied.length, audit.length, keeper.state().reloads], [0, 0, 1], 'nothing is another')
  write('traffic: { rules: [{ name: x, action: block, users: [root] }] }\n')
  await Promise.all([keeper.reload(), keeper.reload()])
  t.equal(applied.length, 1)
  t.strictSame(applied[0]?.rules.policy.traffic.rules[0]?.users, [0], 'with ids')
  t.equal(keeper.current, applied[0])
  t.strictSame(audit, [['policy-changed', { name: 'mine', from: hash, to: keeper.state().hash }]])
  t.not(keeper.state().hash, hash)
})

t.test('bad files change nothing, and are on record with their reason until good ones come', async (t) => {
  const { write, keeper, applied, audit } = await rig(t)
  const { hash } = keeper.state()
  write('traffic: { rules: [{ name: x, action: blok }] }\n')
  await keeper.reload()
  t.match(keeper.state(), { hash, reloads: 1, rejected: /mine\.yaml:4:\d+: .*blok/ })
  t.match(audit, [['policy-rejected', { name: 'mine', policy: hash, why: /blok/ }]])
  t.equal(applied.length, 0)
  write('')
  await keeper.reload()
  t.equal(keeper.state().rejected, undefined)
})

t.test('what sockets and captures were made for waits for a restart', async (t) => {
  const { write, keeper, applied, prepare } = await rig(t)
  const before = keeper.current.rules
  for (const [settings, fixed] of [
    ['enforcement: { dns: guarded }\n', 'enforcement.dns'],
    ['enforcement: { logGroup: 9 }\n', 'enforcement.logGroup'],
    ['enforcement: { subjects: { users: [root] } }\n', 'enforcement.subjects'],
    ['enforcement: { exempt: { users: [root] } }\n', 'enforcement.exempt'],
    ['enforcement: { fence: nothing }\n', 'enforcement.fence (nothing)'],
  ] as const) {
    write(settings)
    t.strictSame(fixedSettings(before, (await prepare()).rules), [fixed])
    await keeper.reload()
    t.match(keeper.state().rejected, /can't change while the gateway runs/)
  }
  t.equal(applied.length, 0)
  write('enforcement: { ports: [443], redirect: all }\nproxy: { tunnel: refuse, unknownName: intercept }\n')
  t.strictSame(fixedSettings(before, (await prepare()).rules), [])
})
