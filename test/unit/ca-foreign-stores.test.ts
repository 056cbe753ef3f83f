/** The stores of systems that no test here can run: NixOS by its bundle, macOS by a stand-in for security(1). */

import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { macosTrustStore } from '../../ca/trust-stores/macos.ts'
import { nixosTrustStore } from '../../ca/trust-stores/nixos.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'
import { OURS, SUCCESSOR, SYSTEM_ROOT } from './trust-store-fixture.ts'

t.test('NixOS: install prints the setting, and sees when it was made', async (t) => {
  const root = t.testdir({
    etc: { NIXOS: '', ssl: { certs: { 'ca-certificates.crt': SYSTEM_ROOT } } },
  })
  const bundle = join(root, 'etc/ssl/certs/ca-certificates.crt')
  const store = nixosTrustStore({ root })
  t.equal(await store.check([OURS]), 'absent')
  await t.rejects(store.install([OURS]), {
    code: 'trust-store-read-only',
    remedy: /security\.pki\.certificates = \[ ''\n-----BEGIN CERTIFICATE-----\n[\s\S]*''\s\];$/,
  })
  writeFileSync(bundle, SYSTEM_ROOT + OURS)
  await store.install([OURS])
  t.equal(await store.check([OURS]), 'trusted')
  t.equal(await store.check([SUCCESSOR]), 'stale')
  await t.rejects(store.uninstall(), { code: 'trust-store-read-only', remedy: /Take the gateway/ })
  writeFileSync(bundle, SYSTEM_ROOT)
  await store.uninstall()
  t.equal(await nixosTrustStore({ root: t.testdir({}) }).check([OURS]), 'unsupported')
})

/** A System keychain: what add-trusted-cert and its inverses do to it, and what the questions answer. */
function keychain() {
  const state = { kept: new Set<string>(), trusted: new Set<string>(), calls: [] as string[] }
  const commonName = (pem: string) => /CN=(.*)/.exec(new X509Certificate(pem).subject)![1]!
  const nothing = (what: string) => {
    throw new Error(`/usr/bin/security ended with status 44: ${what}`)
  }
  const run: RunCommand = async (command, args) => {
    const [verb] = args
    state.calls.push([command, ...args.filter((arg) => !arg.includes('agent-anchor-'))].join(' '))
    const file = () => new X509Certificate(readFileSync(args.at(-1)!)).toString()
    if (verb === 'add-trusted-cert') {
      state.kept.add(file())
      state.trusted.add(file())
    } else if (verb === 'remove-trusted-cert') state.trusted.delete(file())
    else if (verb === 'delete-certificate') {
      const sha1 = args[args.indexOf('-Z') + 1]
      for (const pem of state.kept)
        if (new X509Certificate(pem).fingerprint.replaceAll(':', '') === sha1) state.kept.delete(pem)
    } else if (verb === 'find-certificate')
      return state.kept.size > 0
        ? [...state.kept].join('')
        : nothing('SecKeychainSearchCopyNext: The specified item could not be found in the keychain.')
    else if (verb === 'dump-trust-settings')
      return state.trusted.size > 0
        ? [...state.trusted]
            .map((pem, i) => `Cert ${i}: ${commonName(pem)}\n   Number of trust settings : 0\n`)
            .join('')
        : nothing('SecTrustSettingsCopyCertificates: No Trust Settings were found.')
    return ''
  }
  return { state, run }
}

t.test(
  'macOS: install trusts in the System keychain, uninstall takes trust and certificate away',
  async (t) => {
    const root = t.testdir({ Library: { Keychains: { 'System.keychain': '' } } })
    const { state, run } = keychain()
    const store = macosTrustStore({ root, run })
    t.equal(await store.check([OURS]), 'absent')
    await store.install([OURS])
    t.ok(
      state.calls.includes(
        '/usr/bin/security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain',
      ),
    )
    t.equal(await store.check([OURS]), 'trusted')
    state.calls.length = 0
    await store.install([OURS])
    t.notOk(state.calls.some((call) => call.includes('add-trusted-cert')))
    state.trusted.clear()
    t.equal(await store.check([OURS]), 'stale', 'in the keychain, but trusted no more')
    await store.install([OURS, SUCCESSOR])
    t.equal(await store.check([OURS, SUCCESSOR]), 'trusted')
    await store.install([SUCCESSOR])
    t.same([...state.kept], [SUCCESSOR])
    await store.uninstall()
    t.same([state.kept.size, state.trusted.size], [0, 0])
    t.equal(await store.check([OURS]), 'absent')
  },
)

t.test('macOS: a keychain that refuses is told, with what to run by hand', async (t) => {
  const root = t.testdir({ Library: { Keychains: { 'System.keychain': '' } } })
  const run: RunCommand = async () => {
    throw new Error('status 1: SecTrustSettingsSetTrustSettings: The authorization was denied')
  }
  await t.rejects(macosTrustStore({ root, run }).install([OURS]), {
    code: 'trust-store-refresh-failed',
    message: /authorization was denied/,
  })
  t.equal(await macosTrustStore({ root: t.testdir({}), run }).check([OURS]), 'unsupported')
})
