/**
 * From a policy to what must be true of the network. Users and groups are names in a policy and ids in the kernel;
 * who doesn't exist can't send, but is named in the result, since an account made later is not governed before the
 * next start.
 */
import type { Enforcement, Senders } from '../../firewall/enforcement.ts'
import type { Policy } from '../../policies/policy.ts'

/** All of an enforcement that comes from a policy; the rest is the configuration's, the processes' and the network's. */
export type PolicyEnforcement = Pick<
  Enforcement,
  | 'fence'
  | 'redirect'
  | 'ports'
  | 'bridges'
  | 'subjects'
  | 'exempt'
  | 'allowed'
  | 'dnsPort'
  | 'localPorts'
  | 'logGroup'
  | 'dnsLogGroup'
  | 'resolversRefused'
>

/** Ids of accounts by name; undefined where there is none. */
export interface Accounts {
  user(name: string): number | undefined
  group(name: string): number | undefined
}

/** A user or group of the policy that the machine lacks. */
export interface Missing {
  readonly kind: 'user' | 'group'
  readonly name: string
  /** Where the policy names it: `subjects.users`, `traffic.rules.bastion`. */
  readonly where: string
}

type Id = string | number

class Resolver {
  readonly missing: Missing[] = []
  readonly #accounts: Accounts

  constructor(accounts: Accounts) {
    this.#accounts = accounts
  }

  ids(kind: Missing['kind'], entries: readonly Id[], where: string): number[] {
    return entries.flatMap((entry) => {
      const id = typeof entry === 'number' ? entry : this.#accounts[kind](entry)
      if (id !== undefined) return [id]
      this.missing.push({ kind, name: String(entry), where })
      return []
    })
  }

  senders({ users, groups, cgroups }: SenderSettings, where: string): Senders {
    return {
      uids: this.ids('user', users, `${where}.users`),
      gids: this.ids('group', groups, `${where}.groups`),
      cgroups: [...cgroups],
    }
  }
}

interface SenderSettings {
  readonly users: readonly Id[]
  readonly groups: readonly Id[]
  readonly cgroups: readonly string[]
}

/** The users and groups that a policy names, each once: what {@link Accounts} will be asked for. */
export function accountsIn(policy: Policy): { users: string[]; groups: string[] } {
  const { subjects, exempt, allow } = policy.enforcement
  const users = [
    ...(subjects.users === 'everyone' ? [] : subjects.users),
    ...exempt.users,
    ...allow.flatMap((entry) => entry.users),
    ...[...policy.traffic.rules, ...policy.records.rules, ...policy.agents].flatMap(
      ({ users }) => users ?? [],
    ),
  ]
  const groups = [
    ...subjects.groups,
    ...exempt.groups,
    ...policy.agents.flatMap((agent) => agent.groups ?? []),
  ]
  const names = (entries: readonly Id[]) =>
    [...new Set(entries.filter((entry) => typeof entry === 'string'))].sort()
  return { users: names(users), groups: names(groups) }
}

/**
 * @param bridges interfaces of containers, from the configuration
 * @param dnsPort local port of the DNS guard, used where the policy wants one
 */
export function enforcementOf(
  policy: Policy,
  accounts: Accounts,
  { bridges, dnsPort }: { readonly bridges: readonly string[]; readonly dnsPort: number },
): { readonly enforcement: PolicyEnforcement; readonly missing: readonly Missing[] } {
  const { subjects, exempt, allow, local, dns, fence, redirect, ports, logGroup, dnsLogGroup } =
    policy.enforcement
  const resolver = new Resolver(accounts)
  const { users } = subjects
  const enforcement = {
    fence,
    redirect,
    ports,
    bridges: subjects.containers ? bridges : [],
    subjects: users === 'everyone' ? users : resolver.senders({ ...subjects, users }, 'subjects'),
    exempt: resolver.senders(exempt, 'exempt'),
    // An entry for nobody would read as one for everybody.
    allowed: allow
      .map(({ protocol, ports, users }) => ({ protocol, ports, uids: resolver.ids('user', users, 'allow') }))
      .filter(({ uids }) => uids.length > 0),
    ...(dns === 'guarded' && { dnsPort }),
    localPorts: local.map(({ port }) => port),
    logGroup,
    dnsLogGroup,
    resolversRefused: policy.proxy.resolvers === 'refuse',
  }
  return { enforcement, missing: resolver.missing }
}

/** The same policy, under the same hash, with ids in place of names in its rules and agents, where they are compared. */
export function withIds(
  policy: Policy,
  accounts: Accounts,
): { readonly policy: Policy; readonly missing: readonly Missing[] } {
  const resolver = new Resolver(accounts)
  const traffic = { ...policy.traffic, rules: withUids(policy.traffic.rules, 'traffic.rules', resolver) }
  const records = { ...policy.records, rules: withUids(policy.records.rules, 'records.rules', resolver) }
  const agents = withUids(policy.agents, 'agents', resolver).flatMap((agent) => {
    if (agent.groups === undefined) return [agent]
    const groups = resolver.ids('group', agent.groups, `agents.${agent.name}`)
    return groups.length === 0 ? [] : [{ ...agent, groups }]
  })
  return { policy: { ...policy, traffic, records, agents }, missing: resolver.missing }
}

function withUids<Entry extends { readonly name: string; readonly users?: readonly Id[] }>(
  entries: readonly Entry[],
  where: string,
  resolver: Resolver,
): Entry[] {
  return entries.flatMap((entry) => {
    if (entry.users === undefined) return [entry]
    const users = resolver.ids('user', entry.users, `${where}.${entry.name}`)
    // One for nobody matches nobody; left in, a block would match whoever can't be told.
    return users.length === 0 ? [] : [{ ...entry, users }]
  })
}
