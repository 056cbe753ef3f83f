/**
 * The supervisor: root, keeps the listening sockets, the rules, the CA key and the children. It parses no byte
 * from the network.
 *
 * Order of start: fence, sensor, keys, sockets, recorder, chain, DNS guard, proxies, owned tables: nothing is
 * redirected before it can be recorded, and LLM addresses are refused in the meantime. Order of stop: the reverse;
 * the fence stays.
 */
import { isIPv6 } from 'node:net'
import { systemRootsWithout } from '../../ca/system-roots.ts'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { fencePresent } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import { keepMemoryPrivate } from '../base/private-memory.ts'
import { steadyNow } from '../base/steady-clock.ts'
import type { Config } from '../config/config.ts'
import { upstreamSource } from '../dns-guard/upstreams.ts'
import type { SecretSource } from '../vault/secret-source.ts'
import { account, PROXY_ACCOUNT, RECORDER_ACCOUNT, SENSOR_ACCOUNT } from './accounts.ts'
import { openAddressBook, type Sighted } from './address-book.ts'
import { startAttribution } from './attribution/attribution.ts'
import { auditTrail } from './audit-trail.ts'
import { authorityKeeper } from './authority/keeper.ts'
import { governedDomains } from './authority/misfit.ts'
import { CANARY_LINK } from './canary.ts'
import type { Child } from './child.ts'
import { counterRecords } from './counter-records.ts'
import { lastAlive, openCoverage } from './coverage.ts'
import { cutBook } from './cut-book.ts'
import { startDevelopmentChain } from './development-chain-process.ts'
import { makeDirectories } from './directories.ts'
import { openDnsSockets, startDnsGuard } from './dns-guard-process.ts'
import { enforcer } from './enforcer.ts'
import { openEvidenceJournal } from './evidence-journal.ts'
import { openIdentity } from './identity.ts'
import { keyChanges } from './key-changes.ts'
import { layout } from './layout.ts'
import { openListeners } from './listeners.ts'
import { openLog } from './log.ts'
import { policyKeeper, preparePolicy } from './policy-keeper.ts'
import { programVersion } from './program.ts'
import { startProxies } from './proxies.ts'
import { startRecording } from './recording.ts'
import { refuseToStart } from './refuse-to-start.ts'
import { stateReport } from './report.ts'
import { startSensor } from './sensor-process.ts'
import { keepAlive, notify } from './service-manager.ts'
import { type Serving, startServing } from './serving.ts'
import { type Sight, startSight } from './sight.ts'
import { sightings } from './sightings.ts'
import { socketGroup } from './socket-group.ts'
import { startDetail } from './start-record.ts'
import { processStart, type SupervisorState } from './state-file.ts'
import { NOTHING } from './traffic.ts'

export interface Daemon {
  /** Takes what the policy's files say now, without dropping a connection; where they are bad, all stays as it is. */
  reload(): Promise<void>
  /** Ordered stop; resolves when every child has ended. */
  stop(reason: string): Promise<void>
}

/** How long the first look-up of the catalogue may hold up the start: without DNS there is nothing to learn. */
const FIRST_RESOLUTION_MS = 5000
const DNS_GRACE_MS = 3000
/** How long the redirect stands without a sign of life: a frozen daemon must not hold up the rest of the machine. */
const LEASE_MS = 10_000
const RECORDER_GRACE_MS = 30_000
const CHAIN_GRACE_MS = 5000

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

  const children: Child[] = []
  let phase: SupervisorState['phase'] = 'starting'
  let addressesKnown = false
  let sight: Sight | undefined
  let serving: Serving | undefined
  const since = new Date().toISOString()
  const pidStart = (await processStart(process.pid)) ?? ''
  const report = stateReport(paths.supervisorState, log, () => ({
    v: 1,
    version: programVersion,
    pid: process.pid,
    pidStart,
    phase,
    since,
    policy: inForce.state(),
    vault: identity.vaultLevel,
    ca: authority.state(),
    missingAccounts: inForce.current.missing.map(({ kind, name }) => `${kind} ${name}`),
    enforcement: { ...enforcement.state(), addressesKnown },
    sensor: { blind: [...(sight?.state().blind ?? [])], drops: sight?.drops() ?? 0 },
    ...(serving?.state() ?? { served: [] }),
    traffic: proxies?.traffic() ?? NOTHING,
    children: children.map((child) => child.state()),
  }))

  let recorder: Child | undefined
  const journal = openEvidenceJournal({ path: paths.evidence, endedAt: await lastAlive(paths.alive), log })
  stack.defer(() => journal.close())
  const trail = auditTrail(
    // Before it is ready the recorder has no log to write to.
    (message) => (recorder?.state().state === 'running' && recorder.send(message)) ?? false,
    { journal },
  )
  // The first record of a new log names its key.
  const keys = keyChanges({
    identity,
    trail,
    log,
    renew: () => recorder?.renew((child) => child.send({ type: 'stop' }, () => {})),
  })
  const coverage = await openCoverage({
    aliveFile: paths.alive,
    // Where it is gone, LLM traffic may have been let through.
    found: { fence: (await fencePresent(systemNft())) ? 'stood' : 'gone' },
    audit: trail.write,
    gap: trail.gap,
    draft: trail.draft,
  })
  stack.defer(() => coverage.stopping())
  let proxies: ReturnType<typeof startProxies> | undefined
  let guard: Child | undefined
  const inForce = policyKeeper({
    initial,
    prepare: () => preparePolicy(config),
    apply(next) {
      enforcement.change(next.enforcement)
      proxies?.rules(next.rules)
      sight?.child.send({ type: 'catalogue', catalogue: next.rules.catalogue })
      guard?.send({ type: 'rules', rules: next.rules })
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
      sight?.uplinks(watched())
    },
    audit: trail.write,
    gap: coverage.gap,
    draft: trail.draft,
    healthy: () => proxies?.serving() ?? false,
  })
  // Its nft children would keep a start that failed from ending; the second time it does nothing.
  stack.defer(() => enforcement.stop())
  const watched = () => enforcement.uplinks().filter((name) => name !== CANARY_LINK)
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
    proxies?.addresses(addresses)
    sight?.child.send({ type: 'addresses', addresses })
    await enforcement.addressesChanged()
  }

  const authority = authorityKeeper({
    source: identity.authority,
    overlapMs: config.ca.overlap,
    domains: () => governedDomains(inForce.current.rules),
    trail,
    log,
    changed() {
      report.changed()
      proxies?.authorities(authority.certificates())
    },
  })
  stack.defer(() => authority.stop())

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
  recorder = recording
  children.push(recording)
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
    children.push(chain)
    stack.defer(() => chain.stop((child) => child.kill('SIGTERM'), CHAIN_GRACE_MS))
  }
  await recording.ready
  serving = startServing({
    config,
    paths,
    account: accounts.recorder,
    identity,
    log,
    changed: report.changed,
    died: (child, how) => trail.write('child-died', { child, how }),
  })
  children.push(...serving.children)
  const started = serving
  stack.defer(() => started.stop())

  const attribution = startAttribution({
    log,
    unknown: ({ count, from, to }) => coverage.gap('attribution-unknown', from, to, { connections: count }),
  })
  stack.defer(() => attribution.stop())
  const seen = sightings({
    policy: () => inForce.current.rules.policy,
    nameOf: (address) => book.nameOf(address),
    agent: (flow) => attribution.agent(flow),
    record: trail.sighting,
  })

  const counters = counterRecords({
    read: () => enforcement.counters(),
    sensorDrops: () => sight?.drops() ?? 0,
    sensorUnread: () => sight?.unread() ?? 0,
    audit: trail.write,
    log,
  })
  const eyes = startSight({
    begin: startSensor,
    account: accounts.sensor,
    log,
    coverage,
    uplinks: watched(),
    start: (uplinks) => ({
      logGroup: policy.enforcement.logGroup,
      ...(dnsSockets ? {} : { dnsLogGroup: policy.enforcement.dnsLogGroup }),
      uplinks,
      bridges: config.bridges,
      catalogue: inForce.current.rules.catalogue,
      providerAddresses: [...book.addresses4, ...book.addresses6],
      proxyUid: accounts.proxy.uid,
      governed: { subjects: initial.enforcement.subjects, exempt: initial.enforcement.exempt },
    }),
    groupOf: (inode) => socketGroup(attribution.ask, inode),
    resolvers: upstreamSource([]),
    learned: (entries) => void learn(entries),
    sighting: (sighting) => {
      seen.sensor(sighting)
      counters.nudge()
    },
    strayed: (stray) => {
      if (cuts.strayed(stray, steadyNow())) void enforcement.cutsChanged()
    },
    stateChanged: report.changed,
    changed: report.changed,
    died: (how) => trail.write('child-died', { child: 'sensor', how }),
  })
  sight = eyes
  children.push(eyes.child)
  stack.defer(() => eyes.stop())
  stack.defer(() => counters.stop())

  if (dnsSockets) {
    guard = startDnsGuard({
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
    children.push(guard)
    const started = guard
    stack.defer(() => started.stop((child) => child.send({ type: 'stop' }, () => {}), DNS_GRACE_MS))
    await started.ready
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
  proxies = capturing
  children.push(...capturing.workers)
  stack.defer(() => capturing.stop())
  await Promise.all(capturing.workers.map((worker) => worker.ready))
  await enforcement.startRedirect()
  stack.defer(() => enforcement.stop())

  await Promise.race([
    Promise.all([capturing.resolved, eyes.child.ready.catch(() => {})]),
    new Promise((resolve) => setTimeout(resolve, FIRST_RESOLUTION_MS).unref()),
  ])
  capturing.resolved.then(() => {
    addressesKnown = true
    report.changed()
  })
  phase = 'running'
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
    async stop(reason) {
      phase = 'stopping'
      log.info(`stopping: ${reason}`)
      trail.write('stop', { reason })
      await coverage.stopping()
      report.changed()
      notify('STOPPING=1')
      await stack.disposeAsync()
      await report.written()
    },
  }
}
