/**
 * The second half of installers/install.sh, run by the gateway's own Node from the installed tree: accounts,
 * configuration, CA and trust, fence, service, and one captured call as proof. Idempotent; every step is in the
 * manifest before it is taken.
 */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, lstat, mkdir, readFile, rm, symlink } from 'node:fs/promises'
import { AnchorError, messageOf } from '../daemon/base/errors.ts'
import { type Config, loadConfig } from '../daemon/config/config.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from '../daemon/supervisor/accounts.ts'
import { askToReload } from '../daemon/supervisor/ask-to-reload.ts'
import { makeDirectories } from '../daemon/supervisor/directories.ts'
import { openIdentity } from '../daemon/supervisor/identity.ts'
import { layout } from '../daemon/supervisor/layout.ts'
import { programRoot } from '../daemon/supervisor/program.ts'
import { loadRules } from '../daemon/supervisor/rules.ts'
import { systemdRuns } from '../daemon/supervisor/service-manager.ts'
import { readState } from '../daemon/supervisor/state-file.ts'
import { systemNft } from '../firewall/nft.ts'
import { proveCapture } from './canary.ts'
import { InstallError } from './install-error.ts'
import { type OpenManifest, openManifest } from './manifest.ts'
import { run, succeeds } from './run.ts'
import {
  installUnit,
  startDetached,
  startFenceUnit,
  startService,
  stopDaemon,
  UNITS,
  unitPath,
} from './services.ts'
import { environmentSinks, machineTrustStore } from './trust.ts'
import { uninstall } from './uninstall.ts'

const CONFIG_FILE = '/etc/agent-anchor/gateway.yaml'
const LINK = '/usr/local/bin/agent-anchor'
const START_MS = 90_000

const say = (what: string, text: string) => process.stdout.write(`${what.padEnd(12)}${text}\n`)

async function accounts(manifest: OpenManifest): Promise<void> {
  for (const name of [RECORDER_ACCOUNT, PROXY_ACCOUNT, SENSOR_ACCOUNT]) {
    if (await succeeds('getent', 'passwd', name)) continue
    await manifest.add({ kind: 'account', name })
    await run(
      'useradd',
      '--system',
      '--user-group',
      '--no-create-home',
      '--home-dir',
      '/nonexistent',
      '--shell',
      '/usr/sbin/nologin',
      name,
    )
  }
  say(
    'accounts',
    `${RECORDER_ACCOUNT} (records, chain), ${PROXY_ACCOUNT} (connections), ${SENSOR_ACCOUNT} (packets)`,
  )
}

async function configuration(manifest: OpenManifest): Promise<Config> {
  if (!existsSync(CONFIG_FILE)) {
    const shipped = `${programRoot}/installers/gateway.yaml`
    const sha256 = createHash('sha256')
      .update(await readFile(shipped))
      .digest('hex')
    await manifest.add({ kind: 'configuration', path: CONFIG_FILE, sha256 })
    await copyFile(shipped, CONFIG_FILE)
  }
  const config = loadConfig(CONFIG_FILE)
  say('config', CONFIG_FILE)
  return config
}

async function link(manifest: OpenManifest): Promise<void> {
  const target = `${programRoot}/cli/agent-anchor`
  await manifest.add({ kind: 'link', path: LINK, target })
  const there = await lstat(LINK).catch(() => undefined)
  if (there?.isSymbolicLink()) await rm(LINK)
  await mkdir('/usr/local/bin', { recursive: true })
  if (!there || there.isSymbolicLink()) await symlink(target, LINK)
  say('command', LINK)
}

async function trust(
  manifest: OpenManifest,
  certificates: readonly string[],
  certificateFile: string,
): Promise<void> {
  const store = machineTrustStore()
  await manifest.add({ kind: 'trust-store', name: store.name })
  if ((await store.check(certificates)) !== 'trusted') await store.install(certificates)
  say('trust', `CA in the ${store.name} store`)
  for (const sink of environmentSinks(certificateFile)) {
    await manifest.add({ kind: 'environment', name: sink.name })
    const { kept } = await sink.install()
    say('environment', sink.name)
    for (const { name, theirs, remedy } of kept) say('', `${name} stays ${theirs}: ${remedy}`)
  }
}

/** Starts the daemon, or restarts it where the program or its unit changed. */
async function service(manifest: OpenManifest, config: Config): Promise<void> {
  const stateFile = layout(config).supervisorState
  let hasEnded = () => false
  const programChanged = process.env.AGENT_ANCHOR_PROGRAM_CHANGED !== '0'
  if (systemdRuns()) {
    let changed = programChanged
    for (const name of UNITS) {
      await manifest.add({ kind: 'unit', name, path: unitPath(name) })
      changed = (await installUnit(name, config)) || changed
    }
    await run('systemctl', 'daemon-reload')
    await run('systemctl', 'enable', '--quiet', ...UNITS)
    await startService(changed ? 'restart' : 'start')
    say('service', 'agent-anchor.service; the fence is loaded before the network at boot')
  } else {
    await manifest.add({ kind: 'detached', runtimeDir: config.runtimeDir })
    const running = await readState(stateFile)
    if (running && programChanged) await stopDaemon(stateFile)
    if (!running || programChanged) hasEnded = startDetached()
    say('service', 'no systemd here: started detached. It WILL NOT survive a reboot; start it then with')
    say('', '`agent-anchor daemon`, from whatever starts services on this machine.')
  }
  const end = Date.now() + START_MS
  while ((await readState(stateFile))?.phase !== 'running') {
    if (Date.now() > end || hasEnded()) {
      throw new InstallError(
        'DAEMON_DID_NOT_START',
        hasEnded()
          ? 'the daemon ended as it started'
          : `the daemon was not ready within ${START_MS / 1000} s`,
        `Read ${config.logDir}/agent-anchor.log, mend what it says and run the installer again.`,
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function install(manifest: OpenManifest): Promise<void> {
  await manifest.add({ kind: 'program', path: programRoot })
  await accounts(manifest)
  const config = await configuration(manifest)
  const paths = layout(config)
  await systemNft().check('add table inet aa_probe\n')
  for (const path of [config.stateDir, config.logDir, config.runtimeDir])
    await manifest.add({ kind: 'state', path })
  await manifest.add({ kind: 'host-key', path: config.vault.hostKeyFile })
  await makeDirectories(config, paths, {
    proxy: await account(PROXY_ACCOUNT),
    recorder: await account(RECORDER_ACCOUNT),
  })
  const identity = await openIdentity(config, paths, loadRules(config), { renew: true })
  say('keys', identity.vaultLevel)
  await link(manifest)
  const authorities = identity.authority.found.inOrder
  await trust(
    manifest,
    authorities.map(({ certificatePem }) => certificatePem),
    paths.caCertificate,
  )
  await identity.authority.distributed()
  await manifest.add({ kind: 'fence' })
  await service(manifest, config)
  // One that ran on takes up a successor of the CA without a restart.
  await askToReload(paths.supervisorState)
  await proveCapture(config, authorities)
  // Last: what it loads is then what the daemon has long raised itself.
  if (systemdRuns()) await startFenceUnit()
}

const manifest = await openManifest()
const before = [...manifest.steps]
try {
  await install(manifest)
} catch (error) {
  process.stderr.write(`\ninstall.sh: ${messageOf(error)}\n`)
  if (error instanceof AnchorError) process.stderr.write(`${error.remedy}\n`)
  // What an earlier install did stays as it is: that one was whole, or evidence that was kept.
  if (manifest.steps.length > before.length) {
    process.stderr.write('Taking back what was done so far:\n')
    for (const { step, result, error: why } of await uninstall({ purge: true, except: before })) {
      process.stderr.write(`  ${step.kind} ${result}${why ? `: ${why}` : ''}\n`)
    }
  }
  process.exitCode = 1
}
