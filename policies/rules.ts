import type { Rules } from './policy.ts'

/** All that decisions are made from. Plain, frozen data: it goes to other processes as it is. */
export interface RulesInForce extends Rules {
  /**
   * Names and addresses that the gateway itself needs (chains of its configuration): a traffic rule is not asked about
   * them.
   */
  readonly ownHosts: readonly string[]
}
