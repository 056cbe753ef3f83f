/**
 * A state of health as a test: it comes up when it is caused and goes when its remedy is applied, both in what the
 * gateway itself says. Only then the code is announced; the runner counts (test/runner/health-report.ts).
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Health } from '../../daemon/base/health.ts'
import type { HealthCode } from '../../daemon/base/health-codes.ts'
import { healthComment } from '../runner/health-report.ts'

/** The states that stand now, as the gateway says. */
export type States = () => readonly Health[] | Promise<readonly Health[]>

const WITHIN_MS = 60_000
const STEP_MS = 50

/** Those that a test has seen and that are still to be remedied. */
const standing = new Map<HealthCode, Health>()

/** Waits until `code` stands. @returns it, for what its title and its remedy say */
export async function caused(
  t: Test,
  states: States,
  code: HealthCode,
  withinMs = WITHIN_MS,
): Promise<Health> {
  const found = await until(states, (list) => list.find((health) => health.code === code), withinMs)
  if (found === undefined) return t.fail(`${code} does not come up: ${await said(states)}`) as never
  t.not(found.remedy, '', `${code} says what to do`)
  standing.set(code, found)
  return found
}

/** Waits until `code`, which was {@link caused}, is gone after its remedy, and announces it. */
export async function remedied(
  t: Test,
  states: States,
  code: HealthCode,
  withinMs = WITHIN_MS,
): Promise<void> {
  if (!standing.delete(code)) return void t.fail(`${code} was not seen before its remedy`)
  const gone = await until(states, (list) => !list.some((health) => health.code === code), withinMs)
  if (!gone) return void t.fail(`${code} stays after its remedy: ${await said(states)}`)
  t.pass(`${code} came and went`)
  t.comment(healthComment(code))
}

async function until<T>(states: States, look: (list: readonly Health[]) => T, withinMs: number): Promise<T> {
  for (const end = Date.now() + withinMs; ; await sleep(STEP_MS)) {
    const found = look(await states())
    if (found || Date.now() > end) return found
  }
}

const said = async (states: States) => JSON.stringify(await states())
