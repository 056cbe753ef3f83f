/**
 * One process, as /proc shows it. A pid may be another process from one moment to the next: what is read here counts
 * only where the start time is the same before and after.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { processCgroup } from './cgroup-path.ts'
import type { Executables } from './executable.ts'
import type { Owner } from './owner.ts'

/** Field 22, start time in clock ticks since boot; the name before it may hold blanks and parentheses. */
const START_FIELD = 22 - 3

/** @param stat text of /proc/PID/stat */
export function startTime(stat: string): string | undefined {
  const end = stat.lastIndexOf(') ')
  return end < 0 ? undefined : stat.slice(end + 2).split(' ')[START_FIELD]
}

/** Effective ids. @param status text of /proc/PID/status */
export function effectiveIds(status: string): { uid: number; gid: number } | undefined {
  const id = (name: string) => new RegExp(`^${name}:\\t\\d+\\t(\\d+)\\t`, 'm').exec(status)?.[1]
  const [uid, gid] = [id('Uid'), id('Gid')]
  return uid === undefined || gid === undefined ? undefined : { uid: Number(uid), gid: Number(gid) }
}

/** What it calls itself: 15 bytes of any kind but NUL, and a line feed. */
const NAME_END = /\n$/

/** A process with the start time that tells it from a later one of its pid. */
export interface Described {
  readonly owner: Owner
  readonly started: string
  /** What it runs, as {@link Executables} names it. */
  readonly content: string | undefined
}

/** What is known of it still holds: the same process has that descriptor. */
export function sameProcess(known: Described, link: string, target: string): boolean {
  try {
    return readlinkSync(link) === target && startTime(read(known.owner.pid, 'stat')) === known.started
  } catch {
    return false
  }
}

/**
 * @param link a descriptor of it that must still lead to `target`, so that this is the process that was found
 * @returns undefined where the process is gone, or is another one by now
 */
export function describeProcess(
  pid: number,
  link: string,
  target: string,
  executables: Executables,
): Described | undefined {
  try {
    const started = startTime(read(pid, 'stat'))
    if (started === undefined || readlinkSync(link) !== target) return undefined
    const { content, ...running } = executables.of(pid)
    const ids = effectiveIds(read(pid, 'status'))
    const place = processCgroup(read(pid, 'cgroup'))
    const name = read(pid, 'comm').replace(NAME_END, '')
    if (ids === undefined || startTime(read(pid, 'stat')) !== started) return undefined
    return { owner: { pid, ...ids, process: name, ...running, ...place }, started, content }
  } catch {
    return undefined
  }
}

function read(pid: number, file: string): string {
  return readFileSync(`/proc/${pid}/${file}`, 'utf8')
}
