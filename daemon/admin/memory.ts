/** How much memory the gateway's processes have, by /proc: proc_pid_status(5). */
import { readFile } from 'node:fs/promises'
import type { SupervisorState } from '../supervisor/state-file.ts'

export async function residentMemory(
  supervisor: SupervisorState | undefined,
): Promise<{ name: string; bytes: number }[]> {
  if (!supervisor) return []
  const processes = [{ name: 'supervisor', pid: supervisor.pid }, ...supervisor.children]
  const found = await Promise.all(
    processes.map(async ({ name, pid }) => {
      const status = pid === undefined ? '' : await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
      const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]
      return kibibytes === undefined ? [] : [{ name, bytes: Number(kibibytes) * 1024 }]
    }),
  )
  return found.flat()
}
