import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fateOf } from '../../installers/fate.ts'
import { scratch } from './scratch.ts'

const root = scratch()
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

t.test('a configuration that nobody edited goes, an edited one only with a purge', async (t) => {
  const path = join(root, 'gateway.yaml')
  const entry = { kind: 'configuration', path, sha256: sha256('policy: strict\n') } as const
  t.equal(await fateOf(entry, false), 'gone')
  writeFileSync(path, 'policy: strict\n')
  t.equal(await fateOf(entry, false), 'goes')
  writeFileSync(path, 'policy: lockdown\n')
  t.equal(await fateOf(entry, false), 'stays')
  t.equal(await fateOf(entry, true), 'goes')
})

t.test('records, logs and keys stay without a purge', async (t) => {
  const state = join(root, 'state')
  const key = join(root, 'host.key')
  mkdirSync(state)
  writeFileSync(key, 'key')
  for (const entry of [
    { kind: 'state', path: state },
    { kind: 'host-key', path: key },
  ] as const) {
    t.equal(await fateOf(entry, false), 'stays')
    t.equal(await fateOf(entry, true), 'goes')
    t.equal(await fateOf({ ...entry, path: join(root, 'nothing') }, false), 'gone')
  }
})

t.test('everything else goes', async (t) => {
  for (const entry of [
    { kind: 'fence' },
    { kind: 'account', name: 'agent-anchor' },
    { kind: 'program', path: root },
    { kind: 'trust-store', name: 'debian' },
  ] as const)
    t.equal(await fateOf(entry, false), 'goes', entry.kind)
})
