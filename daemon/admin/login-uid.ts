import { readFileSync } from 'node:fs'

/** Where nobody logged in, as in a service (linux/audit.h, AUDIT_UID_UNSET). */
const NOBODY = 0xffff_ffff

/** As whom somebody logged in before they became who the process runs as; kept by the kernel's audit. */
export function loginUid(pid: number | 'self'): number | undefined {
  try {
    const uid = Number(readFileSync(`/proc/${pid}/loginuid`, 'utf8'))
    return uid === NOBODY ? undefined : uid
  } catch {
    // A kernel without audit, or the process is gone.
    return undefined
  }
}
