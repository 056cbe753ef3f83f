import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { CHROMIUM_KIN, chromiumPolicyStore } from '../../ca/trust-stores/chromium-policy.ts'
import { OURS, SUCCESSOR, treeOf } from './trust-store-fixture.ts'

const MANAGED = 'etc/chromium/policies/managed'
const FILE = `${MANAGED}/agent-anchor-gateway.json`
const der = (pem: string) => new X509Certificate(pem).raw.toString('base64')

t.test('the policy lists our certificates, and uninstall leaves no directory of ours', async (t) => {
  const root = t.testdir({ etc: { chromium: { master_preferences: '{}' } } })
  const before = treeOf(root)
  const store = chromiumPolicyStore('chromium', { root })
  t.equal(await store.check([OURS]), 'absent')
  await store.install([OURS])
  t.same(JSON.parse(readFileSync(join(root, FILE), 'utf8')), { CACertificates: [der(OURS)] })
  t.equal(await store.check([OURS]), 'trusted')
  t.equal(await store.check([OURS, SUCCESSOR]), 'stale')
  await store.install([OURS, SUCCESSOR])
  t.same(JSON.parse(readFileSync(join(root, FILE), 'utf8')).CACertificates, [der(OURS), der(SUCCESSOR)])
  await store.uninstall()
  t.same(treeOf(root), before)
  await store.uninstall()
})

t.test('what the administrator made stays, even if it is empty', async (t) => {
  const root = t.testdir({ etc: { chromium: { policies: {} } } })
  const before = treeOf(root)
  const store = chromiumPolicyStore('chromium', { root })
  await store.install([OURS])
  await store.uninstall()
  t.same(treeOf(root), before, 'their empty directory')
  await store.install([OURS])
  writeFileSync(join(root, MANAGED, 'theirs.json'), '{"HomepageLocation":"https://intra.example"}')
  await store.uninstall()
  t.ok(existsSync(join(root, MANAGED, 'theirs.json')), 'their file in a directory that we made')
  t.notOk(existsSync(join(root, FILE)))
})

t.test('roots that the administrator already gives the browser are not shadowed', async (t) => {
  const root = t.testdir({
    etc: { chromium: { policies: { managed: { 'a.json': '{"CACertificates":[]}' } } } },
  })
  const store = chromiumPolicyStore('chromium', { root })
  const before = treeOf(root)
  await t.rejects(store.install([OURS]), {
    code: 'trust-store-taken',
    message: /a\.json sets CACertificates/,
    remedy: /^Add to its list: "MII/,
  })
  t.same(treeOf(root), before)
})

t.test('only browsers that are there get one', async (t) => {
  const root = t.testdir({})
  for (const browser of CHROMIUM_KIN) {
    const store = chromiumPolicyStore(browser, { root })
    t.notOk(store.isThere())
    t.equal(await store.check([OURS]), 'unsupported')
    await t.rejects(store.install([OURS]), { code: 'trust-store-unsupported' })
  }
  mkdirSync(join(root, 'opt/google/chrome'), { recursive: true })
  const chrome = chromiumPolicyStore('chrome', { root })
  await chrome.install([OURS])
  t.ok(existsSync(join(root, 'etc/opt/chrome/policies/managed/agent-anchor-gateway.json')))
  rmSync(join(root, 'opt'), { recursive: true })
  await chrome.uninstall()
  t.same(treeOf(root), {}, 'taken back after the browser went, too')
})
