/**
 * Children that parse what agents and providers send: an account of their own, no capability, and no way to come by
 * one (no_new_privs, an empty bounding set), whether systemd confines the daemon or it was started by hand.
 */
import type { ForkOptions } from 'node:child_process'
import type { Account } from './accounts.ts'
import { nodeFlags } from './program.ts'

/** Options of setpriv(1), before its `--`. Emptying the bounding set takes CAP_SETPCAP. */
export function droppingTo({ uid, gid }: Account): string[] {
  return [
    ...[`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', '--no-new-privs'],
    ...['--inh-caps=-all', '--ambient-caps=-all', '--bounding-set=-all'],
  ]
}

/**
 * Options of fork() for a Node child under that account: setpriv becomes it, so its pid is the child's.
 * @param flags of Node, besides those that every child has
 */
export function unprivileged(
  account: Account,
  flags: readonly string[] = [],
): Pick<ForkOptions, 'execPath' | 'execArgv'> {
  return {
    execPath: 'setpriv',
    execArgv: [...droppingTo(account), '--', process.execPath, ...nodeFlags, ...flags],
  }
}
