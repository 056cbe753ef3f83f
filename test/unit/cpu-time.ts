/** What work costs, where a test bounds it: the time that others take from this process on a busy machine isn't its own. */

/** @returns milliseconds of processor time that this process spent meanwhile, in the kernel's work for it too */
export function cpuMsOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}
