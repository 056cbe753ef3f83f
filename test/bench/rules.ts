/**
 * What the rules cost: the time that it takes to load them for 10,000 LLM addresses, and what a connection to a host
 * that is no provider's pays for them. Prints; asserts nothing about time.
 *
 * The settings take turns within a run, block after block, so that the machine's drift hits all of them. Connections
 * go over a veth pair: there is no wire to hide behind, so that the ratio is the worst there can be.
 */
import type { ChildProcess } from 'node:child_process'
import { cpus, totalmem } from 'node:os'
import { createInterface, type Interface } from 'node:readline'
import { loadConfig } from '../../daemon/config/config.ts'
import { enforcementOf } from '../../daemon/supervisor/enforcement-of.ts'
import type { Enforcement } from '../../firewall/enforcement.ts'
import { applyFence, removeFence } from '../../firewall/fence.ts'
import { systemNft } from '../../firewall/nft.ts'
import { type Redirect, startRedirect } from '../../firewall/redirect-owner.ts'
import { loadPolicy } from '../../policies/policy.ts'
import { EXAMPLE } from '../lab/addresses.ts'
import { enterLab } from '../lab/enter.ts'
import { buildNetwork, removeNetwork, spawnIn } from '../lab/network.ts'
import { NODE, PATH, REPOSITORY } from '../lab/places.ts'
import { median, quantile } from './statistics.ts'

await enterLab(import.meta.url)

const MANY = 10_000
const ROUNDS = 15
const BLOCK = 400
const BULK_BYTES = 256 << 20
const APPLICATIONS = 5

const config = loadConfig()
const { policy } = loadPolicy({ dir: config.policiesDir, name: 'standard' })
const nobody = { user: () => undefined, group: () => undefined }
const { ports } = config.listen
/** As the daemon enforces `standard`, with so many addresses. */
const standard = (count: number): Enforcement => ({
  ...enforcementOf(policy, nobody, { bridges: config.bridges, dnsPort: ports.dns }).enforcement,
  proxyUids: [994],
  redirectPort: ports.transparent,
  guardedPorts: [{ port: ports.developmentChain, uids: [0] }],
  leaseMs: 600_000,
  uplinks: ['eth0'],
  // From the blocks for benchmarks (RFC 2544, RFC 5180), half of each family.
  addresses4: Array.from({ length: Math.ceil(count / 2) }, (_, i) => `198.18.${i >> 8}.${i & 255}`),
  addresses6: Array.from({ length: Math.floor(count / 2) }, (_, i) => `2001:2::${i.toString(16)}`),
})
const nft = systemNft()
const say = (text: string) => process.stdout.write(`${text}\n`)

if (process.argv[2] === 'inside') {
  say(`machine     ${cpus().length} × ${cpus()[0]?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB`)
  await timeToApply()
  await costOfTraffic()
} else await surround()

/** The far side, and this program again on `host`, whose rules it changes. */
async function surround(): Promise<void> {
  await buildNetwork()
  const far = flows('internet', 'serve', '-', EXAMPLE.address4, EXAMPLE.address6)
  const near = flows('host', 'serve', `${ports.transparent}`, '127.0.0.1', '::1')
  await Promise.all([far.next(), near.next()])
  const inside = spawnIn('host', 'root', [NODE, `${REPOSITORY}/test/bench/rules.ts`, 'inside'], {
    env: { PATH, LABORATORY: '1' },
    stdio: 'inherit',
  })
  process.exitCode = await new Promise<number>((ended) => inside.once('exit', (code) => ended(code ?? 1)))
  far.end()
  near.end()
  await removeNetwork()
}

async function timeToApply(): Promise<void> {
  const many = standard(MANY)
  const none = { ...many, addresses4: [], addresses6: [] }
  const without = <T>(list: readonly T[]) => list.slice(0, -1)
  const fewer = { ...many, addresses4: without(many.addresses4), addresses6: without(many.addresses6) }
  const times = new Map<string, number[]>()
  const timed = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    const began = performance.now()
    const result = await work()
    times.set(what, [...(times.get(what) ?? []), performance.now() - began])
    return result
  }
  for (let round = 0; round < APPLICATIONS; round++) {
    await timed('the fence, from nothing', () => applyFence(nft, many))
    await timed('the fence, in place', () => applyFence(nft, many))
    const redirect = await timed('the owned tables, from nothing', () => startRedirect(many))
    await redirect.stop()
    await applyFence(nft, none)
    const later = await startRedirect(none)
    await timed('all addresses learned at once, in both', () => later.update(many))
    await later.update(fewer)
    await timed('two addresses more, in both', () => later.update(many))
    await later.stop()
    await removeFence(nft)
  }
  say(`apply       ${MANY} addresses, half of each family, ${APPLICATIONS} times: median (most)`)
  for (const [what, ms] of times) {
    say(
      `            ${what.padEnd(40)} ${median(ms).toFixed(0).padStart(5)} ms (${Math.max(...ms).toFixed(0)} ms)`,
    )
  }
}

/** Each raises its rules and gives what takes them away. */
type Setting = () => Promise<() => Promise<void>>

function settings(): Readonly<Record<string, Setting>> {
  const ours = (count: number) => async () => {
    await applyFence(nft, standard(count))
    const redirect: Redirect = await startRedirect(standard(count))
    return async () => {
      await redirect.stop()
      await removeFence(nft)
    }
  }
  return {
    'no rules at all': async () => async () => {},
    'conntrack alone': async () => {
      // A rule that asks for it, though no packet comes by, and the translation that a redirect takes.
      await nft.apply(`table inet bench {
        chain asks { ct state new accept; }
        chain nat { type nat hook output priority -100; }
      }
`)
      return () => nft.apply('delete table inet bench\n')
    },
    'ours, no address': ours(0),
    [`ours, ${MANY} addresses`]: ours(MANY),
  }
}

async function costOfTraffic(): Promise<void> {
  const load = flows('host', 'load')
  const measured = new Map<string, Map<string, number[]>>()
  const all = Object.entries(settings())
  const kinds = {
    'connect, port 8080': { kind: 'connect', port: 8080 },
    'connect, redirected': { kind: 'connect', port: 443 },
    'datagram and answer': { kind: 'udp', port: 8081 },
  }
  const note = (what: string, setting: string, values: readonly number[]) => {
    const of = measured.get(what) ?? new Map<string, number[]>()
    measured.set(what, of)
    of.set(setting, [...(of.get(setting) ?? []), ...values])
  }
  for (let round = 0; round < ROUNDS; round++) {
    // Each begins as often as any other, so that none always finds the machine warmer.
    const order = all.map((_, i) => all[(i + round) % all.length]!)
    for (const [setting, raise] of order) {
      const lower = await raise()
      for (const [what, asked] of Object.entries(kinds)) {
        for (const address of [EXAMPLE.address4, EXAMPLE.address6]) {
          const { us } = await load.ask<{ us: number[] }>({ ...asked, address, count: BLOCK })
          // The first ones find cold caches: the rules are new.
          note(what, setting, us.slice(BLOCK / 10))
        }
      }
      const { mbPerSecond } = await load.ask<{ mbPerSecond: number }>({
        ...{ kind: 'bulk', address: EXAMPLE.address4, port: 8082, bytes: BULK_BYTES },
      })
      note('stream', setting, [mbPerSecond])
      await lower()
    }
  }
  load.end()
  for (const [what, bySetting] of measured) {
    const unit = what === 'stream' ? 'MB/s' : 'µs'
    const base = median([...bySetting.values()][0]!)
    say(`${what}: ${[...bySetting.values()][0]!.length} each, ${unit}`)
    for (const [setting, values] of bySetting) {
      const [p50, p99] = [median(values), quantile(values, 0.99)]
      const tail = unit === 'µs' ? `   p99 ${p99.toFixed(1).padStart(7)}` : ''
      say(
        `            ${setting.padEnd(24)} p50 ${p50.toFixed(1).padStart(7)}${tail}   × ${(p50 / base).toFixed(2)}`,
      )
    }
  }
}

interface Flows {
  next(): Promise<string>
  ask<T>(what: object): Promise<T>
  end(): void
}

function flows(namespace: string, ...args: string[]): Flows {
  const argv = ['/usr/bin/python3', '-B', `${REPOSITORY}/test/bench/flows.py`, ...args]
  const child: ChildProcess = spawnIn(namespace, 'root', argv, {
    env: { PATH },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = (createInterface({ input: child.stdout! }) as Interface)[Symbol.asyncIterator]()
  const next = async () => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`flows.py ${args.join(' ')} has ended`)
    return value
  }
  return {
    next,
    async ask(what) {
      child.stdin!.write(`${JSON.stringify(what)}\n`)
      return JSON.parse(await next())
    },
    end: () => void child.kill(),
  }
}
