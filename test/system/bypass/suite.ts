/** Several cases of the bypass list under one policy, with one laboratory. */
import t from 'tap'
import { type BypassCase, bypassCase, provesSomething } from './case.ts'
import type { World } from './world.ts'

export interface Suite {
  readonly policy: string
  /** Further settings of gateway.yaml. */
  readonly settings?: string
  readonly cases: readonly BypassCase[]
}

/** Each attempt first without a gateway, then each case against it. Registers everything at once, for tap to run. */
export function runSuites(world: World, suites: readonly Suite[]): void {
  void t.test('without the gateway each of these gets through', async (t) => {
    for (const bypass of suites.flatMap(({ cases }) => cases)) {
      if (bypass.open !== false) await provesSomething(t, world, bypass)
    }
  })
  for (const { policy, settings, cases } of suites) {
    void t.test(`the gateway enforces ${policy}`, async (t) => {
      for (const bypass of cases) await bypass.before?.()
      await world.enforce(policy, settings)
      for (const bypass of cases) await bypass.begin?.()
      t.equal((await world.gateway.state())?.policy.name, policy)
    })
    for (const bypass of cases) void bypassCase(t, world, bypass)
  }
}
