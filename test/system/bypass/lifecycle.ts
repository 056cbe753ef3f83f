/** Calls while the gateway is being tampered with, and what is told of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { EXAMPLE, OPENAI } from '../../lab/addresses.ts'
import { spawnIn } from '../../lab/network.ts'
import { PATH } from '../../lab/places.ts'
import { collect, type Outcome } from '../../lab/process.ts'
import { get } from './attempts.ts'
import type { Wanted } from './records.ts'
import type { World } from './world.ts'

const STEP_MS = 50

/** Waits until it is so; says after how many milliseconds, and gives up after `withinMs`. */
export async function until(what: () => Promise<boolean> | boolean, withinMs: number): Promise<number> {
  const began = performance.now()
  while (!(await what()) && performance.now() - began < withinMs) await sleep(STEP_MS / 2)
  return performance.now() - began
}

/** Whether the fence and whatever is redirected stand. */
export async function stands(world: World): Promise<boolean> {
  const { fence, redirect } = (await world.gateway.state())?.enforcement ?? {}
  return fence === true && redirect === true
}

/** nft as root on `host`, with a script or with arguments. */
export function nft(script: string): Promise<Outcome> {
  return collect(spawnIn('host', 'root', ['nft', '-f', '-'], { env: { PATH }, stdio: 'pipe' }), {
    input: script,
  })
}

/** Commands as root on `host`. */
export function asRoot(argv: readonly string[]): Promise<Outcome> {
  return collect(spawnIn('host', 'root', argv, { env: { PATH }, stdio: 'pipe' }))
}

/** Calls a provider again and again while something is done. */
export async function meanwhile(world: World, act: () => Promise<void>): Promise<Outcome[]> {
  let over = false
  const acting = act().finally(() => {
    over = true
  })
  const outcomes: Outcome[] = []
  for (let turn = 0; !over; turn++) {
    outcomes.push(await call(world, turn % 2 === 0 ? '-4' : '-6'))
    await sleep(STEP_MS)
  }
  await acting
  return outcomes
}

/** One call to a provider by an agent, and how it ended. */
export const call = (world: World, ...options: string[]): Promise<Outcome> =>
  world.lab.run('agent1', get(`https://${OPENAI.name}/v1/models`, ...options))

/** One call to a site that is no provider's. */
export const visit = (world: World, ...options: string[]): Promise<Outcome> =>
  world.lab.run('agent1', get(`https://${EXAMPLE.name}/`, ...options))

/** curl met a closed door, now or while it spoke, and no silence: its errors 7, 35, 52 and 56. */
export const refusedAtOnce = ({ code }: Outcome): boolean => code !== null && [7, 35, 52, 56].includes(code)

/** Each call was answered or refused, none hung. */
export function answeredOrRefused(t: Test, outcomes: readonly Outcome[]): void {
  const others = outcomes.filter((each) => each.code !== 0 && !refusedAtOnce(each))
  t.same(others, [], 'each call was answered or refused')
}

export const gap =
  (cause: string): Wanted =>
  (record) =>
    record.kind === 'gap' && record.cause === cause && record.from <= record.to

export const audit =
  (event: string, detail: Readonly<Record<string, unknown>> = {}): Wanted =>
  (record) =>
    record.kind === 'audit' &&
    record.event === event &&
    Object.entries(detail).every(([key, value]) =>
      value instanceof RegExp ? value.test(String(record.detail[key])) : record.detail[key] === value,
    )
