/** What a machine is apart from what runs on it: disk, unit files, rules, network settings. */
import { compareDisks, listDisk } from './disk.ts'
import type { Machine } from './machine.ts'

/** Each is a name and what it holds; see {@link listDisk} for the disk's. */
export type MachineState = ReadonlyMap<string, string>

/** Settings that count or follow what happens. */
const RESTLESS = /nf_conntrack_count|\/random\/|neigh\/.*\/(anycast|proxy)_/

export async function stateOf(machine: Machine): Promise<MachineState> {
  const state = new Map(listDisk(machine.root()))
  const lines = async (...argv: string[]) => (await machine.run(argv)).stdout.split('\n').filter(Boolean)
  for (const line of await lines('systemctl', 'list-unit-files', '--no-legend', '--no-pager')) {
    const [name = '', enabled = ''] = line.split(/\s+/)
    state.set(`unit ${name}`, enabled)
  }
  for (const line of await lines('grep', '-rsH', '', '/proc/sys/net')) {
    const [path = '', value = ''] = line.split(/:(.*)/s)
    if (!RESTLESS.test(path)) state.set(`setting ${path}`, value)
  }
  state.set('rules', (await machine.run(['nft', 'list', 'ruleset'])).stdout)
  return state
}

/** One line a difference. */
export const differences = (before: MachineState, after: MachineState): string[] =>
  compareDisks(before, after)
