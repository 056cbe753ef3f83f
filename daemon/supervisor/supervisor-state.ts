/** What `supervisor.json` says of a gateway. */
import type { AuthorityKeeper } from './authority/keeper.ts'
import type { Enforcer } from './enforcer.ts'
import type { OwnEvidence } from './evidence.ts'
import type { Identity } from './identity.ts'
import type { PolicyKeeper } from './policy-keeper.ts'
import { programVersion } from './program.ts'
import type { Running } from './running.ts'
import type { SupervisorState } from './state-file.ts'
import { NOTHING } from './traffic.ts'

export function supervisorState(parts: {
  readonly running: Running
  /** When this process started, in clock ticks since boot. */
  readonly pidStart: string
  readonly identity: Pick<Identity, 'vaultLevel'>
  readonly authority: Pick<AuthorityKeeper, 'state'>
  readonly inForce: Pick<PolicyKeeper, 'state' | 'current'>
  readonly enforcement: Pick<Enforcer, 'state'>
  readonly evidence: Pick<OwnEvidence, 'damaged'>
}): SupervisorState {
  const { running, pidStart, identity, authority, inForce, enforcement, evidence } = parts
  const damagedEvidence = evidence.damaged()
  const { phase, since, addressesKnown, unfenced, sight, serving, proxies, children } = running
  return {
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
    enforcement: {
      ...enforcement.state(),
      addressesKnown,
      unfenced,
      namesAnswered: proxies?.answered() ?? true,
    },
    ...(damagedEvidence === undefined ? {} : { damagedEvidence }),
    sensor: { blind: [...(sight?.state().blind ?? [])], drops: sight?.drops() ?? 0 },
    ...(serving?.state() ?? { served: [] }),
    traffic: proxies?.traffic() ?? NOTHING,
    children: children.map((child) => child.state()),
  }
}
