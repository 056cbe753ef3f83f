/**
 * The supervisor: root, keeps the listening sockets, the rules, the CA key and the children. It parses no byte
 * from the network.
 *
 * Order of start: fence, sensor, keys, sockets, recorder, chain, DNS guard, proxies, owned tables: nothing is
 * redirected before it can be recorded, and LLM addresses are refused in the meantime. Order of stop: what is under
 * way ends while new calls are served (docs/decisions/050), then the reverse; the fence stays.
 */
import { isIPv6 } from 'node:net'
import { systemRootsWithout } from '../../ca/system-roots.ts'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { systemNft } from '../../firewall/nft.ts'
import { keepMemoryPrivate } from '../base/private-memory.ts'
import { steadyNow } from '../base/steady-clock.ts'
import type { Config } from '../config/config.ts'
import type { SecretSource } from '../vault/secret-source.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from './accounts.ts'
import { openAddressBook, type Sighted } from './address-book.ts'
import { authorityKeeper } from './authority/keeper.ts'
import { governedDomains } from './authority/misfit.ts'
import { CANARY_LINK } from './canary.ts'
import { cutBook } from './cut-book.ts'
import { startDevelopmentChain } from './development-chain-process.ts'
import { makeDirectories } from './directories.ts'
import { openDnsSockets, startDnsGuard } from './dns-guard-process.ts'
import { enforcer } from './enforcer.ts'
import { openEvidence } from './evidence.ts'
import { openIdentity } from './identity.ts'
import { layout } from './layout.ts'
import { openListeners } from './listeners.ts'
import { openLog } from './log.ts'
import { policyKeeper, preparePolicy } from './policy-keeper.ts'
import { startProxies } from './proxies.ts'
import { startRecording } from './recording.ts'
import { refuseToStart } from './refuse-to-start.ts'
import { stateReport } from './report.ts'
import { nothingRuns } from './running.ts'
import { keepAlive, notify } from './service-manager.ts'
import { startServing } from './serving.ts'
import { startDetail } from './start-record.ts'
import { processStart } from './state-file.ts'
import { supervisorState } from './supervisor-state.ts'
import { startWatching } from './watching.ts'

export interface Daemon {
  /** Takes what the policy's files say now, without dropping a connection; where they are bad, all stays as it is. */
  reload(): Promise<void>
  /**
   * Ordered stop; resolves when every child has ended.
   * @param hurry what is under way is not waited for any longer
   */
  stop(reason: string, hurry: AbortSignal): Promise<void>
}

/** How long the first look-up of the catalogue may hold up the start: without DNS there is nothing to learn. */
const FIRST_RESOLUTION_MS = 5000
const DNS_GRACE_MS = 3000
/** How long the redirect stands without a sign of life: a frozen daemon must not hold up the rest of the machine. */
const LEASE_MS = 10_000
const RECORDER_GRACE_MS = 30_000
const CHAIN_GRACE_MS = 5000
/** For everything to end in order, once nothing is waited for any more: the graces above, those of the other rooms, and slow disks. */
const STOP_MS = 60_000

/**
 * Starts everything; resolves when governed traffic is captured.
 * @throws SupervisorError, or the room's own error, with everything already started taken down again.
 */
export async function startDaemon(config: Config, secrets?: SecretSource): Promise<Daemon> {
  const paths = layout(config)
  await refuseToStart(paths.supervisorState)
  const stack = new AsyncDisposableStack()
  try {
    return await start(config, stack, secrets)
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

async function start(
  config: Config,
  stack: AsyncDisposableStack,
  secrets: SecretSource | undefined,
): Promise<Daemon> {
  const paths = layout(config)
  const initial = await preparePolicy(config)
  const accounts = {
    proxy: await account(PROXY_ACCOUNT),
    recorder: await account(RECORDER_ACCOUNT),
    sensor: await account(SENSOR_ACCOUNT),
  }
  const { rules } = initial
  const { policy, catalogue } = rules

  await makeDirectories(config, paths, accounts)
  // Beats until the very end: an ordered stop may take longer than a watchdog's patience.
  const heartbeat = keepAlive()
  stack.defer(() => clearInterval(heartbeat))
  const log = openLog(config.logDir)
  stack.defer(() => void log.end())
  const readable = keepMemoryPrivate()
  if (readable) log.warn(readable)
  const identity = await openIdentity(config, paths, rules, { secrets })
  const book = await openAddressBook(paths.addresses, steadyNow())

  const running = nothingRuns()
  const pidStart = (await processStart(process.pid)) ?? ''
  const report = stateReport(paths.supervisorState, log, () =>
    supervisorState({ running, pidStart, identity, authority, inForce, enforcement, evidence }),
  )
  const evidence = await openEvidence({ paths, identity, running, log, stack })
  const { trail, keys, coverage } = evidence
  const inForce = policyKeeper({
    initial,
    prepare: () => preparePolicy(config),
    apply(next) {
      enforcement.change(next.enforcement)
      running.proxies?.rules(next.rules)
      running.sight?.child.send({ type: 'catalogue', catalogue: next.rules.catalogue })
      running.guard?.send({ type: 'rules', rules: next.rules })
      recording.send({ type: 'policy', policy: next.rules.policy })
    },
    audit: trail.write,
    log,
    changed: () => report.changed(),
  })
  const development = config.chains.find((chain) => chain.kind === 'development')
  const base: Omit<Enforcement, 'addresses4' | 'addresses6' | 'uplinks' | 'cuts'> = {
    ...initial.enforcement,
    proxyUids: [accounts.proxy.uid],
    redirectPort: config.listen.ports.transparent,
    guardedPorts: development
      ? [{ port: config.listen.ports.developmentChain, uids: [0, accounts.recorder.uid] }]
      : [],
    leaseMs: LEASE_MS,
  }
  const cuts = cutBook()
  const enforcement = enforcer({
    nft: systemNft(),
    base,
    book,
    cuts,
    fenceScript: paths.fenceScript,
    log,
    changed: () => {
      report.changed()
      running.sight?.uplinks(watched())
      running.proxies?.uplinks(watched())
    },
    audit: trail.write,
    gap: coverage.gap,
    draft: trail.draft,
    healthy: () => running.proxies?.serving() ?? false,
  })
  // Its nft children would keep a start that failed from ending; the second time it does nothing.
  stack.defer(() => enforcement.stop())
  const watched = () => enforcement.uplinks().filter((name) => name !== CANARY_LINK)
  const authority = authorityKeeper({
    source: identity.authority,
    overlapMs: config.ca.overlap,
    domains: () => governedDomains(inForce.current.rules),
    trail,
    log,
    changed() {
      report.changed()
      running.proxies?.authorities(authority.certificates())
    },
  })
  stack.defer(() => authority.stop())
  await enforcement.raiseFence()

  const listeners = openListeners(config.listen.ports.transparent)
  stack.defer(() => listeners.close())
  const dnsSockets =
    policy.enforcement.dns === 'guarded' ? openDnsSockets(config.listen.ports.dns) : undefined
  stack.defer(() => dnsSockets?.close())

  const learn = async (entries: readonly Sighted[]): Promise<void> => {
    // Known already, but perhaps still on its way into the kernel's sets.
    if (!book.learn(entries, steadyNow())) return enforcement.addressesHeld()
    const addresses = [...book.addresses4, ...book.addresses6]
    running.proxies?.addresses(addresses)
    running.sight?.child.send({ type: 'addresses', addresses })
    await enforcement.addressesChanged()
  }

  const recording = startRecording({
    config,
    paths,
    account: accounts.recorder,
    identity,
    keys: keys.current,
    recorded(ids) {
      trail.recorded(ids)
      keys.recorded(ids)
      authority.recorded(ids)
    },
    log,
    changed: report.changed,
    trail,
    policy: () => inForce.current.rules.policy,
  })
  running.recorder = recording
  running.children.push(recording)
  stack.defer(() => recording.stop((child) => child.send({ type: 'stop' }, () => {}), RECORDER_GRACE_MS))

  if (development) {
    const chain = startDevelopmentChain({
      account: accounts.recorder,
      port: config.listen.ports.developmentChain,
      stateDirectory: paths.developmentChainState,
      log,
      changed: report.changed,
      died: (how) => trail.write('child-died', { child: 'development-chain', how }),
    })
    running.children.push(chain)
    stack.defer(() => chain.stop((child) => child.kill('SIGTERM'), CHAIN_GRACE_MS))
  }
  await recording.ready
  const serving = startServing({
    config,
    paths,
    account: accounts.recorder,
    identity,
    log,
    changed: report.changed,
    died: (child, how) => trail.write('child-died', { child, how }),
  })
  running.serving = serving
  running.children.push(...serving.children)
  stack.defer(() => serving.stop())

  const { attribution, seen, eyes } = startWatching({
    config,
    initial,
    account: accounts.sensor,
    proxyUid: accounts.proxy.uid,
    readsDns: dnsSockets === undefined,
    inForce,
    book,
    cuts,
    enforcement,
    coverage,
    trail,
    uplinks: watched(),
    learned: (entries) => void learn(entries),
    running,
    log,
    changed: report.changed,
    stack,
  })

  if (dnsSockets) {
    const guard = startDnsGuard({
      account: accounts.proxy,
      log,
      sockets: dnsSockets,
      rules: () => inForce.current.rules,
      upstreams: config.dns.upstreams.map(({ address, port }) =>
        isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`,
      ),
      bridges: config.bridges,
      learn: (name, entries) => learn(entries.map((entry) => ({ ...entry, name, passive: true }))),
      refusal: (refused) => {
        seen.dns(refused)
      },
      changed: report.changed,
      died: (how) => trail.write('child-died', { child: 'dns-guard', how }),
    })
    running.guard = guard
    running.children.push(guard)
    stack.defer(() => guard.stop((child) => child.send({ type: 'stop' }, () => {}), DNS_GRACE_MS))
    await guard.ready
  }

  const capturing = startProxies({
    config,
    paths,
    account: accounts.proxy,
    listeners: listeners.sockets,
    log,
    leaf: authority.leaf,
    fingerprintKey: identity.gateway.keys.fingerprint,
    authorities: authority.certificates,
    systemRoots: systemRootsWithout(authority.certificates()),
    rules: () => inForce.current.rules,
    providerAddresses: () => [...book.addresses4, ...book.addresses6],
    learned: (entries) => void learn(entries),
    owner: (flow) => attribution.agent(flow),
    unrecorded: (exchanges, since) => coverage.gap('unrecorded', since, Date.now(), { exchanges }),
    dialled: (flows) => void eyes.child.send({ type: 'dialled', flows }),
    changed: report.changed,
    died: (child, how) => trail.write('child-died', { child, how }),
  })
  running.proxies = capturing
  running.children.push(...capturing.workers)
  stack.defer(() => capturing.stop())
  await Promise.all(capturing.workers.map((worker) => worker.ready))
  await enforcement.startRedirect()
  stack.defer(() => enforcement.stop())

  await Promise.race([
    Promise.all([capturing.resolved, eyes.child.ready.catch(() => {})]),
    new Promise((resolve) => setTimeout(resolve, FIRST_RESOLUTION_MS).unref()),
  ])
  capturing.resolved.then(() => {
    running.addressesKnown = true
    report.changed()
  })
  running.phase = 'running'
  coverage.running()
  report.changed()
  trail.write('start', startDetail(initial))
  log.info(
    `capturing for ${catalogue.providers.length} providers under the policy ${policy.name}; status: agent-anchor status`,
  )
  notify('READY=1')

  return {
    async reload() {
      await keys.reload()
      await authority.reload()
      await inForce.reload()
    },
    async stop(reason, hurry) {
      running.phase = 'stopping'
      log.info(`stopping: ${reason}`)
      report.changed()
      const { drainMs } = config.shutdown
      notify(`STOPPING=1\nEXTEND_TIMEOUT_USEC=${(drainMs + STOP_MS) * 1000}`)
      await capturing.drain(drainMs, hurry)
      trail.write('stop', { reason })
      await coverage.stopping()
      await stack.disposeAsync()
      await report.written()
    },
  }
}
