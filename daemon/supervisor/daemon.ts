/**
 * The supervisor: root, keeps the listening sockets, the rules, the CA key and the children. It parses no byte
 * from the network.
 *
 * Order of start: fence, keys, sockets, recorder, chain, proxies, redirect: nothing is redirected before it can
 * be recorded, and LLM addresses are refused in the meantime. Order of stop: the reverse; the fence stays.
 */
import { availableParallelism } from 'node:os'
import { systemRootsWithout } from '../../ca/system-roots.ts'
import { systemNft } from '../../firewall/nft.ts'
import { literalNames } from '../../policies/catalogue.ts'
import type { Config } from '../config/config.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT } from './accounts.ts'
import { openAddressBook } from './address-book.ts'
import { auditTrail } from './audit-trail.ts'
import { CANARY_ADDRESS, CANARY_NAME } from './canary.ts'
import type { Child } from './child.ts'
import { startDevelopmentChain } from './development-chain-process.ts'
import { makeDirectories } from './directories.ts'
import { enforcer } from './enforcer.ts'
import { openIdentity } from './identity.ts'
import { layout } from './layout.ts'
import { leafService } from './leaf-service.ts'
import { openListeners } from './listeners.ts'
import { openLog } from './log.ts'
import { programVersion } from './program.ts'
import { startWorker } from './proxy-workers.ts'
import { startRecorder } from './recorder-process.ts'
import { loadRules } from './rules.ts'
import { keepAlive, notify } from './service-manager.ts'
import { processStart, readState, type SupervisorState, writeState } from './state-file.ts'
import { SupervisorError } from './supervisor-error.ts'

export interface Daemon {
  /** Ordered stop; resolves when every child has ended. */
  stop(reason: string): Promise<void>
}

/** How long the first look-up of the catalogue may hold up the start: without DNS there is nothing to learn. */
const FIRST_RESOLUTION_MS = 5000
const PROXY_GRACE_MS = 7000
const RECORDER_GRACE_MS = 30_000
const CHAIN_GRACE_MS = 5000

/**
 * Starts everything; resolves when governed traffic is captured.
 * @throws SupervisorError, or the room's own error, with everything already started taken down again.
 */
export async function startDaemon(config: Config): Promise<Daemon> {
  const paths = layout(config)
  await refuseToStart(paths.supervisorState)
  const stack = new AsyncDisposableStack()
  try {
    return await start(config, stack)
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function refuseToStart(stateFile: string): Promise<void> {
  if (process.platform !== 'linux') {
    throw new SupervisorError(
      'PLATFORM',
      `${process.platform} is not supported yet`,
      'Run the gateway on Linux.',
    )
  }
  if (process.getuid?.() !== 0) {
    throw new SupervisorError(
      'NOT_ROOT',
      'the daemon must start as root',
      'Start it with sudo or as a service.',
    )
  }
  const running = await readState(stateFile)
  if (running) {
    throw new SupervisorError(
      'ALREADY_RUNNING',
      `a daemon runs already with this runtimeDir (pid ${running.pid})`,
      'Stop it first, or give this one a runtimeDir and stateDir of its own.',
    )
  }
}

async function start(config: Config, stack: AsyncDisposableStack): Promise<Daemon> {
  const paths = layout(config)
  const { policy, catalogue } = loadRules(config)
  const accounts = { proxy: await account(PROXY_ACCOUNT), recorder: await account(RECORDER_ACCOUNT) }
  await makeDirectories(config, paths, accounts)
  // Beats until the very end: an ordered stop may take longer than a watchdog's patience.
  const heartbeat = keepAlive()
  stack.defer(() => clearInterval(heartbeat))
  const log = openLog(config.logDir)
  stack.defer(() => void log.end())
  const identity = await openIdentity(config, paths, catalogue)
  const book = await openAddressBook(paths.addresses, Date.now())
  const development = config.chains.find((chain) => chain.kind === 'development')

  const children: Child[] = []
  let phase: SupervisorState['phase'] = 'starting'
  let addressesKnown = false
  const since = new Date().toISOString()
  const pidStart = (await processStart(process.pid)) ?? ''
  const describe = (): SupervisorState => ({
    v: 1,
    version: programVersion,
    pid: process.pid,
    pidStart,
    phase,
    since,
    policy: { name: policy.name, hash: policy.hash },
    vault: identity.vaultLevel,
    outgrown: [...identity.outgrown],
    enforcement: { ...rules.state(), addressesKnown },
    children: children.map((child) => child.state()),
  })
  let writing: Promise<void> = Promise.resolve()
  const changed = () => {
    writing = writing
      .then(() => writeState(paths.supervisorState, describe()))
      .catch((error: unknown) => void log.error(`supervisor.json could not be written: ${String(error)}`))
  }
  const audit = auditTrail(
    // Before it is ready the recorder has no log to write to.
    (message) => (recorder?.state().state === 'running' && recorder.send(message)) ?? false,
  )
  const rules = enforcer({
    nft: systemNft(),
    base: {
      mode: 'standard',
      exemptUids: [accounts.proxy.uid],
      ports: policy.enforcement.ports,
      bridges: config.bridges,
      redirectPort: config.listen.ports.transparent,
      guardedPorts: development
        ? [{ port: config.listen.ports.developmentChain, uids: [0, accounts.recorder.uid] }]
        : [],
      logGroup: policy.enforcement.logGroup,
    },
    book,
    fenceScript: paths.fenceScript,
    log,
    changed,
    audit: audit.write,
  })
  await rules.raiseFence()

  const listeners = openListeners(config.listen.ports.transparent)
  stack.defer(() => listeners.close())

  let recorder: Child | undefined
  recorder = startRecorder({
    account: accounts.recorder,
    log,
    changed: () => {
      changed()
      audit.flush()
    },
    died: (how) => audit.write('child-died', { child: 'recorder', how }),
    start: () => ({
      stateDir: paths.recorderState,
      socket: paths.recorderSocket,
      statusSocket: paths.statusSocket,
      bodyKey: identity.keys.body,
      logKey: identity.logSeed,
      origin: identity.origin,
      verifierKey: identity.verifierKey,
      checkpointIntervalMs: config.ledger.checkpointIntervalMs,
      chain: {
        chains: config.chains.map((chain) =>
          chain.kind === 'development' ? { ...chain, port: config.listen.ports.developmentChain } : chain,
        ),
        key: identity.keys.gateway,
        stateDir: paths.chainState,
        origin: identity.origin,
        ledger: paths.ledger,
        anchoring: config.anchoring,
      },
    }),
  })
  const recording = recorder
  children.push(recording)
  stack.defer(() => recording.stop((child) => child.send({ type: 'stop' }, () => {}), RECORDER_GRACE_MS))

  if (development) {
    const chain = startDevelopmentChain({
      account: accounts.recorder,
      port: config.listen.ports.developmentChain,
      stateDirectory: paths.developmentChainState,
      log,
      changed,
      died: (how) => audit.write('child-died', { child: 'development-chain', how }),
    })
    children.push(chain)
    stack.defer(() => chain.stop((child) => child.kill('SIGTERM'), CHAIN_GRACE_MS))
  }
  await recording.ready

  const leaves = leafService(identity.authority)
  const roots = systemRootsWithout(identity.authority.certificatePem)
  const resolved = Promise.withResolvers<void>()
  const count = config.proxy.workers === 'auto' ? Math.min(availableParallelism(), 2) : config.proxy.workers
  const workers = Array.from({ length: count }, (_, i) =>
    startWorker({
      name: `proxy-${i + 1}`,
      account: accounts.proxy,
      listeners: listeners.sockets,
      log,
      leaf: leaves,
      changed,
      died: (how) => audit.write('child-died', { child: `proxy-${i + 1}`, how }),
      learned: (addresses) => {
        if (!book.learn(addresses, Date.now())) return
        rules.addressesChanged()
        for (const worker of workers) {
          worker.send({ type: 'addresses', addresses: [...book.addresses4, ...book.addresses6] })
        }
      },
      resolved: () => resolved.resolve(),
      start: () => ({
        policy,
        catalogue,
        recorderSocket: paths.recorderSocket,
        fingerprintKey: identity.keys.fingerprint,
        systemRoots: roots,
        // Its provider runs on this machine and has a leaf of our own CA: trusted for this one name only.
        staticHosts: {
          [CANARY_NAME]: { addresses: [CANARY_ADDRESS], root: identity.authority.certificatePem },
        },
        sniffTimeoutMs: config.proxy.sniffTimeoutMs,
        durability: config.recording.durability,
        providerAddresses: [...book.addresses4, ...book.addresses6],
        resolveCatalogue: i === 0,
      }),
    }),
  )
  children.push(...workers)
  stack.defer(async () => {
    await Promise.all(
      workers.map((worker) => worker.stop((child) => child.send({ type: 'stop' }, () => {}), PROXY_GRACE_MS)),
    )
  })
  await Promise.all(workers.map((worker) => worker.ready))
  await rules.startRedirect()
  stack.defer(() => rules.stop())

  await Promise.race([
    resolved.promise,
    new Promise((resolve) => setTimeout(resolve, FIRST_RESOLUTION_MS).unref()),
  ])
  resolved.promise.then(() => {
    addressesKnown = true
    changed()
  })
  phase = 'running'
  changed()
  audit.write('start', {
    version: programVersion,
    policy: policy.hash,
    names: literalNames(catalogue).length,
  })
  log.info(`capturing for ${catalogue.providers.length} providers; status: agent-anchor status`)
  notify('READY=1')

  return {
    async stop(reason) {
      phase = 'stopping'
      log.info(`stopping: ${reason}`)
      audit.write('stop', { reason })
      changed()
      notify('STOPPING=1')
      await stack.disposeAsync()
      await writing
    },
  }
}
