/**
 * The stores of RHEL, Arch, SUSE and Alpine, each against the file layout of its distribution and a stand-in for its
 * tool that makes the bundle of the anchors, as the tool does. Debian's, of the same shape, has a test of its own.
 */
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { alpineTrustStore } from '../../ca/trust-stores/alpine.ts'
import type { StoreOptions } from '../../ca/trust-stores/anchor-store.ts'
import { archTrustStore } from '../../ca/trust-stores/arch.ts'
import { rhelTrustStore } from '../../ca/trust-stores/rhel.ts'
import type { RunCommand } from '../../ca/trust-stores/run-command.ts'
import { suseTrustStore } from '../../ca/trust-stores/suse.ts'
import type { TrustStore } from '../../ca/trust-stores/trust-store.ts'
import { OURS, SUCCESSOR, SYSTEM_ROOT, treeOf } from './trust-store-fixture.ts'

interface Tree {
  [name: string]: Tree | string
}

interface Distribution {
  readonly store: (options: StoreOptions) => TrustStore
  readonly layout: Record<string, Tree>
  readonly anchors: string
  readonly anchor: string
  readonly bundle: string
  /** The tool and its arguments, in one line. */
  readonly command: string
  readonly links?: (name: string) => string
  readonly package: RegExp
}

const distributions: Record<string, Distribution> = {
  rhel: {
    store: rhelTrustStore,
    layout: {
      etc: {
        'os-release': 'ID="rocky"\nID_LIKE="rhel centos fedora"\n',
        pki: {
          'ca-trust': {
            source: { README: 'This directory /etc/pki/ca-trust/source/ …', anchors: {}, blocklist: {} },
            extracted: { pem: { 'tls-ca-bundle.pem': SYSTEM_ROOT }, java: { cacerts: '' }, openssl: {} },
          },
          tls: { certs: {} },
        },
      },
      usr: { share: { pki: { 'ca-trust-source': { anchors: {} } } } },
    },
    anchors: 'etc/pki/ca-trust/source/anchors',
    anchor: 'agent-anchor-gateway.pem',
    bundle: 'etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
    command: 'update-ca-trust extract',
    package: /dnf install ca-certificates/,
  },
  arch: {
    store: archTrustStore,
    layout: {
      etc: {
        'os-release': 'ID=arch\n',
        'ca-certificates': {
          extracted: { 'tls-ca-bundle.pem': SYSTEM_ROOT, cadir: {} },
          'trust-source': { anchors: {}, blocklist: {} },
        },
        ssl: { certs: {} },
      },
    },
    anchors: 'etc/ca-certificates/trust-source/anchors',
    anchor: 'agent-anchor-gateway.crt',
    bundle: 'etc/ca-certificates/extracted/tls-ca-bundle.pem',
    command: 'trust extract-compat',
    package: /pacman -S/,
  },
  suse: {
    store: suseTrustStore,
    layout: {
      etc: {
        'os-release': 'ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n',
        pki: { trust: { anchors: {}, blacklist: {}, blocklist: {} } },
        ssl: {},
      },
      usr: { share: { pki: { trust: { anchors: {} } } } },
      var: { lib: { 'ca-certificates': { 'ca-bundle.pem': SYSTEM_ROOT, openssl: {}, pem: {} } } },
    },
    anchors: 'etc/pki/trust/anchors',
    anchor: 'agent-anchor-gateway.pem',
    bundle: 'var/lib/ca-certificates/ca-bundle.pem',
    command: 'update-ca-certificates --fresh',
    package: /zypper install/,
  },
  alpine: {
    store: alpineTrustStore,
    layout: {
      etc: {
        'alpine-release': '3.22.1\n',
        'os-release': 'ID=alpine\n',
        'ca-certificates.conf': '',
        'ca-certificates': { 'update.d': { certhash: '' } },
        ssl: { certs: { 'ca-certificates.crt': SYSTEM_ROOT } },
      },
      usr: { local: { share: { 'ca-certificates': {} } } },
    },
    anchors: 'usr/local/share/ca-certificates',
    anchor: 'agent-anchor-gateway.crt',
    bundle: 'etc/ssl/certs/ca-certificates.crt',
    command: 'update-ca-certificates',
    links: (name) => `etc/ssl/certs/ca-cert-${name}.pem`,
    package: /apk add ca-certificates/,
  },
}

function machine(t: { testdir(files: Record<string, Tree>): string }, distribution: Distribution) {
  const root = t.testdir(distribution.layout)
  const state = { calls: [] as string[], fail: undefined as Error | undefined, dead: false }
  const run: RunCommand = async (command, args) => {
    state.calls.push([command, ...args].join(' '))
    if (state.fail !== undefined) throw state.fail
    if (state.dead) return ''
    const { links } = distribution
    const anchors = readdirSync(join(root, distribution.anchors)).sort()
    const names = ['agent-anchor-gateway', 'agent-anchor-gateway-2']
    for (const name of links ? names : []) rmSync(join(root, links!(name)), { force: true })
    for (const file of links ? anchors : []) {
      symlinkSync(
        join('/', distribution.anchors, file),
        join(root, links!(file.slice(0, file.lastIndexOf('.')))),
      )
    }
    const texts = anchors.map((file) => readFileSync(join(root, distribution.anchors, file), 'latin1'))
    writeFileSync(
      join(root, distribution.bundle),
      SYSTEM_ROOT + texts.map((text) => `# ours\n${text}`).join(''),
    )
    return ''
  }
  return { root, state, store: distribution.store({ root, run }) }
}

for (const [name, distribution] of Object.entries(distributions)) {
  const anchorOf = (root: string) => join(root, distribution.anchors, distribution.anchor)

  t.test(`${name}: install makes it trusted once, uninstall leaves the tree as it was`, async (t) => {
    const { root, state, store } = machine(t, distribution)
    t.equal(store.name, name)
    const before = treeOf(root)
    t.equal(await store.check([OURS]), 'absent')
    await store.uninstall()
    t.same(state.calls, [], 'nothing to undo, nothing run')
    await store.install([OURS])
    await store.install([OURS])
    t.same(state.calls, [distribution.command])
    t.equal(readFileSync(anchorOf(root), 'latin1'), OURS)
    t.equal(await store.check([OURS]), 'trusted')
    await store.uninstall()
    t.same(treeOf(root), before)
    t.equal(await store.check([OURS]), 'absent')
  })

  t.test(`${name}: two are trusted while the authority is changed, then the successor alone`, async (t) => {
    const { root, store } = machine(t, distribution)
    await store.install([OURS])
    await store.install([OURS, SUCCESSOR])
    t.equal(await store.check([OURS, SUCCESSOR]), 'trusted')
    t.equal(await store.check([OURS]), 'stale')
    await store.install([SUCCESSOR])
    t.equal(await store.check([SUCCESSOR]), 'trusted')
    t.same(readdirSync(join(root, distribution.anchors)), [distribution.anchor])
  })

  t.test(`${name}: a tool that fails or does nothing leaves the tree as it was`, async (t) => {
    const { root, state, store } = machine(t, distribution)
    const before = treeOf(root)
    state.fail = new Error('status 1: p11-kit: no space')
    await t.rejects(store.install([OURS]), { code: 'trust-store-refresh-failed', message: /no space/ })
    state.fail = undefined
    state.dead = true
    await t.rejects(store.install([OURS]), {
      code: 'trust-store-refresh-failed',
      remedy: new RegExp(distribution.command),
    })
    t.same(treeOf(root), before)
  })

  t.test(`${name}: an uninstall that the tool does not follow is not taken for done`, async (t) => {
    const { state, store } = machine(t, distribution)
    await store.install([OURS])
    state.dead = true
    await t.rejects(store.uninstall(), { code: 'trust-store-refresh-failed', message: /still holds/ })
    t.equal(await store.check([OURS]), 'stale')
    state.dead = false
    await store.uninstall()
    t.equal(await store.check([OURS]), 'absent')
  })

  t.test(`${name}: without the tool or the directory it says which package to install`, async (t) => {
    const { root, state, store } = machine(t, distribution)
    state.fail = Object.assign(new Error('spawn ENOENT'), { code: 'ENOENT' })
    await t.rejects(store.install([OURS]), { code: 'trust-store-tool-missing', remedy: distribution.package })
    t.notOk(existsSync(anchorOf(root)))
    rmSync(join(root, distribution.anchors), { recursive: true })
    t.equal(await store.check([OURS]), 'unsupported')
    await t.rejects(store.install([OURS]), { code: 'trust-store-unsupported', remedy: distribution.package })
    await store.uninstall()
  })
}
