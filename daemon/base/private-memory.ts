/**
 * Keeps this process's memory out of core dumps and from processes of its own account: keys lie in it.
 *
 * What can be hoped for (each measured by test/system/key-hygiene.test.ts): the kernel writes no core of it, and no
 * other process of the account traces it (PR_SET_DUMPABLE, prctl(2)); what root writes of it with gcore(1) holds no
 * memory (coredump_filter, core(5), which gcore follows, and which children inherit). Root who wants to read the memory
 * itself can.
 */
import { writeFileSync } from 'node:fs'
import koffi from 'koffi'

const PR_SET_DUMPABLE = 4

/** @returns what could not be had, for a log line; undefined where all is well. */
export function keepMemoryPrivate(): string | undefined {
  if (process.platform !== 'linux') return undefined
  const problems: string[] = []
  try {
    // First: once it isn't dumpable, the file is root's.
    writeFileSync('/proc/self/coredump_filter', '0')
  } catch (error) {
    problems.push(`coredump_filter: ${(error as Error).message}`)
  }
  const prctl = koffi.load('libc.so.6').func('int prctl(int, ulong, ulong, ulong, ulong)')
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) !== 0) problems.push('prctl(PR_SET_DUMPABLE)')
  return problems.length === 0
    ? undefined
    : `core dumps of this process may hold keys: ${problems.join('; ')}`
}
