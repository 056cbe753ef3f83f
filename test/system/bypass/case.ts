/**
 * One number of the bypass list (docs/bypass.md) as a test: the attempt, and the four things that must then be so.
 * The runner collects the comment that each leaves and makes the document of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { LogRecord } from '../../../daemon/recorder/record.ts'
import { ANTHROPIC, addressesOf, EXAMPLE, PROVIDERS, type Site } from '../../lab/addresses.ts'
import { curlCommand } from '../../lab/client-commands.ts'
import type { Outcome } from '../../lab/process.ts'
import { type Judgement, judge, unrecorded } from './judge.ts'
import type { Wanted } from './records.ts'
import type { World } from './world.ts'

export interface BypassCase {
  /** Of the list. */
  readonly number: number
  /** What is tried and what comes of it. */
  readonly name: string
  /** `captured`: it went through the proxy and was recorded. */
  readonly result: 'refused' | 'captured'
  /** Tries it, in all its variants. Runs without the gateway too, where it must get through. */
  attempt(): Promise<Outcome[]>
  /** What the client must have met. */
  client?(t: Test, outcomes: Outcome[]): void
  /** `proxy`: the proxy's connections alone; `nothing`: no request and no bytes, whoever's. */
  readonly saw: 'proxy' | 'nothing'
  /** Sites beside the providers that only the proxy may reach. */
  readonly watch?: readonly Site[]
  /** What nobody on the internet may receive, whoever brings it. */
  readonly secret?: string
  /** Each must be found among the records of the attempt. */
  readonly records: readonly Wanted[]
  /** Of the kernel's named counters; one of several must have moved. */
  readonly counter: string | readonly string[]
  /** The attempt takes the rules away and has them made anew: they count from nothing. */
  readonly countsAnew?: boolean
  /** Before the gateway starts: whatever must be older than it. */
  before?(): Promise<void>
  /** Right after the gateway started: whatever takes long. */
  begin?(): Promise<void>
  /** False where the attempt means nothing without a gateway. */
  readonly open?: boolean
  /** How many connections and packets show at least, without a gateway, that each variant gets through; 1 by default. */
  readonly traces?: number
  /** Milliseconds that the records may take; kernel sightings are summed up for ten seconds. */
  readonly recordWithinMs?: number
}

const RECORD_MS = 15_000
const COUNTER_MS = 3000
const STEP_MS = 50

/** Runs a case against the standing gateway. */
export async function bypassCase(t: Test, world: World, bypass: BypassCase): Promise<void> {
  await t.test(`${bypass.number}: ${bypass.name}`, async (t) => {
    const leaf = world.newestLeaf()
    const since = new Date(Date.now() - 1).toISOString()
    const [before, counters] = await Promise.all([world.sight(), world.counters()])
    const outcomes = await bypass.attempt()
    bypass.client?.(t, outcomes)
    const watched = watchedBy(bypass)
    const { requests } = judge(before, await world.sight(), watched, bypass.secret)
    const records = await recordsOf(world, bypass, requests, { leaf, since })
    // Again: what was refused at first may have been tried again meanwhile.
    const judgement = judge(before, await world.sight(), watched, bypass.secret)
    const held = {
      provider: assertProvider(t, bypass, judgement, records),
      record: assertRecords(t, bypass, records),
      counter: await assertCounter(t, world, bypass, bypass.countsAnew ? new Map() : counters),
      control: await assertControl(t, world, bypass.number),
    }
    const assertions = Object.entries(held).flatMap(([name, passed]) => (passed ? [name] : []))
    const { number, name, result } = bypass
    tell(t, { number, name, result, assertions })
  })
}

/** Tries a case while no gateway runs: an attempt that gets nowhere by itself would prove nothing. */
export async function provesSomething(t: Test, world: World, bypass: BypassCase): Promise<void> {
  const before = await world.sight()
  const outcomes = await bypass.attempt()
  // A packet may still be on its way.
  await sleep(STEP_MS)
  const { intruders } = judge(before, await world.sight(), watchedBy(bypass), bypass.secret)
  const said = outcomes.map(({ stdout, stderr }) => stdout.slice(0, 500) + stderr.slice(0, 500))
  const { number, name, traces = 1 } = bypass
  t.ok(intruders.length >= traces, `${number}: ${name}`, { intruders, traces, said })
}

/** A number that can't be run here. */
export function notRun(t: Test, number: number, name: string, reason: string): void {
  tell(t, { number, name, result: 'not-run', reason })
}

function tell(t: Test, entry: object): void {
  const test = process.argv[1]?.replace(/^.*\/(test\/system\/)/, '$1')
  t.comment(`bypass ${JSON.stringify({ ...entry, test })}`)
}

function watchedBy({ watch = [] }: BypassCase): ReadonlySet<string> {
  return new Set([...PROVIDERS, ...watch].flatMap(addressesOf))
}

/** Records of the time since, once all that are wanted are there and one for each request. */
async function recordsOf(
  world: World,
  bypass: BypassCase,
  requests: readonly string[],
  { leaf, since }: { readonly leaf: number; readonly since: string },
): Promise<LogRecord[]> {
  const end = Date.now() + (bypass.recordWithinMs ?? RECORD_MS)
  for (;;) {
    const records = world
      .recordsAfter(leaf)
      // A count of an earlier case's packets may be written only now.
      .filter((record) => !('to' in record) || record.to === undefined || record.to >= since)
    const enough = bypass.records.every((wanted) => records.some(wanted))
    if ((enough && unrecorded(requests, records).length === 0) || Date.now() > end) return records
    await sleep(STEP_MS)
  }
}

function assertProvider(t: Test, bypass: BypassCase, judgement: Judgement, records: LogRecord[]): boolean {
  const { intruders, proxied, requests, bytes } = judgement
  const alone = t.same(intruders, [], 'providers saw nobody but the proxy')
  const recorded = t.same(unrecorded(requests, records), [], 'and no request without its record')
  const seen =
    bypass.saw === 'proxy'
      ? t.ok(proxied.length > 0, 'the proxy was there')
      : t.same({ requests, bytes }, { requests: [], bytes: 0 }, 'and nothing that was sent')
  return alone && recorded && seen
}

function assertRecords(t: Test, bypass: BypassCase, records: LogRecord[]): boolean {
  const missing = bypass.records.flatMap((wanted, index) => (records.some(wanted) ? [] : [index]))
  return t.same(missing, [], 'the records are there', { missing, records })
}

async function assertCounter(
  t: Test,
  world: World,
  { counter }: BypassCase,
  before: ReadonlyMap<string, number>,
): Promise<boolean> {
  const names = typeof counter === 'string' ? [counter] : counter
  const end = Date.now() + COUNTER_MS
  for (;;) {
    const now = await world.counters()
    const moved = names.filter((name) => (now.get(name) ?? 0) > (before.get(name) ?? 0))
    if (moved.length > 0 || Date.now() > end) {
      return t.ok(moved.length > 0, `counter ${names.join(' or ')} moved`, { now: Object.fromEntries(now) })
    }
    await sleep(STEP_MS)
  }
}

/** An honest call right after: captured, answered and recorded, while another site shows its own certificate. */
async function assertControl(t: Test, world: World, number: number): Promise<boolean> {
  const leaf = world.newestLeaf()
  const before = await world.sight()
  const target = `/v1/control-${number}`
  const lockdown = (await world.gateway.state())?.policy.name === 'lockdown'
  const [call, foreign] = await Promise.all([
    world.lab.run('agent2', curlCommand({ url: `https://${ANTHROPIC.name}${target}` }, ['-v'])),
    lockdown ? undefined : world.lab.run('agent2', curlCommand({ url: `https://${EXAMPLE.name}/` }, ['-v'])),
  ])
  const { requests } = judge(before, await world.sight(), new Set(addressesOf(ANTHROPIC)))
  const captured = /^HTTP\/1\.1 \d{3} /.test(call.stdout) && /issuer:.*Agent Anchor/i.test(call.stderr)
  const untouched =
    foreign === undefined || (foreign.code === 0 && /issuer: CN=Laboratory/i.test(foreign.stderr))
  const request = `${ANTHROPIC.name} GET ${target}`
  const end = Date.now() + RECORD_MS
  while (unrecorded([request], world.recordsAfter(leaf)).length > 0 && Date.now() < end) await sleep(STEP_MS)
  const recorded = unrecorded([request], world.recordsAfter(leaf)).length === 0
  const held = captured && untouched && recorded && requests.includes(request)
  return t.ok(held, 'an honest call right after is captured', {
    call: call.stderr + call.stdout.slice(0, 500),
    foreign: foreign?.stderr,
    requests,
    recorded,
  })
}
