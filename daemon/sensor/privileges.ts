/**
 * From root to an account without any privilege, for good, and proof of it: packets of strangers are read after this
 * only. Whoever starts the sensor has set no_new_privs, emptied the inheritable and ambient sets and left nothing in
 * the bounding set but what opening captures takes: those belong to a thread each and must come before the first.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { SensorError } from './sensor-error.ts'

/**
 * The C library changes ids in every thread at once (nptl(7)), and the kernel clears all capabilities as the last id
 * of root's goes (capabilities(7)).
 * @throws SensorError STILL_PRIVILEGED
 */
export function becomeUnprivileged(uid: number, gid: number): void {
  process.setgroups?.([])
  process.setgid?.(gid)
  process.setuid?.(uid)
  for (const thread of readdirSync('/proc/self/task')) {
    const problem = privilegeIn(readFileSync(`/proc/self/task/${thread}/status`, 'latin1'), uid, gid)
    if (problem === undefined) continue
    throw new SensorError(
      'STILL_PRIVILEGED',
      `the sensor could not give up its privileges: ${problem}`,
      'Start it by the daemon, on a kernel that this gateway supports; it reads no packet like this.',
    )
  }
}

/** What a thread still has that it must not have, by proc_pid_status(5): pure. */
export function privilegeIn(status: string, uid: number, gid: number): string | undefined {
  const wanted: [name: string, value: RegExp][] = [
    ['Uid', new RegExp(`^${uid}(\\s${uid}){3}$`)],
    ['Gid', new RegExp(`^${gid}(\\s${gid}){3}$`)],
    ['Groups', /^$/],
    ['NoNewPrivs', /^1$/],
    ...['CapInh', 'CapPrm', 'CapEff', 'CapAmb'].map((set): [string, RegExp] => [set, /^0+$/]),
  ]
  for (const [name, value] of wanted) {
    const line = status.split('\n').find((each) => each.startsWith(`${name}:`))
    const found = line?.slice(name.length + 1).trim()
    if (found === undefined || !value.test(found)) return `${name} is ${found ?? 'not told'}`
  }
  return undefined
}
