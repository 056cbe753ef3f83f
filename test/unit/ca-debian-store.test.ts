import { existsSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../ca/authority.ts'
import { debianTrustStore } from '../../ca/trust-stores/debian.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'

const now = new Date()
const [ours, newer] = await Promise.all(
  ['a.example', 'b.example'].map((domain) => createAuthority({ permittedDomains: [domain], now })),
)
const pem = ours!.certificatePem
const ANCHOR = 'usr/local/share/ca-certificates/agent-anchor-gateway.crt'
const SECOND = 'usr/local/share/ca-certificates/agent-anchor-gateway-2.crt'
const SYSTEM_ROOT = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'

interface Tree {
  [name: string]: Tree | string
}

/** A root with the store's files, and a stand-in for update-ca-certificates that rebuilds the bundle. */
function machine(t: { testdir(files: Record<string, Tree>): string }) {
  const root = t.testdir({
    etc: {
      'ca-certificates.conf': '',
      debian_version: '12',
      'ca-certificates': { 'update.d': {} },
      ssl: { certs: { 'ca-certificates.crt': SYSTEM_ROOT } },
    },
    usr: { local: { share: { 'ca-certificates': {} } } },
  })
  const state = { calls: [] as string[], fail: undefined as Error | undefined, failHooks: false, dead: false }
  const run: RunCommand = async (command, args, { input } = {}) => {
    state.calls.push(
      [command, ...args.slice(0, args[0] === '--fresh' ? 1 : 0), input].filter(Boolean).join(' '),
    )
    if (state.fail !== undefined) throw state.fail
    if (command !== 'update-ca-certificates' && state.failHooks) throw new Error('no keytool')
    if (command !== 'update-ca-certificates' || state.dead) return ''
    let added = ''
    for (const name of ['agent-anchor-gateway', 'agent-anchor-gateway-2']) {
      const link = join(root, `etc/ssl/certs/${name}.pem`)
      if (args.includes('--fresh')) rmSync(link, { force: true })
      const anchor = join(root, `usr/local/share/ca-certificates/${name}.crt`)
      if (!existsSync(anchor)) continue
      rmSync(link, { force: true })
      symlinkSync(anchor, link)
      added += readFileSync(anchor, 'latin1')
    }
    writeFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), SYSTEM_ROOT + added)
    return ''
  }
  return { root, state, store: debianTrustStore({ root, run }) }
}

t.test('install makes it trusted once, uninstall makes it absent again', async (t) => {
  const { root, state, store } = machine(t)
  t.equal(await store.check([pem]), 'absent')
  await store.uninstall()
  t.same(state.calls, [], 'nothing to undo, nothing run')
  await store.install([pem])
  await store.install([pem])
  t.same(state.calls, ['update-ca-certificates'])
  t.equal(await store.check([pem]), 'trusted')
  t.equal(statSync(join(root, ANCHOR)).mode & 0o777, 0o644)
  await store.uninstall()
  t.equal(state.calls[1], 'update-ca-certificates --fresh')
  t.equal(await store.check([pem]), 'absent')
  await store.uninstall()
  t.equal(state.calls.length, 2)
})

t.test('uninstall finishes what a crash left in the bundle alone', async (t) => {
  const { root, store } = machine(t)
  writeFileSync(join(root, 'etc/ssl/certs/ca-certificates.crt'), SYSTEM_ROOT + pem)
  t.equal(await store.check([pem]), 'stale')
  await store.uninstall()
  t.equal(await store.check([pem]), 'absent')
})

t.test('another authority of ours is stale, and install replaces it with --fresh', async (t) => {
  const { state, store } = machine(t)
  await store.install([pem])
  t.equal(await store.check([newer!.certificatePem]), 'stale')
  await store.install([newer!.certificatePem])
  t.equal(state.calls[1], 'update-ca-certificates --fresh')
  t.equal(await store.check([newer!.certificatePem]), 'trusted')
  t.equal(await store.check([pem]), 'stale')
})

t.test(
  'while the authority is changed both are trusted, one a file, and then the successor alone',
  async (t) => {
    const { root, state, store } = machine(t)
    const hook = join(root, 'etc/ca-certificates/update.d/jks-keystore')
    writeFileSync(hook, '', { mode: 0o755 })
    const both = [pem, newer!.certificatePem]
    await store.install([pem])
    t.equal(await store.check(both), 'stale')
    await store.install(both)
    t.equal(await store.check(both), 'trusted')
    t.equal(await store.check([pem]), 'stale')
    t.equal(readFileSync(join(root, ANCHOR), 'latin1'), pem)
    t.equal(readFileSync(join(root, SECOND), 'latin1'), newer!.certificatePem)
    state.calls.length = 0
    await store.install([newer!.certificatePem])
    t.equal(await store.check([newer!.certificatePem]), 'trusted')
    t.notOk(existsSync(join(root, SECOND)))
    t.same(state.calls, [
      `${hook} -${root}/etc/ssl/certs/agent-anchor-gateway-2.pem\n`,
      'update-ca-certificates --fresh',
    ])
    await store.install(both)
    await store.uninstall()
    t.equal(await store.check(both), 'absent')
    t.match(state.calls.at(-2), /-2\.pem\n$/, 'hooks hear of both')
  },
)

t.test('a refresh that fails in between leaves the two that were there', async (t) => {
  const { root, state, store } = machine(t)
  await store.install([pem, newer!.certificatePem])
  state.dead = true
  await t.rejects(store.install([newer!.certificatePem]), { code: 'trust-store-refresh-failed' })
  t.equal(readFileSync(join(root, ANCHOR), 'latin1'), pem)
  t.equal(readFileSync(join(root, SECOND), 'latin1'), newer!.certificatePem)
})

t.test('half of an install or uninstall is stale', async (t) => {
  const { root, store } = machine(t)
  writeFileSync(join(root, ANCHOR), pem)
  t.equal(await store.check([pem]), 'stale', 'anchored, not in the bundle')
  await store.install([pem])
  t.equal(await store.check([pem]), 'trusted')
  rmSync(join(root, 'etc/ssl/certs/agent-anchor-gateway.pem'))
  t.equal(await store.check([pem]), 'stale', 'in the bundle, not in the hashed directory')
  await store.install([pem])
  rmSync(join(root, ANCHOR))
  t.equal(await store.check([pem]), 'stale', 'in the bundle, no longer anchored')
  await store.uninstall()
  t.equal(await store.check([pem]), 'absent')
})

t.test('a refresh that fails or does nothing leaves what was there before', async (t) => {
  const { root, state, store } = machine(t)
  state.fail = new Error('status 1: no space')
  await t.rejects(store.install([pem]), { code: 'trust-store-refresh-failed', message: /no space/ })
  t.notOk(existsSync(join(root, ANCHOR)))
  state.fail = undefined
  state.dead = true
  await t.rejects(store.install([pem]), { code: 'trust-store-refresh-failed' })
  t.notOk(existsSync(join(root, ANCHOR)))
  state.dead = false
  await store.install([pem])
  state.dead = true
  await t.rejects(store.install([newer!.certificatePem]), { code: 'trust-store-refresh-failed' })
  t.equal(readFileSync(join(root, ANCHOR), 'latin1'), pem)
})

t.test('a machine without the store or its tool is told what to do', async (t) => {
  const { root, state, store } = machine(t)
  state.fail = Object.assign(new Error('spawn ENOENT'), { code: 'ENOENT' })
  await t.rejects(store.install([pem]), { code: 'trust-store-tool-missing', remedy: /ca-certificates/ })
  rmSync(join(root, 'etc/ca-certificates.conf'))
  t.equal(await store.check([pem]), 'unsupported')
  await t.rejects(store.install([pem]), { code: 'trust-store-unsupported' })
})

t.test('hooks hear that the certificate went, since --fresh does not tell them', async (t) => {
  const { root, state, store } = machine(t)
  const hook = join(root, 'etc/ca-certificates/update.d/jks-keystore')
  writeFileSync(hook, '', { mode: 0o755 })
  writeFileSync(`${hook}.dpkg-old`, '', { mode: 0o755 })
  writeFileSync(`${hook}-disabled`, '', { mode: 0o644 })
  await store.install([pem])
  await store.uninstall()
  t.same(state.calls.slice(1), [
    `${hook} -${root}/etc/ssl/certs/agent-anchor-gateway.pem\n`,
    'update-ca-certificates --fresh',
  ])
})

t.test('a hook that fails is reported, and the system’s own store is cleaned all the same', async (t) => {
  const { root, state, store } = machine(t)
  writeFileSync(join(root, 'etc/ca-certificates/update.d/jks-keystore'), '', { mode: 0o755 })
  await store.install([pem])
  state.failHooks = true
  await t.rejects(store.uninstall(), { code: 'trust-store-hook-failed', remedy: /keytool -delete/ })
  t.equal(await store.check([pem]), 'absent')
})

t.test('only an authority’s certificate is put into the store', async (t) => {
  const { state, store } = machine(t)
  for (const text of ['', 'garbage', SYSTEM_ROOT]) {
    await t.rejects(store.install([text]), { code: 'certificate-unsuitable' })
  }
  for (const certificates of [[], [pem, pem, pem]])
    await t.rejects(store.install(certificates), { code: 'certificate-unsuitable' })
  t.same(state.calls, [])
})
