/** What installing is: the steps in their order. */
import { existsSync } from 'node:fs'
import { lstat, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { certificateBlocks } from '../ca/system-roots.ts'
import { type Config, defaultConfigFile } from '../daemon/config/config.ts'
import { ACCOUNTS, account, PROXY_ACCOUNT, RECORDER_ACCOUNT } from '../daemon/supervisor/accounts.ts'
import { askToReload } from '../daemon/supervisor/ask-to-reload.ts'
import { makeDirectories } from '../daemon/supervisor/directories.ts'
import { type Identity, openIdentity } from '../daemon/supervisor/identity.ts'
import { type Layout, layout } from '../daemon/supervisor/layout.ts'
import { programRoot } from '../daemon/supervisor/program.ts'
import { loadRules } from '../daemon/supervisor/rules.ts'
import { systemNft } from '../firewall/nft.ts'
import { makeAccounts } from './accounts.ts'
import { proveCapture } from './canary.ts'
import { changedFiles } from './changes.ts'
import { installCommandFiles, installedTable } from './command-files.ts'
import { shareCompileCache } from './compile-cache.ts'
import { type WantedSettings, writeConfiguration } from './configuration.ts'
import { installEnvironment } from './environment.ts'
import { keptFiles } from './kept-files.ts'
import type { ManifestEntry, OpenManifest } from './manifest.ts'
import { putProgramBack } from './program-tree.ts'
import { type Service, service } from './service-step.ts'
import { serviceManager } from './services/find.ts'
import type { Step } from './step.ts'
import { machineTrustStores, storesOfOurs } from './trust.ts'
import { outcomeLines, trustEverywhere } from './trust-everywhere.ts'
import { undo } from './undo.ts'
import { whilst } from './waiting.ts'

const LINK = '/usr/local/bin/agent-anchor'

const say = (what: string, text: string) => process.stdout.write(`${what.padEnd(12)}${text}\n`)

export interface InstallOptions {
  /** The program lay where it is to lie, and wasn't put there by this install. */
  readonly inPlace: boolean
  /** What the daemon runs is another program than before. */
  readonly programChanged: boolean
  readonly settings: WantedSettings
  readonly signal: AbortSignal
}

export interface Installation {
  readonly steps: readonly Step[]
  /** Takes an entry back that one of these steps made; what stood before them stays. */
  undo(entry: ManifestEntry): Promise<unknown>
}

export function installation(manifest: OpenManifest, options: InstallOptions): Installation {
  const kept = keptFiles()
  const installed = manifest.steps.some(({ kind }) => kind === 'program')
  /** Paths that were here before, though no manifest says why: a failed install must not purge them. */
  const foreign = new Set<string>()
  let config: Config
  let reconfigured = false
  let paths: Layout
  let identity: Identity
  let daemon: Service | undefined
  let shared: readonly string[] = []
  let certificateBefore: string | undefined

  const claim = async (entry: ManifestEntry & { readonly path: string }) => {
    if (existsSync(entry.path)) foreign.add(entry.path)
    await manifest.add(entry)
  }

  const steps: Step[] = [
    {
      name: 'program',
      async do() {
        if (options.inPlace) foreign.add(programRoot)
        await manifest.add({ kind: 'program', path: programRoot })
      },
      async undo() {
        await putProgramBack()
        await daemon?.putBack()
      },
    },
    {
      name: 'files',
      async do() {
        for (const path of changedFiles()) await kept.keep(path)
      },
      async undo() {
        await kept.putBack()
        if (config) await serviceManager(config).reread()
      },
    },
    {
      name: 'configuration',
      async do() {
        const written = await writeConfiguration(manifest, options.settings)
        config = written.config
        reconfigured = written.changed
        paths = layout(config)
        say('config', defaultConfigFile)
      },
    },
    {
      name: 'accounts',
      async do() {
        say('accounts', await makeAccounts(manifest))
        shared = await shareCompileCache(await Promise.all(ACCOUNTS.map(account)))
      },
      async undo() {
        // In a tree that lay there before, nobody else takes them away.
        for (const link of shared) await rm(link, { force: true })
      },
    },
    {
      name: 'directories',
      async do() {
        await systemNft().check('add table inet aa_probe\n')
        for (const path of [config.stateDir, config.logDir, config.runtimeDir])
          await claim({ kind: 'state', path })
        await makeDirectories(config, paths, {
          proxy: await account(PROXY_ACCOUNT),
          recorder: await account(RECORDER_ACCOUNT),
        })
      },
    },
    {
      name: 'keys',
      async do() {
        await claim({ kind: 'host-key', path: config.vault.hostKeyFile })
        await kept.keepDirectory(paths.caDirectory)
        await kept.keepDirectory(paths.keysDirectory)
        certificateBefore = await readFile(paths.caCertificate, 'utf8').catch(() => undefined)
        identity = await openIdentity(config, paths, loadRules(config), { renew: true })
        say('keys', identity.vaultLevel)
      },
    },
    {
      name: 'command',
      async do() {
        const target = `${programRoot}/cli/agent-anchor`
        await manifest.add({ kind: 'link', path: LINK, target })
        const there = await lstat(LINK).catch(() => undefined)
        if (there?.isSymbolicLink()) await rm(LINK)
        await mkdir('/usr/local/bin', { recursive: true })
        if (!there || there.isSymbolicLink()) await symlink(target, LINK)
        say('command', LINK)
      },
    },
    {
      name: 'command files',
      async do() {
        const lines = await installCommandFiles(
          manifest,
          await whilst('asking the command for its table', installedTable()),
        )
        for (const [index, line] of lines.entries()) say(index === 0 ? 'shells, man' : '', line)
      },
    },
    {
      name: 'trust',
      async do() {
        const wanted = identity.authority.found.inOrder.map(({ certificatePem }) => certificatePem)
        const outcomes = await whilst(
          'the CA goes into the trust stores',
          trustEverywhere(await machineTrustStores(), wanted, manifest),
        )
        for (const [index, line] of outcomes.flatMap(outcomeLines).entries()) {
          say(index === 0 ? 'trust' : '', line)
        }
        await identity.authority.distributed()
      },
      async undo() {
        if (!installed || certificateBefore === undefined) return
        const before = [...certificateBlocks(certificateBefore)]
        await trustEverywhere(await storesOfOurs(await machineTrustStores(), before), before, manifest)
      },
    },
    {
      name: 'environment',
      async do() {
        const lines = await installEnvironment(manifest, paths.caCertificate)
        for (const [index, line] of lines.entries()) say(index === 0 ? 'environment' : '', line)
      },
    },
    {
      name: 'service',
      async do() {
        await manifest.add({ kind: 'fence' })
        daemon = service(manifest, config)
        const lines = await whilst(
          'the daemon starts',
          daemon.start(options.programChanged || reconfigured, options.signal),
        )
        // One that ran on takes up a successor of the CA without a restart.
        if (identity.authority.found.rotation) await askToReload(paths.supervisorState)
        for (const [index, line] of lines.entries()) say(index === 0 ? 'service' : '', line)
      },
    },
    { name: 'proof', do: () => proveCapture(config, identity.authority.found.inOrder) },
    {
      name: 'fence',
      async do() {
        // Last: what it loads is then what the daemon has long raised itself.
        await serviceManager(config).startFence()
      },
    },
  ]
  return {
    steps,
    async undo(entry) {
      const ours = !('path' in entry && foreign.has(entry.path))
      if (ours || entry.kind !== 'program') await undo(entry, ours)
    },
  }
}
