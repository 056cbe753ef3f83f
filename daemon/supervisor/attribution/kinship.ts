/** Whether two tasks share their descriptors: a thread may have a table of its own (unshare(2), CLONE_FILES). */
import koffi from 'koffi'

/** Numbers of kcmp(2); undefined where this machine's isn't known. */
const SYS_KCMP = { x64: 312, arm64: 272, riscv64: 272 }[process.arch as string]
const KCMP_FILES = 2

const syscall = koffi.load(null).func('long syscall(long, long, long, long, long, long)') as (
  number: number,
  ...values: [number, number, number, number, number]
) => number

/** False also where the kernel doesn't say: then both have to be looked at. */
export function shareDescriptors(task: number, other: number): boolean {
  return SYS_KCMP !== undefined && Number(syscall(SYS_KCMP, task, other, KCMP_FILES, 0, 0)) === 0
}
